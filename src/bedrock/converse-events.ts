/**
 * Frames to the events of ConverseStream. An exception inside the stream is thrown as the GatewayError that it means.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html. Payloads carry a padding key
 * `p`, which is ignored; event types that are unknown here pass as `unknown`, since Bedrock adds them without notice.
 */
import { GatewayError } from "../errors.ts";
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from "../json.ts";
import type { Transform } from "../transform.ts";
import type { BlockDelta, ConverseEvent, TokenUsage } from "./converse.ts";
import { bedrockError, typeName } from "./errors.ts";
import type { Frame } from "./event-stream.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });

export function converseEvents(): Transform<Frame, ConverseEvent> {
  return {
    push: (frame) => [readFrame(frame)],
    end: () => [],
  };
}

function readFrame(frame: Frame): ConverseEvent {
  const { eventType, body } = readEventFrame(frame);
  return readEvent(eventType, body);
}

/** An event of any of Bedrock's streams. Throws what an exception's frame means. */
export function readEventFrame({ headers, payload }: Frame): { eventType: string; body: JsonObject } {
  const messageType = headers[":message-type"];
  switch (messageType) {
    case "event":
      return { eventType: headers[":event-type"] ?? "", body: readPayload(payload) };
    case "exception":
      throw streamException(headers[":exception-type"] ?? "", payload);
    case "error":
      throw bedrockError({
        type: typeName(headers[":error-code"] ?? ""),
        message: headers[":error-message"] ?? "",
        status: 0,
      });
    default:
      throw new GatewayError("upstream_invalid_response", "Bedrock's stream has a frame of an unknown message type.");
  }
}

function readEvent(eventType: string, body: JsonObject): ConverseEvent {
  switch (eventType) {
    case "messageStart":
      return { type: "messageStart", role: text(body.role) ?? "assistant" };
    case "contentBlockStart":
      return { type: "contentBlockStart", index: blockIndex(body), start: blockStart(object(body.start)) };
    case "contentBlockDelta":
      return { type: "contentBlockDelta", index: blockIndex(body), delta: blockDelta(object(body.delta)) };
    case "contentBlockStop":
      return { type: "contentBlockStop", index: blockIndex(body) };
    case "messageStop":
      return {
        type: "messageStop",
        stopReason: text(body.stopReason) ?? "",
        ...optional("additionalModelResponseFields", body.additionalModelResponseFields),
      };
    case "metadata":
      return {
        type: "metadata",
        usage: tokenUsage(object(body.usage)),
        ...optional("latencyMs", count(object(body.metrics).latencyMs)),
        ...optional("serviceTier", text(object(body.serviceTier).type)),
        ...optional("performance", text(object(body.performanceConfig).latency)),
        ...optional("trace", body.trace),
      };
    default:
      return { type: "unknown", eventType };
  }
}

function blockStart(start: JsonObject) {
  const toolUse = object(start.toolUse);
  const toolUseId = text(toolUse.toolUseId);
  const name = text(toolUse.name);
  return toolUseId === undefined || name === undefined ? {} : { toolUse: { toolUseId, name } };
}

/** A union: one member at a time, and nearly always the text. */
function blockDelta(delta: JsonObject): BlockDelta {
  if (typeof delta.text === "string") return { text: delta.text };
  const reasoning = delta.reasoningContent;
  const toolUse = delta.toolUse;
  return {
    ...(toolUse === undefined ? {} : { toolUse: optional("input", text(object(toolUse).input)) }),
    ...(reasoning === undefined ? {} : { reasoningContent: reasoningDelta(object(reasoning)) }),
    ...optional("citation", delta.citation),
  };
}

function reasoningDelta(reasoning: JsonObject) {
  return {
    ...optional("text", text(reasoning.text)),
    ...optional("signature", text(reasoning.signature)),
    ...optional("redactedContent", text(reasoning.redactedContent)),
  };
}

/** Bedrock's usage object, from an event or an answer; absent counts are zero. */
export function tokenUsage(usage: JsonObject): TokenUsage {
  const details = usage.cacheDetails;
  return {
    inputTokens: count(usage.inputTokens) ?? 0,
    outputTokens: count(usage.outputTokens) ?? 0,
    ...optional("totalTokens", count(usage.totalTokens)),
    ...optional("cacheReadInputTokens", count(usage.cacheReadInputTokens)),
    ...optional("cacheWriteInputTokens", count(usage.cacheWriteInputTokens)),
    ...(Array.isArray(details) ? { cacheDetails: details.map(cacheDetail) } : {}),
  };
}

function cacheDetail(value: JsonValue) {
  const detail = object(value);
  return { ttl: text(detail.ttl) ?? "", inputTokens: count(detail.inputTokens) ?? 0 };
}

function streamException(type: string, payload: Uint8Array): GatewayError {
  let body: JsonObject = {};
  try {
    body = readPayload(payload);
  } catch {
    // An exception without a readable text is still that exception.
  }
  const message = text(body.message) ?? text(body.Message) ?? text(body.originalMessage) ?? "";
  const originalStatus = count(body.originalStatusCode);
  return bedrockError({ type: typeName(type), message, status: 0, ...optional("originalStatus", originalStatus) });
}

function readPayload(payload: Uint8Array): JsonObject {
  try {
    const value = parseJson(utf8.decode(payload));
    if (isJsonObject(value)) return value;
  } catch (cause) {
    throw new GatewayError("upstream_invalid_response", "Bedrock's stream has a frame whose payload is not JSON.", {
      cause,
    });
  }
  throw new GatewayError(
    "upstream_invalid_response",
    "Bedrock's stream has a frame whose payload is not a JSON object.",
  );
}

function blockIndex(body: JsonObject): number {
  return count(body.contentBlockIndex) ?? 0;
}

const NOTHING: JsonObject = {};

function object(value: JsonValue | undefined): JsonObject {
  return isJsonObject(value) ? value : NOTHING;
}

function text(value: JsonValue | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** The largest number that can be a count of tokens. The sum of a few larger ones is more than a report can hold. */
const MAX_COUNT = 1_000_000_000;

function count(value: JsonValue | undefined): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_COUNT ? value : undefined;
}

function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: V });
}
