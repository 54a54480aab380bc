/**
 * Fuzzing what comes back: Bedrock's bytes, damaged at every level, through the whole chain to the client's events.
 *
 * Whatever Bedrock sends, only GatewayErrors are thrown, all that was written before is valid, and a stream without
 * `messageStop` never looks complete.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import type { ConverseEvent } from "../../src/bedrock/converse.ts";
import { converseEvents } from "../../src/bedrock/converse-events.ts";
import { converseResponse } from "../../src/bedrock/converse-response.ts";
import { frames } from "../../src/bedrock/event-stream.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import { encodeEvent, sse } from "../../src/dialects/sse.ts";
import { GatewayError } from "../../src/errors.ts";
import { isJsonObject, type JsonObject, stringifyJson } from "../../src/json.ts";
import { errorFrame, eventFrame, exceptionFrame } from "../../src/simulator/event-stream.ts";
import { chain } from "../../src/transform.ts";
import { readFrames } from "../golden/stream-text.ts";
import { type Corpus, corpusOf, mutate } from "./mutate.ts";
import { type Random, seeded } from "./random.ts";

const FOLDER = new URL("../golden/openai-chat/", import.meta.url);
const STREAMS = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".frames.jsonl"))
  .map((name) => readFrames(new URL(name, FOLDER)).map(wireEvent));
const CORPUS: Corpus = corpusOf(STREAMS.flat().map(([, payload]) => payload));
const BODY = {
  model: "m",
  messages: [{ role: "user", content: "Hi" }],
  stream: true,
  stream_options: { include_usage: true },
};
const ANSWER = {
  output: {
    message: {
      role: "assistant",
      content: [
        { reasoningContent: { reasoningText: { text: "Hm.", signature: "c2ln" } } },
        { text: "Hi" },
        { toolUse: { toolUseId: "a", name: "f", input: { a: 1 } } },
        { image: { format: "png", source: { bytes: "AAAA" } } },
        {
          citationsContent: { content: [{ text: "x" }], citations: [{ title: "t", location: { web: { url: "u" } } }] },
        },
      ],
    },
  },
  stopReason: "tool_use",
  usage: { inputTokens: 1, outputTokens: 1, cacheReadInputTokens: 1 },
  additionalModelResponseFields: { usage: { output_tokens_details: { thinking_tokens: 1 } } },
  serviceTier: { type: "flex" },
};

/** One stream and one whole answer, made from the seed. Throws when the chain does not keep its promise. */
export function fuzzAnswer(seed: number): void {
  const random = seeded(seed);
  fuzzStream(random);
  fuzzWhole(random);
}

function fuzzStream(random: Random): void {
  const events = [...random.pick(STREAMS)];
  for (let n = random.int(4); n > 0; n -= 1) disorder(events, random);
  const wire = Buffer.concat(events.map(([type, payload]) => frame(type, payload, random)));
  const bytes = random.chance(0.3) ? damaged(wire, random) : wire;
  const { text, failure, complete } = render(cut(bytes, random));
  assert.ok(failure === undefined || failure instanceof GatewayError, `threw ${String(failure)}`);
  const lines = text.split("\n\n").slice(0, -1);
  assert.ok(text === "" || text.endsWith("\n\n"));
  for (const line of lines)
    if (line !== "data: [DONE]") assert.ok(isJsonObject(JSON.parse(line.slice("data: ".length))));
  assert.equal(complete, lines.includes("data: [DONE]"));
  if (complete) assert.match(text, /"finish_reason":"/);
}

function render(pieces: Iterable<Uint8Array>): { text: string; failure: unknown; complete: boolean } {
  const conversation = openaiChat.decode(BODY, { id: "1", created: 1 });
  const machine = chain(frames(), converseEvents(), conversation.events(0), sse());
  const out: Buffer[] = [];
  try {
    for (const piece of pieces) for (const bytes of machine.push(piece)) out.push(bytes);
    for (const bytes of machine.end()) out.push(bytes);
    for (const event of conversation.closing()) out.push(encodeEvent(event));
    return { text: Buffer.concat(out).toString(), failure: undefined, complete: true };
  } catch (failure) {
    return { text: Buffer.concat(out).toString(), failure, complete: false };
  }
}

function fuzzWhole(random: Random): void {
  const conversation = openaiChat.decode({ ...BODY, stream: false }, { id: "1", created: 1 });
  const body: unknown = JSON.parse(JSON.stringify(mutate(ANSWER, CORPUS, random)) ?? "null");
  try {
    const reply: unknown = JSON.parse(stringifyJson(conversation.reply([converseResponse(body)])));
    assert.ok(isJsonObject(reply) && Array.isArray(reply.choices));
  } catch (error) {
    assert.ok(error instanceof GatewayError, `threw ${error instanceof Error ? error.stack : error}`);
  }
}

type WireEvent = [type: string, payload: JsonObject];

/** The event as Bedrock writes it. */
function wireEvent(event: ConverseEvent): WireEvent {
  const plain: unknown = JSON.parse(JSON.stringify(event));
  if (!isJsonObject(plain)) throw new Error("not an event");
  const { type, index, serviceTier, ...payload } = plain;
  return [
    String(type),
    {
      ...payload,
      ...(index !== undefined && { contentBlockIndex: index }),
      ...(serviceTier !== undefined && { serviceTier: { type: serviceTier } }),
    },
  ];
}

function disorder(events: WireEvent[], random: Random): void {
  const at = random.int(events.length + 1);
  const other = random.pick(random.pick(STREAMS.filter((stream) => stream.length > 0)));
  switch (random.int(4)) {
    case 0:
      events.splice(at, 1);
      return;
    case 1:
      events.splice(at, 0, other);
      return;
    case 2:
      events.splice(at, events.length);
      return;
    default: {
      const [type, payload] = events[at] ?? other;
      const changed = mutate(payload, CORPUS, random);
      events.splice(at, 1, [type, isJsonObject(changed) ? changed : {}]);
    }
  }
}

function frame(type: string, payload: JsonObject, random: Random): Buffer {
  if (random.chance(0.01)) return exceptionFrame(random.pick(["throttlingException", "", "newException"]), payload);
  if (random.chance(0.005)) return errorFrame(type, "broken");
  return eventFrame(random.chance(0.01) ? "newEvent" : type, payload);
}

function damaged(bytes: Buffer, random: Random): Buffer {
  const at = random.int(bytes.length + 1);
  const noise = Buffer.from(Array.from({ length: random.int(20) }, () => random.int(256)));
  switch (random.int(3)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)]);
    default:
      return Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at + noise.length)]);
  }
}

function* cut(bytes: Buffer, random: Random): Iterable<Uint8Array> {
  const size = random.pick([1, 7, 64, 1000, bytes.length + 1]);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
