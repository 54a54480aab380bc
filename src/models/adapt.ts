/**
 * A Converse request as one model takes it, and the answer as the client asked for it.
 *
 * A dialect says what the client wants, a row of capabilities says what the model can do; here the two meet, and nowhere
 * else. What can't be done and matters is refused with its `param`; what can be emulated is; what makes no difference to
 * the answer's meaning goes with a warning. The same input gives the same bytes.
 */
import { FILLER_TEXT } from "../bedrock/conversation.ts";
import type {
  ConverseEvent,
  ConverseRequest,
  ConverseResponse,
  GuardrailConfig,
  Message,
  SystemBlock,
} from "../bedrock/converse.ts";
import type { Intent } from "../bedrock/intent.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import type { Transform } from "../transform.ts";
import { adaptCachePoints } from "./adapt-cache-points.ts";
import { adaptContent } from "./adapt-content.ts";
import { adaptTools, singleCallFields } from "./adapt-tools.ts";
import { planFormat } from "./answer-format.ts";
import type { Capabilities } from "./capabilities.ts";
import { adaptInference } from "./inference.ts";
import { jsonAnswer, jsonEvents } from "./json-answer.ts";
import { planThinking } from "./reasoning.ts";

export interface Adaptation {
  /** As a dialect made it: repaired, and with nothing of what `intent` says. */
  readonly request: ConverseRequest;
  readonly intent: Intent;
  readonly capabilities: Capabilities;
  readonly stream: boolean;
  /** For messages. */
  readonly model: string;
}

export interface Adapted {
  readonly request: ConverseRequest;
  /** False: call Converse, and synthesise the events of a stream that the client wants. */
  readonly stream: boolean;
  readonly warnings: string[];
  answer(response: ConverseResponse): ConverseResponse;
  /** A fresh machine for the answer's events. */
  events(): Transform<ConverseEvent, ConverseEvent>;
}

/** What a model is told when it can't go on with an answer that the client began. */
export const CONTINUE_TEXT = "Continue.";

/** Bedrock ignores a path that an answer does not have. */
const THINKING_TOKENS = "/usage/output_tokens_details";
const STOP_SEQUENCE = { whole: "/stop_sequence", streamed: "/delta/stop_sequence" } as const;

/** Throws GatewayError `invalid_request` for what the model can't do. */
export function adapt({ request, intent, capabilities, stream, model }: Adaptation): Adapted {
  const warnings = new Set<string>();
  const warn = (warning: string): void => void warnings.add(warning);
  const content = adaptContent(request.messages, capabilities, model);
  const thinking = planThinking(intent, capabilities.reasoning, content, warn);
  const forcedTools = thinking.on && !capabilities.forcedToolsWhileThinking ? [] : capabilities.forcedTools;
  const tools = adaptTools(request.toolConfig, { capabilities, model, forcedTools }, warn);
  const format = planFormat(intent.format, tools, capabilities, forcedTools);
  const wish = { ...request.inferenceConfig, topK: intent.topK };
  const inference = adaptInference(wish, thinking, capabilities, warn);
  const prefill = capabilities.prefill && !thinking.on && intent.format === undefined;
  const { messages, system } = placeSystem(
    [...(request.system ?? []), ...instructions(tools.instruction, format.instruction)],
    endWithUser(content, prefill, warn),
    capabilities.system,
  );
  const fields = mergeFields(
    request.additionalModelRequestFields,
    capabilities.anthropic && intent.betas !== undefined ? { anthropic_beta: intent.betas } : undefined,
    intent.modelFields,
    withDisplay(thinking.fields, intent, capabilities),
    withDisplay(inference.fields, intent, capabilities),
    singleCallFields(tools.toolConfig && format.toolConfig, intent.parallelToolCalls, capabilities, warn),
  );
  const outputConfig = {
    ...(format.textFormat !== undefined && { textFormat: format.textFormat }),
    ...(thinking.effort !== undefined && { effort: thinking.effort }),
  };
  const {
    messages: _messages,
    system: _system,
    inferenceConfig: _inferenceConfig,
    toolConfig: _toolConfig,
    additionalModelRequestFields: _fields,
    outputConfig: _outputConfig,
    guardrailConfig,
    ...others
  } = request;
  const streams = stream && canStream(capabilities, format.toolConfig !== undefined);
  const stops = intent.namesStopSequence === true && inference.inferenceConfig.stopSequences !== undefined;
  const paths = [
    ...(thinking.on && countsThinking(capabilities) ? [THINKING_TOKENS] : []),
    ...(stops && capabilities.anthropic ? [streams ? STOP_SEQUENCE.streamed : STOP_SEQUENCE.whole] : []),
  ];
  const adapted: ConverseRequest = {
    messages,
    ...(system.length > 0 && { system }),
    ...(Object.keys(inference.inferenceConfig).length > 0 && { inferenceConfig: inference.inferenceConfig }),
    ...(format.toolConfig !== undefined && { toolConfig: format.toolConfig }),
    ...(Object.keys(fields).length > 0 && { additionalModelRequestFields: fields }),
    ...(Object.keys(outputConfig).length > 0 && { outputConfig }),
    ...others,
    ...(guardrailConfig !== undefined && { guardrailConfig: adaptGuardrail(guardrailConfig, streams) }),
    ...(paths.length > 0 && { additionalModelResponseFieldPaths: paths }),
  };
  const { source } = format;
  return {
    request: adaptCachePoints(adapted, capabilities, warn),
    stream: streams,
    warnings: [...warnings],
    answer: (response) => (source === undefined ? response : jsonAnswer(response, source)),
    events: () => (source === undefined ? unchanged() : jsonEvents(source)),
  };
}

/** How a guardrail looks at a stream is no member of Converse, which answers in one piece. */
function adaptGuardrail({ streamProcessingMode, ...guardrail }: GuardrailConfig, streams: boolean): GuardrailConfig {
  return { ...guardrail, ...(streams && streamProcessingMode !== undefined && { streamProcessingMode }) };
}

/** Claude alone counts them apart; Bedrock's own usage holds them within the output tokens. */
function countsThinking({ reasoning }: Capabilities): boolean {
  return reasoning.style === "budget" || reasoning.style === "adaptive";
}

function canStream({ streaming }: Capabilities, hasTools: boolean): boolean {
  return streaming === "always" || (streaming === "without-tools" && !hasTools);
}

/** "This model does not support assistant message prefill. The conversation must end with a user message." */
function endWithUser(messages: Message[], prefill: boolean, warn: (warning: string) => void): Message[] {
  const last = messages.at(-1);
  if (last?.role !== "assistant") return messages;
  const end = last.content.findLast((block) => !("cachePoint" in block));
  if (prefill && end !== undefined && "text" in end && end.text !== FILLER_TEXT) return messages;
  warn("this model can't go on with the beginning of an answer; it was asked to continue");
  return [...messages, { role: "user", content: [{ text: CONTINUE_TEXT }] }];
}

function instructions(...texts: (string | undefined)[]): SystemBlock[] {
  return texts.filter((text) => text !== undefined).map((text) => ({ text }));
}

/** Without a system prompt, the user's first words begin with its text. */
function placeSystem(
  system: SystemBlock[],
  messages: Message[],
  supported: boolean,
): { system: SystemBlock[]; messages: Message[] } {
  const [first, ...rest] = messages;
  if (supported || system.length === 0 || first === undefined) return { system, messages };
  const text = system.flatMap((block) => ("text" in block ? [block.text] : [])).join("\n\n");
  return { system: [], messages: [{ ...first, content: [{ text }, ...first.content] }, ...rest] };
}

/** Newer Claude models show nothing of their thinking unless they are asked to. */
function withDisplay(fields: JsonObject, { thinkingDisplay }: Intent, { anthropic }: Capabilities): JsonObject {
  const { thinking } = fields;
  if (thinkingDisplay === undefined || !anthropic || !isJsonObject(thinking)) return fields;
  if (thinking.type !== "enabled" && thinking.type !== "adaptive") return fields;
  return { ...fields, thinking: { ...thinking, display: thinkingDisplay } };
}

/** Later fields win; Nova's inferenceConfig may come from two sides. */
function mergeFields(...parts: (JsonObject | undefined)[]): JsonObject {
  const configs = parts.flatMap((part) => (isJsonObject(part?.inferenceConfig) ? [part.inferenceConfig] : []));
  const merged: JsonObject = Object.assign({}, ...parts);
  return configs.length < 2 ? merged : { ...merged, inferenceConfig: Object.assign({}, ...configs) };
}

function unchanged(): Transform<ConverseEvent, ConverseEvent> {
  return { push: (event) => [event], end: () => [] };
}
