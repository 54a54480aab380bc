/**
 * A Chat Completions request as a Converse request.
 *
 * https://platform.openai.com/docs/api-reference/chat/create. Unknown fields are ignored and null is absent, as OpenAI
 * does it. What was asked for and cannot be done is refused with its `param`; what makes no difference to the answer's
 * shape or cost (`seed`, `logit_bias`, `user`, `store` …) is left out. Models' own limits are applied later.
 */
import { limitCachePoints } from "../../bedrock/cache-points.ts";
import { repairConversation, repairSystem } from "../../bedrock/conversation.ts";
import type { ConverseRequest, InferenceConfig } from "../../bedrock/converse.ts";
import { EFFORTS, type Effort, type Intent } from "../../bedrock/intent.ts";
import { toolConfig } from "../../bedrock/tool-config.ts";
import { type ToolNames, toolNames } from "../../bedrock/tool-names.ts";
import type { RemoteImage } from "../dialect.ts";
import { Field } from "../fields.ts";
import { readMessages } from "./messages.ts";
import { readTools } from "./tools.ts";

export interface ChatRequest {
  model: string;
  stream: boolean;
  includeUsage: boolean;
  request: ConverseRequest;
  intent: Intent;
  choices: number;
  remoteImages: RemoteImage[];
  names: ToolNames;
  warnings: string[];
}

const MAX_MODEL_LENGTH = 2048;
const MAX_STOP_SEQUENCES = 2500;

export function readRequest(value: unknown): ChatRequest {
  const body = Field.root(value);
  body.object("a JSON object");
  const model = readModel(body.at("model"));
  refuseResponsesBody(body);
  refuseUnsupported(body);
  const names = toolNames();
  const warnings = new Set<string>();
  const { tools, mode } = readTools(body, names, warnings);
  const history = readMessages(body.at("messages"), names);
  const { messages, warnings: repairs } = repairConversation(history.turns);
  const system = repairSystem(history.system);
  const inferenceConfig = readInference(body, warnings);
  const config = toolConfig(tools, mode, messages);
  const effort = readEffort(body.at("reasoning_effort"));
  const limited = limitCachePoints({
    messages,
    ...(system.length > 0 && { system }),
    ...(Object.keys(inferenceConfig).length > 0 && { inferenceConfig }),
    ...(config && { toolConfig: config }),
  });
  warnAboutIgnored(body, tools.length > 0, warnings);
  return {
    model,
    stream: readFlag(body.at("stream")),
    includeUsage: readFlag(body.at("stream_options").at("include_usage")),
    request: limited.request,
    intent: { ...(effort !== undefined && { effort }) },
    choices: 1,
    remoteImages: [],
    names,
    warnings: [...warnings, ...repairs, ...limited.warnings],
  };
}

function readModel(model: Field): string {
  const name = model.name("the name of a model");
  if (name.length > MAX_MODEL_LENGTH) throw model.error(`must be at most ${MAX_MODEL_LENGTH} characters long`);
  return name;
}

/** Some clients post a Responses body to this path. */
function refuseResponsesBody(body: Field): void {
  if (!body.at("messages").absent || body.at("input").absent) return;
  throw body.at("messages").error('is missing: this body has "input", as for /v1/responses. Send "messages" here');
}

function refuseUnsupported(body: Field): void {
  const n = body.at("n");
  if (!n.absent && n.value !== 1) throw n.error("must be 1: Bedrock gives one answer, send one request for each");
  const logprobs = body.at("logprobs");
  if (!logprobs.absent && logprobs.boolean()) throw logprobs.error("must be false: Bedrock gives no log probabilities");
  const format = body.at("response_format");
  if (!format.absent && format.at("type").value !== "text")
    throw format.error('must be {"type": "text"} or left out: other formats are not supported');
  const audio = body.at("audio");
  if (!audio.absent) throw audio.error("must be left out: answers are text");
  const modalities = body.at("modalities");
  if (!modalities.absent && modalities.items().some((modality) => modality.value !== "text"))
    throw modalities.error('must be ["text"] or left out: answers are text');
  const search = body.at("web_search_options");
  if (!search.absent) throw search.error("must be left out: web search is not supported");
}

function readInference(body: Field, warnings: Set<string>): InferenceConfig {
  const config: InferenceConfig = {};
  const newer = body.at("max_completion_tokens");
  const maxTokens = newer.absent ? body.at("max_tokens") : newer;
  if (!maxTokens.absent) config.maxTokens = maxTokens.integer(1);
  const temperature = body.at("temperature");
  if (!temperature.absent) {
    config.temperature = Math.min(temperature.number(0, 2), 1);
    if (temperature.number(0, 2) > 1) warnings.add("temperature was lowered to 1, the most that Bedrock takes");
  }
  const topP = body.at("top_p");
  if (!topP.absent) config.topP = topP.number(0, 1);
  const stopSequences = readStop(body.at("stop"));
  if (stopSequences.length > 0) config.stopSequences = stopSequences;
  return config;
}

function readStop(stop: Field): string[] {
  if (stop.absent) return [];
  const items = typeof stop.value === "string" ? [stop] : stop.items("a string or an array of strings");
  if (items.length > MAX_STOP_SEQUENCES) throw stop.error(`must have at most ${MAX_STOP_SEQUENCES} strings`);
  return items.map((item) => item.string()).filter((text) => text !== "");
}

function readEffort(effort: Field): Effort | undefined {
  if (effort.absent) return undefined;
  const known = EFFORTS.find((keyword) => keyword === effort.value);
  if (known === undefined) throw effort.mustBeOneOf(EFFORTS);
  return known;
}

function readFlag(flag: Field): boolean {
  return !flag.absent && flag.boolean();
}

function warnAboutIgnored(body: Field, hasTools: boolean, warnings: Set<string>): void {
  const parallel = body.at("parallel_tool_calls");
  if (!parallel.absent && !parallel.boolean() && hasTools)
    warnings.add("parallel_tool_calls false is not supported, the model may call several tools");
  const tier = body.at("service_tier").value;
  if (tier === "flex" || tier === "priority")
    warnings.add(`service_tier ${tier} is not supported, the default was used`);
}
