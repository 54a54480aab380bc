/**
 * InvokeModel for Claude: Anthropic's own request, read as the Converse call that it stands for, and its answers.
 *
 * https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html. A stream has the
 * events of Anthropic's API, and AWS's metrics beside the last one. Left out: betas, server tools, and whatever else only
 * a model could do.
 */
import { isJsonObject, type JsonObject, type JsonValue, stringifyJson } from "../json.ts";
import type { MessageAnswer, StreamStep } from "./answer.ts";
import { type ConverseCall, objects, readConverse } from "./converse-call.ts";
import { Refusal } from "./failure.ts";
import type { Rendering } from "./message.ts";

/** Whether a body is one for Claude. */
export function isClaudeBody(body: unknown): body is JsonObject {
  return isJsonObject(body) && body.anthropic_version !== undefined;
}

/** Throws a ValidationException for what Bedrock refuses. */
export function readClaude(body: JsonObject): ConverseCall {
  if (body.anthropic_version !== "bedrock-2023-05-31") throw invalid("anthropic_version: Invalid value.");
  if (typeof body.max_tokens !== "number") throw invalid("max_tokens: Field required");
  if (body.model !== undefined) throw invalid("model: Extra inputs are not permitted");
  if (body.stream !== undefined) throw invalid("stream: Extra inputs are not permitted");
  const tools = objects(body.tools).filter(({ input_schema: schema }) => isJsonObject(schema));
  const toolSpecs = tools.flatMap(({ name, description, input_schema: json, cache_control: cache }) => [
    { toolSpec: { name, ...(description !== undefined && { description }), inputSchema: { json } } },
    ...cachePoint(cache),
  ]);
  return readConverse({
    messages: objects(body.messages).map(({ role, content }) => ({ role, content: blocks(content) })),
    ...(body.system !== undefined && { system: blocks(body.system) }),
    ...(toolSpecs.length > 0 && { toolConfig: { tools: toolSpecs, ...toolChoice(body.tool_choice) } }),
    inferenceConfig: { maxTokens: body.max_tokens },
  });
}

function toolChoice(choice: JsonValue | undefined): JsonObject {
  if (!isJsonObject(choice)) return {};
  if (choice.type === "any") return { toolChoice: { any: {} } };
  return choice.type === "tool" ? { toolChoice: { tool: { name: choice.name } } } : {};
}

function blocks(content: JsonValue | undefined): JsonObject[] {
  if (typeof content === "string") return [{ text: content }];
  return objects(content).flatMap((block) => [...converseBlock(block), ...cachePoint(block.cache_control)]);
}

function converseBlock(block: JsonObject): JsonObject[] {
  switch (block.type) {
    case "text":
      return [{ text: block.text }];
    case "tool_use":
      return [{ toolUse: { toolUseId: block.id, name: block.name, input: block.input } }];
    case "tool_result":
      return [{ toolResult: { toolUseId: block.tool_use_id, content: blocks(block.content) } }];
    case "thinking":
      return [{ reasoningContent: { reasoningText: { text: block.thinking, signature: block.signature } } }];
    case "image": {
      const { data } = isJsonObject(block.source) ? block.source : {};
      return [{ image: { format: "png", source: { bytes: data } } }];
    }
    default:
      return [];
  }
}

function cachePoint(control: JsonValue | undefined): JsonObject[] {
  if (!isJsonObject(control)) return [];
  return [{ cachePoint: { type: "default", ...(control.ttl !== undefined && { ttl: control.ttl }) } }];
}

/** The body of an InvokeModel response. */
export function claudeBody(answer: MessageAnswer, { usage }: Rendering, model: string): JsonObject {
  return {
    model,
    id: MESSAGE_ID,
    type: "message",
    role: "assistant",
    content: answer.content.flatMap(claudeBlock),
    stop_reason: stopReason(answer),
    stop_sequence: null,
    usage: claudeUsage(usage),
  };
}

/** AWS's own count of a whole answer. */
export function countHeaders({ usage }: Rendering): Record<string, string> {
  return {
    "x-amzn-bedrock-input-token-count": String(usage.inputTokens),
    "x-amzn-bedrock-output-token-count": String(usage.outputTokens),
  };
}

/** The events of InvokeModelWithResponseStream: Anthropic's, in AWS's chunks. */
export function claudeSteps(answer: MessageAnswer, { usage, latencyMs }: Rendering, model: string): StreamStep[] {
  const counted = claudeUsage(usage);
  const events: JsonObject[] = [
    {
      type: "message_start",
      message: {
        model,
        id: MESSAGE_ID,
        type: "message",
        role: "assistant",
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { ...counted, output_tokens: 1 },
      },
    },
  ];
  for (const [index, block] of answer.content.flatMap(claudeBlock).entries()) {
    events.push({ type: "content_block_start", index, content_block: emptied(block) });
    events.push(...deltas(block).map((delta) => ({ type: "content_block_delta", index, delta })));
    events.push({ type: "content_block_stop", index });
  }
  const delta = { stop_reason: stopReason(answer), stop_sequence: null };
  events.push({ type: "message_delta", delta, usage: { output_tokens: usage.outputTokens } });
  const { inputTokens: inputTokenCount, outputTokens: outputTokenCount } = usage;
  const metrics = {
    inputTokenCount,
    outputTokenCount,
    invocationLatency: latencyMs,
    firstByteLatency: latencyMs,
    ...(usage.cacheReadInputTokens !== undefined && {
      cacheReadInputTokenCount: usage.cacheReadInputTokens,
      cacheWriteInputTokenCount: usage.cacheWriteInputTokens,
    }),
  };
  events.push({ type: "message_stop", "amazon-bedrock-invocationMetrics": metrics });
  return events.map((event) => ({
    ...chunkStep(event),
    ...(answer.pace !== undefined && { delay: answer.pace }),
  }));
}

/** One event of a model's own stream, as AWS wraps it. */
export function chunkStep(event: JsonObject): StreamStep {
  return { event: "chunk", payload: { bytes: Buffer.from(stringifyJson(event)).toString("base64") } };
}

const MESSAGE_ID = "msg_bdrk_01SimulatedSimulatedSim";
const CHARACTERS_PER_DELTA = 12;

function claudeUsage(usage: JsonObject): JsonObject {
  const written = objects(usage.cacheDetails);
  const tokens = (ttl: string) =>
    written.filter((detail) => detail.ttl === ttl).reduce((sum, detail) => sum + Number(detail.inputTokens), 0);
  return {
    input_tokens: usage.inputTokens,
    cache_creation_input_tokens: usage.cacheWriteInputTokens ?? 0,
    cache_read_input_tokens: usage.cacheReadInputTokens ?? 0,
    cache_creation: { ephemeral_5m_input_tokens: tokens("5m"), ephemeral_1h_input_tokens: tokens("1h") },
    output_tokens: usage.outputTokens,
  };
}

function claudeBlock({ text, toolUse, reasoningContent }: JsonObject): JsonObject[] {
  if (typeof text === "string") return [{ type: "text", text }];
  if (isJsonObject(toolUse))
    return [{ type: "tool_use", id: toolUse.toolUseId, name: toolUse.name, input: toolUse.input }];
  const { reasoningText } = isJsonObject(reasoningContent) ? reasoningContent : {};
  if (!isJsonObject(reasoningText)) return [];
  return [{ type: "thinking", thinking: reasoningText.text, signature: reasoningText.signature }];
}

function emptied(block: JsonObject): JsonObject {
  if (block.type === "text") return { ...block, text: "" };
  if (block.type === "tool_use") return { ...block, input: {} };
  return { ...block, thinking: "", signature: "" };
}

function deltas({ type, text, input, thinking, signature }: JsonObject): JsonObject[] {
  if (type === "text") return pieces(text).map((piece) => ({ type: "text_delta", text: piece }));
  if (type === "tool_use")
    return pieces(stringifyJson(input)).map((piece) => ({ type: "input_json_delta", partial_json: piece }));
  return [
    ...pieces(thinking).map((piece) => ({ type: "thinking_delta", thinking: piece })),
    { type: "signature_delta", signature },
  ];
}

/** By code points: half a surrogate pair would not survive UTF-8. */
function pieces(value: JsonValue | undefined): string[] {
  const points = Array.from(String(value));
  const count = Math.ceil(points.length / CHARACTERS_PER_DELTA);
  return Array.from({ length: count }, (_, index) =>
    points.slice(index * CHARACTERS_PER_DELTA, (index + 1) * CHARACTERS_PER_DELTA).join(""),
  );
}

function stopReason(answer: MessageAnswer): string {
  return answer.stopReason ?? (answer.content.some((block) => block.toolUse !== undefined) ? "tool_use" : "end_turn");
}

function invalid(message: string): Refusal {
  return new Refusal("ValidationException", message);
}
