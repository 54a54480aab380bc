/**
 * Bedrock's own settings, which clients reach by extension fields of the same shape in every dialect: guardrails, latency,
 * fields of the model's own, and the service tier.
 *
 * Each may be written in snake_case or as AWS writes it. Values are checked by AWS's service model, so that a mistake
 * names the field and is found before anything is sent.
 */
import type { ConverseRequest, GuardrailConfig } from "../bedrock/converse.ts";
import { isTooDeep, type JsonObject, MAX_JSON_DEPTH } from "../json.ts";
import type { Field } from "./fields.ts";

type Settings = Pick<ConverseRequest, "guardrailConfig" | "performanceConfig" | "serviceTier">;

const GUARDRAIL = /^([a-z0-9]+|arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:guardrail\/[a-z0-9]+)$/;
const GUARDRAIL_VERSION = /^([1-9][0-9]{0,7}|DRAFT)$/;
const MAX_GUARDRAIL_LENGTH = 2048;
const TRACES = ["enabled", "disabled", "enabled_full"] as const;
const PROCESSING_MODES = ["sync", "async"] as const;
const LATENCIES = ["standard", "optimized"] as const;
const TIERS = ["auto", "default", "flex", "priority"] as const;

/** `tier`: Bedrock's word for the request's `service_tier`, where an API has words of its own. */
export function readBedrockSettings(
  body: Field,
  stream: boolean,
  tier: string | undefined = readTier(body.at("service_tier")),
): Settings {
  const guardrail = extension(body, "guardrail_config", "guardrailConfig");
  const performance = extension(body, "performance_config", "performanceConfig");
  const latency = performance.absent ? undefined : readLatency(performance);
  return {
    ...(!guardrail.absent && { guardrailConfig: readGuardrail(guardrail, stream) }),
    ...(latency !== undefined && { performanceConfig: { latency } }),
    ...(tier !== undefined && { serviceTier: { type: tier } }),
  };
}

/** Names that Converse has a place for, or that would take the request out of the gateway's limits. */
const TAKEN_MODEL_FIELDS: ReadonlySet<string> = new Set(
  (
    "model modelId messages system prompt input stream tools tool_choice toolConfig n best_of anthropic_version " +
    "max_tokens max_completion_tokens max_output_tokens max_tokens_to_sample max_gen_len max_new_tokens maxTokens " +
    "maxTokenCount temperature top_p topP stop stop_sequences stopSequences service_tier guardrailConfig " +
    "output_config response_format"
  ).split(" "),
);
/** The same inside Nova's `inferenceConfig`, where `topK` has its place. */
const TAKEN_INFERENCE_FIELDS: ReadonlySet<string> = new Set(
  "max_new_tokens maxTokens temperature topP top_p stopSequences".split(" "),
);

/** `additional_model_request_fields`, which reach the model as they are, or undefined. */
export function readModelFields(body: Field): JsonObject | undefined {
  const fields = extension(body, "additional_model_request_fields", "additionalModelRequestFields");
  if (fields.absent) return undefined;
  const given = fields.object();
  if (Object.keys(given).length === 0) return undefined;
  if (isTooDeep(given)) throw fields.error(`must not be nested more than ${MAX_JSON_DEPTH} levels deep`);
  refuseTaken(fields, TAKEN_MODEL_FIELDS);
  refuseTaken(fields.at("inferenceConfig"), TAKEN_INFERENCE_FIELDS);
  if (!fields.at("thinking").absent && !extension(body, "thinking", "thinking").absent)
    throw fields.at("thinking").error("is given twice: send thinking by itself");
  return given;
}

/** The field under either name, in the body or in an `extra_body` that an SDK did not unpack. */
export function extension(body: Field, snake: string, camel: string): Field {
  const extra = body.at("extra_body");
  const places = [body.at(snake), body.at(camel), extra.at(snake), extra.at(camel)];
  return places.find((field) => !field.absent) ?? body.at(snake);
}

function refuseTaken(fields: Field, taken: ReadonlySet<string>): void {
  if (fields.absent) return;
  const name = Object.keys(fields.object()).find((key) => taken.has(key));
  if (name !== undefined)
    throw fields.at(name).error("must not be set here: the request has a field of its own for it");
}

function readGuardrail(guardrail: Field, stream: boolean): GuardrailConfig {
  guardrail.object();
  const identifier = guardrail.at("guardrailIdentifier");
  const version = guardrail.at("guardrailVersion");
  const guardrailIdentifier = identifier.string("a guardrail's id or ARN");
  if (guardrailIdentifier.length > MAX_GUARDRAIL_LENGTH || !GUARDRAIL.test(guardrailIdentifier))
    throw identifier.error("must be a guardrail's id or ARN");
  const guardrailVersion = typeof version.value === "number" ? String(version.value) : version.string("a version");
  if (!GUARDRAIL_VERSION.test(guardrailVersion)) throw version.error('must be "DRAFT" or a version number');
  const trace = guardrail.at("trace");
  const mode = guardrail.at("streamProcessingMode");
  const streamProcessingMode = mode.absent ? undefined : mode.oneOf(PROCESSING_MODES);
  return {
    guardrailIdentifier,
    guardrailVersion,
    ...(!trace.absent && { trace: trace.oneOf(TRACES) }),
    ...(streamProcessingMode !== undefined && stream && { streamProcessingMode }),
  };
}

function readLatency(performance: Field): (typeof LATENCIES)[number] | undefined {
  performance.object();
  const latency = performance.at("latency");
  return latency.absent ? undefined : latency.oneOf(LATENCIES);
}

/** `auto` leaves the choice to the account, as does Bedrock without the field. */
export function readTier(tier: Field): string | undefined {
  const name = tier.absent ? "auto" : tier.oneOf(TIERS);
  return name === "auto" ? undefined : name;
}
