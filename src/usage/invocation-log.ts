/**
 * Bedrock's model invocation log: AWS's own account of each call, with the tokens that it bills.
 *
 * https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html, as it comes from S3 and from
 * CloudWatch Logs (a time before each line, or the record as text in `message`, in `logEvents` where it was streamed on). Prompts
 * and answers are passed over, except for how long cached tokens are kept, which only the answer's own usage says.
 */
import { isJsonObject, type JsonObject, type JsonValue } from "../json.ts";
import type { TokenUsage } from "../store/store.ts";

export interface InvocationEntry {
  /** Bedrock's request id. */
  readonly requestId: string;
  readonly at: number;
  readonly modelId: string;
  readonly errorCode: string | undefined;
  /** Undefined where the log does not say; `cacheWrite1hTokens` too. A call that failed without counts has used nothing. */
  readonly usage: TokenUsage | undefined;
  readonly serviceTier: string | undefined;
  readonly latency: string | undefined;
  /** What the gateway wrote into the request's metadata. */
  readonly keyId: string | undefined;
}

export interface ParsedRecord {
  readonly entries: readonly InvocationEntry[];
  /** What else the record holds: other logs. */
  readonly others: number;
  /** Why (a part of) it can't be used. */
  readonly problems: readonly string[];
}

const SCHEMA = "ModelInvocationLog";
const CLOUDWATCH_TIME = /^\s*\d{4}-\d\d-\d\dT[\d:.]+Z\s+(?=\{)/;

export function parseLogRecord(text: string): ParsedRecord {
  const value = parseJson(text.replace(/^\ufeff/, "").replace(CLOUDWATCH_TIME, ""));
  if (value === undefined) return { entries: [], others: 0, problems: ["it is not JSON"] };
  const found = [...unwrap(value)].map((record) => (typeof record === "string" ? record : toEntry(record)));
  return {
    entries: found.filter((item) => typeof item === "object"),
    others: found.filter((item) => item === undefined).length,
    problems: found.filter((item) => typeof item === "string"),
  };
}

/** The records in CloudWatch's wrapping, or a text that says what is wrong. */
function* unwrap(value: JsonValue): Iterable<JsonValue | string> {
  if (!isJsonObject(value)) return yield "it is not an object";
  const events = value.logEvents ?? value.events;
  const message = value.message ?? value["@message"];
  if (Array.isArray(events)) for (const event of events) yield* unwrap(event);
  else if (typeof message !== "string" || value.schemaType !== undefined) yield value;
  else {
    const inner = parseJson(message);
    // Other logs of the same group are no JSON.
    yield inner === undefined || !isJsonObject(inner) ? {} : inner;
  }
}

/** Undefined for another kind of log; a text where it is one of ours and can't be used. */
function toEntry(record: JsonValue): InvocationEntry | string | undefined {
  if (!isJsonObject(record) || record.schemaType !== SCHEMA) return undefined;
  const { requestId, modelId } = record;
  const at = typeof record.timestamp === "string" ? Date.parse(record.timestamp) : Number.NaN;
  if (typeof requestId !== "string" || requestId === "") return "it has no requestId";
  if (typeof modelId !== "string") return "it has no modelId";
  if (Number.isNaN(at)) return "it has no timestamp";
  const usage = usageOf(record);
  if (typeof usage === "string") return usage;
  const metadata = object(record.requestMetadata);
  return {
    requestId,
    at,
    modelId,
    errorCode: text(record.errorCode),
    usage,
    serviceTier: text(record.serviceTier) ?? text(object(record.serviceTier).type),
    latency: text(object(record.performanceConfig).latency),
    keyId: text(metadata.gateway_key_id),
  };
}

function usageOf(record: JsonObject): TokenUsage | string | undefined {
  const input = object(record.input);
  const output = object(record.output);
  const counts = [
    input.inputTokenCount,
    output.outputTokenCount,
    input.cacheReadInputTokenCount,
    input.cacheWriteInputTokenCount,
  ];
  if (counts.every((count) => count === undefined || count === null)) {
    return record.errorCode === undefined ? undefined : toUsage([0, 0, 0, 0], undefined);
  }
  const numbers = counts.map((count) => count ?? 0);
  return numbers.every(isCount) ? toUsage(numbers, oneHourTokens(output)) : "a token count is not a whole number";
}

function toUsage([input = 0, output = 0, read = 0, write = 0]: readonly number[], oneHour: number | undefined) {
  return {
    inputTokens: input,
    outputTokens: output,
    cacheReadTokens: read,
    cacheWriteTokens: write,
    ...(oneHour !== undefined && { cacheWrite1hTokens: Math.min(oneHour, write) }),
  };
}

/** From the usage in Converse's answer, or in a stream's `metadata` event, where the log has bodies. */
function oneHourTokens({ outputBodyJson: body }: JsonObject): number | undefined {
  const bodies = Array.isArray(body) ? body.map((event) => object(object(event).metadata ?? event)) : [object(body)];
  const details = bodies.map((part) => object(part.usage).cacheDetails).find((list) => Array.isArray(list));
  if (!Array.isArray(details)) return undefined;
  const counts = details.map(object).filter(({ ttl }) => ttl === "1h");
  return counts.reduce((sum, { inputTokens }) => sum + (isCount(inputTokens) ? inputTokens : 0), 0);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function text(value: JsonValue | undefined): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function object(value: JsonValue | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}

function parseJson(source: string): JsonValue | undefined {
  try {
    return JSON.parse(source);
  } catch {
    return undefined;
  }
}
