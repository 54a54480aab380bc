/**
 * Everything in a Messages request that is neither conversation nor tools.
 *
 * Left out without a word is what makes no difference that a client could rely on: `context_management`, `container`,
 * `inference_geo`, `speed`, `diagnostics`, and fields that nobody knows. Claude Code sends some of them with each request.
 */
import type { ConverseRequest, InferenceConfig } from "../../bedrock/converse.ts";
import { EFFORTS, type Effort, type Intent, type Thinking } from "../../bedrock/intent.ts";
import { requestMetadata } from "../../bedrock/request-metadata.ts";
import { GatewayError } from "../../errors.ts";
import { extension, readBedrockSettings, readModelFields, readTier } from "../bedrock-fields.ts";
import { readTopK } from "../call-fields.ts";
import type { CallMeta } from "../dialect.ts";
import type { Field } from "../fields.ts";
import { readAnswerFormat, readEffort, readThinkingMode } from "../intent-fields.ts";

const MAX_STOP_SEQUENCES = 2500;
const DISPLAYS = ["summarized", "omitted"] as const;

/**
 * Previews that Bedrock takes in a Converse request's `anthropic_beta`. It refuses a name that it does not know, and
 * Claude Code sends five and more with each request.
 */
const BETAS: ReadonlySet<string> = new Set([
  "computer-use-2025-01-24",
  "computer-use-2025-11-24",
  "context-1m-2025-08-07",
  "effort-2025-11-24",
  "fine-grained-tool-streaming-2025-05-14",
  "structured-outputs-2025-11-13",
  "thinking-binding-controls-2026-08-01",
  "thinking-display-updates-2026-08-18",
]);

/** In the words that Anthropic's clients know. */
export function required(field: Field): Field {
  if (!field.absent) return field;
  throw new GatewayError("invalid_request", `${field.path}: Field required`, { param: field.path });
}

export function readInference(body: Field): InferenceConfig {
  const config: InferenceConfig = {};
  const maxTokens = body.at("max_tokens");
  if (!maxTokens.absent) config.maxTokens = maxTokens.integer(1);
  const temperature = body.at("temperature");
  if (!temperature.absent) config.temperature = temperature.number(0, 1);
  const topP = body.at("top_p");
  if (!topP.absent) config.topP = topP.number(0, 1);
  const stopSequences = readStopSequences(body.at("stop_sequences"));
  if (stopSequences.length > 0) config.stopSequences = stopSequences;
  return config;
}

/** `parallel` is false where one call in a turn is all that the client wants, and there is something to call. */
export function readIntent(body: Field, parallel: boolean, meta: CallMeta): Intent {
  const effort = readOutputEffort(body.at("output_config").at("effort"));
  const thinking = readThinking(body.at("thinking"));
  const display = body.at("thinking").at("display");
  const format = readAnswerFormat(
    body.at("output_config").at("format").absent ? body.at("output_format") : body.at("output_config").at("format"),
  );
  const topK = readTopK(body.at("top_k"));
  const betas = readBetas(body, meta);
  const modelFields = readModelFields(body);
  return {
    ...(effort !== undefined && (thinking === undefined ? { outputEffort: effort } : { effort })),
    ...(thinking !== undefined && { thinking }),
    ...(!display.absent && { thinkingDisplay: display.oneOf(DISPLAYS) }),
    ...(format !== undefined && { format }),
    ...(!parallel && { parallelToolCalls: false }),
    ...(topK !== undefined && { topK }),
    ...(betas.length > 0 && { betas }),
    ...(!body.at("stop_sequences").absent && { namesStopSequence: true }),
    ...(modelFields !== undefined && { modelFields }),
  };
}

export type RequestSettings = Pick<
  ConverseRequest,
  "guardrailConfig" | "performanceConfig" | "serviceTier" | "requestMetadata"
>;

export function readRequestSettings(body: Field, stream: boolean, warnings: Set<string>): RequestSettings {
  const user = body.at("metadata").at("user_id");
  const { warnings: dropped, ...request } = requestMetadata(user.absent ? [] : [["user", user.string()]]);
  for (const warning of dropped) warnings.add(warning);
  const servers = body.at("mcp_servers");
  if (Array.isArray(servers.value) && servers.value.length > 0) warnings.add("mcp_servers are not supported, left out");
  return { ...request, ...readBedrockSettings(body, stream, readServiceTier(body.at("service_tier"))) };
}

/** Anthropic's own `standard_only`, and Bedrock's words. */
function readServiceTier(tier: Field): string | undefined {
  return tier.value === "standard_only" ? "default" : readTier(tier);
}

function readOutputEffort(effort: Field): Exclude<Effort, "none"> | undefined {
  const read = readEffort(effort);
  if (read === "none") throw effort.mustBeOneOf(EFFORTS.filter((name) => name !== "none"));
  return read;
}

/** Between tools is the least of thinking that some models can be brought to: where they can stop, they stop. */
function readThinking(thinking: Field): Thinking | undefined {
  return thinking.at("type").value === "between_tools" ? { type: "disabled" } : readThinkingMode(thinking);
}

function readStopSequences(stop: Field): string[] {
  if (stop.absent) return [];
  const items = stop.items("an array of strings");
  if (items.length > MAX_STOP_SEQUENCES) throw stop.error(`must have at most ${MAX_STOP_SEQUENCES} strings`);
  return items.map((item) => item.string()).filter((text) => text !== "");
}

/** From the header `anthropic-beta`, and from the body as SDKs and Bedrock's own API spell it. */
function readBetas(body: Field, meta: CallMeta): string[] {
  const header = meta.header?.("anthropic-beta") ?? "";
  const listed = [body.at("betas"), extension(body, "anthropic_beta", "anthropicBeta")].flatMap(({ value }) =>
    Array.isArray(value) ? value : [],
  );
  const names = [...header.split(",").map((name) => name.trim()), ...listed];
  return [...new Set(names)].filter((name) => BETAS.has(name));
}
