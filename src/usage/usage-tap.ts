/**
 * Reads usage out of an answer of Bedrock's own API while its bytes pass to the client as they are.
 *
 * Converse says it in its body or its last event, InvokeModel in two headers or in the metrics of its last chunk. Those count
 * what was read from a prompt cache and written to it for some models only, and never for how long it was written: where
 * the model itself says it (Claude, Nova) its own numbers are taken. Nothing else is known of models' bodies; text in them
 * is counted for an estimate. A tap is no judge: what it can't read is not an error, except where Bedrock says so itself.
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html and
 * https://platform.claude.com/docs/en/api/messages for Claude's `usage`.
 */
import type { TokenUsage } from "../bedrock/converse.ts";
import { converseEvents, readEventFrame, tokenUsage } from "../bedrock/converse-events.ts";
import { bedrockHttpError } from "../bedrock/errors.ts";
import { type Frame, frames } from "../bedrock/event-stream.ts";
import type { ModelOperation } from "../bedrock/model-call.ts";
import { GatewayError } from "../errors.ts";
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from "../json.ts";
import { chain, type Transform } from "../transform.ts";
import { textBytes } from "./estimate.ts";
import type { Sighting } from "./meter.ts";

/** A response header by its lower-case name. */
type Header = (name: string) => string | undefined;

/** Far above what a model writes; of a larger answer (a long video as base64) only the headers are read. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/**
 * For an answer with status 200. Throws GatewayError from `push` for an exception in the stream and for a frame that is
 * corrupt, from `end` for an answer that is none or has no end: then it is of no more use.
 */
export function usageTap(operation: ModelOperation, header: Header): Transform<Uint8Array, Sighting> {
  const streamed = (header("content-type") ?? "").startsWith("application/vnd.amazon.eventstream");
  if (operation === "converse") return wholeBody((body) => converseSightings(body, header));
  if (operation === "invoke") return wholeBody((body) => modelSightings(body, header), headerSightings(header));
  if (!streamed) return wholeBody((body) => failedStream(body, header));
  return operation === "converse-stream"
    ? chain(frames(), converseEvents(), untilEnd())
    : chain(frames(), modelChunks(header));
}

/** `read` gets undefined where the body is too large. `first` is known before it. */
function wholeBody(
  read: (body: string | undefined) => readonly Sighting[],
  first: readonly Sighting[] = [],
): Transform<Uint8Array, Sighting> {
  let chunks: Uint8Array[] = [];
  let size = 0;
  let untold = first;
  const tellFirst = () => {
    const told = untold;
    untold = [];
    return told;
  };
  return {
    push(bytes) {
      size += bytes.length;
      if (size > MAX_BODY_BYTES) chunks = [];
      else chunks.push(bytes);
      return tellFirst();
    },
    end: () => [...tellFirst(), ...read(size > MAX_BODY_BYTES ? undefined : Buffer.concat(chunks).toString("utf8"))],
  };
}

/** ConverseStream without its last event has not ended. Of other streams nobody knows what the last one is. */
function untilEnd(): Transform<Sighting, Sighting> {
  let whole = false;
  return {
    push(sighting) {
      whole ||= sighting.type === "metadata";
      return [sighting];
    },
    end() {
      if (whole) return [];
      throw new GatewayError("upstream_invalid_response", "Amazon Bedrock's stream ended before it was complete.");
    },
  };
}

// Whole answers

function converseSightings(body: string | undefined, header: Header): readonly Sighting[] {
  if (body === undefined) return [];
  const json = parsed(body);
  // Bedrock's front end answers an unknown path with status 200 too.
  if (json?.output === undefined) throw bedrockHttpError(200, header, body);
  const text: Sighting = { type: "text", bytes: textBytes(json.output) };
  if (!isJsonObject(json.usage)) return [text];
  return [
    text,
    ...reasoning(json.additionalModelResponseFields),
    metadata(tokenUsage(json.usage), {
      serviceTier: string(member(json.serviceTier, "type")),
      performance: string(member(json.performanceConfig, "latency")),
    }),
  ];
}

function modelSightings(body: string | undefined, header: Header): readonly Sighting[] {
  const json = body === undefined ? undefined : parsed(body);
  if (json === undefined) return [];
  const text: Sighting = { type: "text", bytes: textBytes(json) };
  const usage = modelUsage(json.usage);
  return usage === undefined ? [text] : [text, ...reasoning(json), metadata(usage, servedBy(header))];
}

function headerSightings(header: Header): Sighting[] {
  const inputTokens = count(Number(header("x-amzn-bedrock-input-token-count") ?? Number.NaN));
  const outputTokens = count(Number(header("x-amzn-bedrock-output-token-count") ?? Number.NaN));
  if (inputTokens === undefined && outputTokens === undefined) return [];
  return [metadata({ inputTokens: inputTokens ?? 0, outputTokens: outputTokens ?? 0 }, servedBy(header))];
}

function failedStream(body: string | undefined, header: Header): never {
  throw bedrockHttpError(200, header, body ?? "");
}

// Chunks of InvokeModelWithResponseStream

/** `chunk` events hold the model's own JSON as base64. */
function modelChunks(header: Header): Transform<Frame, Sighting> {
  /** What the model said of its usage so far: Claude says the prompt's at the start and the answer's at the end. */
  let said: JsonObject = {};
  let complete = false;

  function* read(chunk: JsonObject): Iterable<Sighting> {
    const bytes = chunkBytes(chunk);
    if (bytes > 0) yield { type: "text", bytes };
    const usage = chunkUsage(chunk);
    if (usage !== undefined) {
      said = { ...said, ...usage };
      const known = modelUsage(said);
      if (known !== undefined && chunk.type === "message_start") yield { type: "prompt", usage: known };
      else if (known !== undefined) {
        complete = true;
        yield* reasoning({ usage: said });
        yield metadata(known, servedBy(header));
      }
    }
    const metrics = chunk["amazon-bedrock-invocationMetrics"];
    if (!complete && isJsonObject(metrics)) yield metadata(metricsUsage(metrics), servedBy(header));
  }

  return {
    push(frame) {
      const { eventType, body } = readEventFrame(frame);
      const chunk =
        eventType === "chunk" && typeof body.bytes === "string"
          ? parsed(Buffer.from(body.bytes, "base64").toString("utf8"))
          : undefined;
      return chunk === undefined ? [] : read(chunk);
    },
    end: () => [],
  };
}

function chunkUsage({ usage, message, metadata: nova }: JsonObject): JsonObject | undefined {
  return [usage, member(message, "usage"), member(nova, "usage")].find(isJsonObject);
}

/** Of Claude's events only deltas have text; a signature is none. */
function chunkBytes(chunk: JsonObject): number {
  if (typeof chunk.type !== "string") return textBytes({ ...chunk, "amazon-bedrock-invocationMetrics": undefined });
  const { type: _, signature: __, ...delta } = isJsonObject(chunk.delta) ? chunk.delta : {};
  return chunk.type === "content_block_delta" ? textBytes(delta) : 0;
}

function metricsUsage(metrics: JsonObject): TokenUsage {
  return {
    inputTokens: count(metrics.inputTokenCount) ?? 0,
    outputTokens: count(metrics.outputTokenCount) ?? 0,
    cacheReadInputTokens: count(metrics.cacheReadInputTokenCount) ?? 0,
    cacheWriteInputTokens: count(metrics.cacheWriteInputTokenCount) ?? 0,
  };
}

// A model's own usage

/** Claude's names, or Nova's. Undefined for any other shape: then Bedrock's count is better. */
function modelUsage(usage: JsonValue | undefined): TokenUsage | undefined {
  if (!isJsonObject(usage)) return undefined;
  return claudeUsage(usage) ?? novaUsage(usage);
}

function claudeUsage(usage: JsonObject): TokenUsage | undefined {
  const inputTokens = count(usage.input_tokens);
  const outputTokens = count(usage.output_tokens);
  if (inputTokens === undefined || outputTokens === undefined) return undefined;
  const oneHour = count(member(usage.cache_creation, "ephemeral_1h_input_tokens")) ?? 0;
  const written = count(usage.cache_creation_input_tokens) ?? 0;
  return {
    inputTokens,
    outputTokens,
    cacheReadInputTokens: count(usage.cache_read_input_tokens) ?? 0,
    cacheWriteInputTokens: Math.max(written, oneHour),
    ...(oneHour > 0 && { cacheDetails: [{ ttl: "1h", inputTokens: oneHour }] }),
  };
}

function novaUsage(usage: JsonObject): TokenUsage | undefined {
  if (count(usage.inputTokens) === undefined || count(usage.outputTokens) === undefined) return undefined;
  return {
    ...tokenUsage(usage),
    cacheReadInputTokens: count(usage.cacheReadInputTokenCount) ?? count(usage.cacheReadInputTokens) ?? 0,
    cacheWriteInputTokens: count(usage.cacheWriteInputTokenCount) ?? count(usage.cacheWriteInputTokens) ?? 0,
  };
}

function metadata(
  usage: TokenUsage,
  { serviceTier, performance }: { serviceTier?: string | undefined; performance?: string | undefined },
): Sighting {
  return {
    type: "metadata",
    usage,
    ...(serviceTier !== undefined && { serviceTier }),
    ...(performance !== undefined && { performance }),
  };
}

function servedBy(header: Header) {
  return {
    serviceTier: header("x-amzn-bedrock-service-tier"),
    performance: header("x-amzn-bedrock-performanceconfig-latency"),
  };
}

/** The part of the output that is reasoning, where a model tells it. */
function reasoning(fields: JsonValue | undefined): Sighting[] {
  return fields === undefined ? [] : [{ type: "messageStop", stopReason: "", additionalModelResponseFields: fields }];
}

/** As large as a count can be that a report still adds up. */
const MAX_COUNT = 1_000_000_000;

function count(value: JsonValue | undefined): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_COUNT ? value : undefined;
}

function parsed(text: string): JsonObject | undefined {
  try {
    const value = parseJson(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function member(value: JsonValue | undefined, key: string): JsonValue | undefined {
  return isJsonObject(value) ? value[key] : undefined;
}

function string(value: JsonValue | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}
