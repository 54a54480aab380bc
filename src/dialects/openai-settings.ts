/**
 * Settings in the words of OpenAI's APIs, Chat Completions and Responses, and those of others that their clients mix in.
 *
 * Left out without a word is what makes no difference that a client could rely on: `seed`, `logit_bias`, penalties,
 * `prediction`, `verbosity`, prompt cache keys, and fields that nobody knows.
 */
import type { ConverseRequest, InferenceConfig } from "../bedrock/converse.ts";
import type { Intent } from "../bedrock/intent.ts";
import { requestMetadata } from "../bedrock/request-metadata.ts";
import { extension, readBedrockSettings, readModelFields } from "./bedrock-fields.ts";
import { readTopK } from "./call-fields.ts";
import type { Field } from "./fields.ts";
import { readAnswerFormat, readEffort, readThinkingMode } from "./intent-fields.ts";

const MAX_STOP_SEQUENCES = 2500;

export function readInference(body: Field, warnings: Set<string>): InferenceConfig {
  const config: InferenceConfig = {};
  const maxTokens = first(body, "max_completion_tokens", "max_tokens", "max_output_tokens");
  if (!maxTokens.absent) config.maxTokens = maxTokens.integer(1);
  const temperature = body.at("temperature");
  if (!temperature.absent) {
    config.temperature = Math.min(temperature.number(0, 2), 1);
    if (temperature.number(0, 2) > 1) warnings.add("temperature was lowered to 1, the most that Bedrock takes");
  }
  const topP = body.at("top_p");
  if (!topP.absent) config.topP = topP.number(0, 1);
  const stopSequences = readStop(first(body, "stop", "stop_sequences"));
  if (stopSequences.length > 0) config.stopSequences = stopSequences;
  return config;
}

/** `hasTools`: whether there is anything to call in parallel. */
export function readIntent(body: Field, hasTools: boolean): Intent {
  const reasoning = body.at("reasoning");
  const effort = readEffort(body.at("reasoning_effort"), reasoning.at("effort"), body.at("output_config").at("effort"));
  const thinking = readThinkingMode(extension(body, "thinking", "thinking"));
  const format = readAnswerFormat(
    body.at("response_format").absent ? body.at("text").at("format") : body.at("response_format"),
  );
  const topK = readTopK(extension(body, "top_k", "topK"));
  const modelFields = readModelFields(body);
  return {
    ...(effort !== undefined && { effort }),
    ...(thinking !== undefined && { thinking }),
    ...(format !== undefined && { format }),
    ...(hasTools && oneCallAtATime(body) && { parallelToolCalls: false }),
    ...(topK !== undefined && { topK }),
    ...(modelFields !== undefined && { modelFields }),
  };
}

export type RequestSettings = Pick<
  ConverseRequest,
  "guardrailConfig" | "performanceConfig" | "serviceTier" | "requestMetadata"
>;

export function readRequestSettings(body: Field, stream: boolean, warnings: Set<string>): RequestSettings {
  const metadata = body.at("metadata");
  const entries = metadata.absent ? [] : Object.entries(metadata.object());
  for (const name of ["user", "safety_identifier"]) {
    const field = body.at(name);
    if (!field.absent) entries.unshift([name, field.string()]);
  }
  const { warnings: dropped, ...request } = requestMetadata(entries);
  for (const warning of dropped) warnings.add(warning);
  return { ...request, ...readBedrockSettings(body, stream) };
}

function first(body: Field, name: string, ...others: string[]): Field {
  const fields = [name, ...others].map((key) => body.at(key));
  return fields.find((field) => !field.absent) ?? body.at(name);
}

function readStop(stop: Field): string[] {
  if (stop.absent) return [];
  const items = typeof stop.value === "string" ? [stop] : stop.items("a string or an array of strings");
  if (items.length > MAX_STOP_SEQUENCES) throw stop.error(`must have at most ${MAX_STOP_SEQUENCES} strings`);
  return items.map((item) => item.string()).filter((text) => text !== "");
}

/** OpenAI's way to say it, Anthropic's, and the retired functions, which had no other. */
function oneCallAtATime(body: Field): boolean {
  const parallel = body.at("parallel_tool_calls");
  const disabled = body.at("tool_choice").at("disable_parallel_tool_use");
  if (!parallel.absent) return !parallel.boolean();
  if (!disabled.absent) return disabled.boolean();
  return body.at("tools").absent && !body.at("functions").absent;
}
