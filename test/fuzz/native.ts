/**
 * Fuzzing Bedrock's own API: answers that pass by the usage tap, damaged at every level, and requests that are looked into.
 *
 * The tap throws GatewayErrors alone, sees the same wherever the bytes are cut, and counts in whole tokens. No object in S3
 * that a JSON reader would find is missed.
 */
import assert from "node:assert/strict";
import { MODEL_OPERATIONS, type ModelOperation } from "../../src/bedrock/model-call.ts";
import { readNativeBody } from "../../src/bedrock/native-body.ts";
import { GatewayError } from "../../src/errors.ts";
import { isJsonObject, type JsonObject } from "../../src/json.ts";
import { claudeBody, claudeSteps } from "../../src/simulator/claude-message.ts";
import { eventFrame, exceptionFrame } from "../../src/simulator/event-stream.ts";
import { messageBody, messageSteps } from "../../src/simulator/message.ts";
import { type StreamStep, says } from "../../src/simulator/simulator.ts";
import { createMeter } from "../../src/usage/meter.ts";
import { usageTap } from "../../src/usage/usage-tap.ts";
import { type Corpus, corpusOf, mutate } from "./mutate.ts";
import { type Random, seeded } from "./random.ts";

const RENDERING = {
  usage: {
    inputTokens: 11,
    outputTokens: 5,
    cacheReadInputTokens: 90,
    cacheWriteInputTokens: 30,
    cacheDetails: [{ ttl: "1h", inputTokens: 20 }],
  },
  latencyMs: 3,
};
const MESSAGE = says("Four degrees and some rain.", { serviceTier: { type: "flex" } });
const NOVA = [
  { contentBlockDelta: { delta: { text: "x" } } },
  { metadata: { usage: { inputTokens: 1, outputTokens: 2 } } },
];
const EVENTS = messageSteps(MESSAGE, RENDERING).flatMap(eventOf);
const CHUNKS = [...claudeSteps(MESSAGE, RENDERING, "m").flatMap(eventOf).map(chunkOf), ...NOVA];
const BODIES = [
  messageBody(MESSAGE, RENDERING),
  claudeBody(MESSAGE, RENDERING, "m"),
  { results: [{ outputText: "x" }] },
];
const LOCATION = { s3Location: { uri: "s3://bucket/key.png", bucketOwner: "123456789012" } };
const REQUEST = {
  messages: [{ role: "user", content: [{ text: "Hi" }, { image: { format: "png", source: LOCATION } }] }],
  inferenceConfig: { maxTokens: 9 },
  serviceTier: { type: "flex" },
};
const CORPUS: Corpus = corpusOf([...EVENTS.map(([, payload]) => payload), ...CHUNKS, ...BODIES, REQUEST, LOCATION]);

export function fuzzNative(seed: number): void {
  const random = seeded(seed);
  fuzzTap(random);
  fuzzBody(random);
}

function fuzzTap(random: Random): void {
  const operation = random.pick(MODEL_OPERATIONS);
  const streamed = random.chance(operation.includes("stream") ? 0.95 : 0.05);
  const counts = random.chance(0.3) ? { "x-amzn-bedrock-input-token-count": random.pick(["1", "-1", "x", ""]) } : {};
  const headers = { ...counts, "content-type": streamed ? "application/vnd.amazon.eventstream" : "application/json" };
  const bytes = answerBytes(operation, random);
  const whole = tap(operation, headers, [bytes]);
  const size = random.pick([1, 7, 64, 1000]);
  const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );
  assert.deepEqual(tap(operation, headers, pieces), whole);
  for (const count of Object.values(whole.usage)) assert.ok(Number.isSafeInteger(count) && count >= 0, String(count));
}

function tap(operation: ModelOperation, headers: Readonly<Record<string, string>>, pieces: readonly Uint8Array[]) {
  const meter = createMeter(() => 1);
  const stage = usageTap(operation, (name) => headers[name]);
  let failure: string | undefined;
  try {
    for (const piece of pieces) for (const sighting of stage.push(piece)) meter.note(sighting);
    for (const sighting of stage.end()) meter.note(sighting);
  } catch (error) {
    assert.ok(error instanceof GatewayError, `threw ${error instanceof Error ? error.stack : error}`);
    failure = error.code;
  }
  return { failure, ...meter.total(100) };
}

function answerBytes(operation: ModelOperation, random: Random): Buffer {
  if (operation === "converse" || operation === "invoke") {
    return damaged(Buffer.from(JSON.stringify(changed(random.pick(BODIES), random))), random);
  }
  const events: [string, JsonObject][] =
    operation === "converse-stream"
      ? EVENTS.map(([type, payload]) => [type, changed(payload, random)])
      : CHUNKS.map((chunk) => ["chunk", { bytes: base64(changed(chunk, random)) }]);
  const frames = events.map(([type, payload]) =>
    random.chance(0.01) ? exceptionFrame("throttlingException", payload) : eventFrame(type, payload),
  );
  return damaged(Buffer.concat(frames), random);
}

function changed(value: JsonObject, random: Random): JsonObject {
  const other = random.chance(0.2) ? mutate(value, CORPUS, random) : value;
  return isJsonObject(other) ? other : {};
}

function damaged(bytes: Buffer, random: Random): Buffer {
  if (random.chance(0.8) || bytes.length === 0) return bytes;
  if (random.chance(0.5)) return bytes.subarray(0, random.int(bytes.length));
  const copy = Buffer.from(bytes);
  copy[random.int(copy.length)] = random.int(256);
  return copy;
}

function fuzzBody(random: Random): void {
  const text = JSON.stringify(mutate(REQUEST, CORPUS, random)) ?? "null";
  const escaped = random.chance(0.3) ? text.replaceAll("s3Location", String.raw`\u00733Location`) : text;
  const named = readNativeBody(Buffer.from(escaped)).storedObjects;
  assert.deepEqual(named.toSorted(), locations(JSON.parse(text), false).toSorted());
  const broken = damaged(Buffer.from(escaped), random);
  try {
    readNativeBody(broken);
  } catch (error) {
    assert.ok(error instanceof GatewayError, `threw ${error instanceof Error ? error.stack : error}`);
  }
}

/** As a JSON reader finds them. */
function locations(value: unknown, inside: boolean): string[] {
  if (typeof value === "string") return inside && value.startsWith("s3://") ? [value] : [];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => locations(inner, inside || name === "s3Location"));
}

function eventOf(step: StreamStep): [string, JsonObject][] {
  return "event" in step ? [[step.event, step.payload]] : [];
}

function chunkOf([, { bytes }]: [string, JsonObject]): JsonObject {
  const value: unknown = JSON.parse(Buffer.from(String(bytes), "base64").toString());
  return isJsonObject(value) ? value : {};
}

function base64(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64");
}
