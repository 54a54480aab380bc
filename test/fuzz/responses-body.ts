/**
 * Fuzzing Responses: golden requests, mutated, and golden streams with events lost, doubled and changed.
 *
 * Whatever the body, the dialect gives a request that AWS's model and Bedrock's rules accept, or an error that is the
 * client's own. Whatever Bedrock says, a stream numbers its events, closes what it opens, and ends in one way only; a whole
 * answer is what its stream would have ended with.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import type { ConverseEvent } from "../../src/bedrock/converse.ts";
import { converseResponse } from "../../src/bedrock/converse-response.ts";
import { synthesizeEvents } from "../../src/bedrock/synthesize-events.ts";
import type { Conversation, SseEvent } from "../../src/dialects/dialect.ts";
import { openaiResponses } from "../../src/dialects/openai-responses/index.ts";
import { GatewayError, toGatewayError } from "../../src/errors.ts";
import { isJsonObject, type JsonObject, parseJson, stringifyJson } from "../../src/json.ts";
import { judgeConverse } from "../aws-model/judge.ts";
import { brokenRules } from "../aws-model/rules.ts";
import { readFrames } from "../golden/stream-text.ts";
import { anything, corpusOf, mutate } from "./mutate.ts";
import { type Random, seeded } from "./random.ts";

const FOLDER = new URL("../golden/openai-responses/", import.meta.url);
const NAMES = readdirSync(FOLDER);
const read = (ending: string): unknown[] =>
  NAMES.filter((name) => name.endsWith(ending)).map((name) => JSON.parse(readFileSync(new URL(name, FOLDER), "utf8")));
const BODIES = read(".request.json");
const ANSWERS = read(".answer.json");
const STREAMS = NAMES.filter((name) => name.endsWith(".frames.jsonl")).map((name) => readFrames(new URL(name, FOLDER)));
const CORPUS = corpusOf(BODIES);
const ANSWER_CORPUS = corpusOf(ANSWERS);
const META = { id: "1", created: 1 };
const MAX_ERROR_LENGTH = 2_000;

/** One body and one answer, made from the seed. Throws when the dialect does not keep its promise. */
export function fuzzResponsesBody(seed: number): void {
  const random = seeded(seed);
  const body = random.chance(0.05) ? anything(CORPUS, random) : mutate(random.pick(BODIES), CORPUS, random);
  const text = JSON.stringify(body) ?? "null";
  const conversation = decode(parseJson(text));
  if (conversation === undefined) return;
  const { request, stream, remoteImages } = conversation;
  assert.equal(stringifyJson(decode(parseJson(text))?.request), stringifyJson(request), "not the same bytes");
  for (const { place } of remoteImages) place({ format: "png", source: { bytes: "AAAA" } });
  assert.deepEqual([...judgeConverse(request, stream), ...brokenRules(request)], []);
  checkStream(conversation, disordered(random));
  checkAnswer(conversation, mutate(random.pick(ANSWERS), ANSWER_CORPUS, random));
}

/** Undefined when the body was refused as it should be. */
function decode(body: unknown): Conversation | undefined {
  try {
    return openaiResponses.decode(body, META);
  } catch (error) {
    assert.ok(error instanceof GatewayError, `threw ${error instanceof Error ? error.stack : error}`);
    assert.ok(error.status >= 400 && error.status < 500, `status ${error.status}: ${error.message}`);
    assert.ok(stringifyJson(openaiResponses.errorBody(error)).length < MAX_ERROR_LENGTH);
    assert.match(error.message, /^[^\p{Cc}]+$/u, "control characters in an error");
    return undefined;
  }
}

function disordered(random: Random): ConverseEvent[] {
  const events = [...random.pick(STREAMS)];
  for (let n = random.int(4); n > 0; n -= 1) {
    const at = random.int(events.length + 1);
    const other = random.pick(random.pick(STREAMS.filter((stream) => stream.length > 0)));
    if (random.chance(0.4)) events.splice(at, 1);
    else if (random.chance(0.8)) events.splice(at, 0, other);
    else events.splice(at, events.length);
  }
  return events;
}

function checkStream(conversation: Conversation, events: readonly ConverseEvent[]): void {
  const sent: SseEvent[] = [];
  try {
    const machine = conversation.events(0);
    for (const event of events) sent.push(...machine.push(event));
    sent.push(...machine.end());
  } catch (error) {
    assert.ok(error instanceof GatewayError, `threw ${error instanceof Error ? error.stack : error}`);
    sent.push(...(conversation.failing?.(toGatewayError(error)) ?? []));
  }
  const data = sent.map((event): JsonObject => {
    const plain = parseJson(stringifyJson(event.data));
    assert.ok(isJsonObject(plain) && plain.type === event.event);
    return plain;
  });
  assert.deepEqual(
    data.map(({ sequence_number }) => sequence_number),
    data.map((_event, index) => index),
  );
  checkOrder(data.map(({ type }) => String(type)));
  const done = data.filter(({ type }) => type === "response.output_item.done");
  assert.deepEqual(
    done.map(({ output_index }) => output_index),
    done.map((_event, index) => index),
  );
  const last = data.at(-1)?.response;
  assert.ok(isJsonObject(last));
  assert.deepEqual(
    last.output,
    done.map(({ item }) => item),
  );
}

/** What opens closes before the next opens, and nothing follows the end. */
function checkOrder(types: readonly string[]): void {
  const names = types.map((type) => type.replace("response.", ""));
  const short = names.map((name) => SHORT[name] ?? "d").join("");
  assert.match(short, /^(cp(\(d*\))*|c?p?(\(d*\))*(\(d*)?e?)[$!]$|^e!$/, types.join(" "));
  if (short.endsWith("$")) assert.match(short, /^cp(\(d*\))*\$$/);
}

const SHORT: Readonly<Record<string, string>> = {
  created: "c",
  in_progress: "p",
  "output_item.added": "(",
  "output_item.done": ")",
  completed: "$",
  incomplete: "$",
  error: "e",
  failed: "!",
};

function checkAnswer(conversation: Conversation, answer: unknown): void {
  try {
    const response = converseResponse(parseJson(JSON.stringify(answer) ?? "null"));
    const whole = parseJson(stringifyJson(conversation.reply([response])));
    const machine = conversation.events(0);
    const events = [...synthesizeEvents(response).flatMap((event) => [...machine.push(event)]), ...machine.end()];
    const last = parseJson(stringifyJson(events.at(-1)?.data));
    assert.ok(isJsonObject(whole) && isJsonObject(last) && isJsonObject(last.response) && Array.isArray(whole.output));
    const output = whole.output.filter((item) => !isJsonObject(item) || item.type !== "image_generation_call");
    assert.deepEqual({ ...whole, output }, last.response);
  } catch (error) {
    assert.ok(error instanceof GatewayError, `threw ${error instanceof Error ? error.stack : error}`);
  }
}
