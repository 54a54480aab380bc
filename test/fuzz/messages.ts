/**
 * Fuzzing Anthropic's Messages: golden requests, mutated, and events in any order.
 *
 * Whatever the body, the dialect gives a request that AWS's model, Bedrock's rules and the model's row accept, or an error
 * that is the client's own. Whatever events come, those that go out follow the grammar of a Messages stream.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import type { ConverseEvent } from "../../src/bedrock/converse.ts";
import { converseResponse } from "../../src/bedrock/converse-response.ts";
import { anthropicMessages } from "../../src/dialects/anthropic-messages/index.ts";
import type { Conversation, SseEvent } from "../../src/dialects/dialect.ts";
import { GatewayError } from "../../src/errors.ts";
import { parseJson, stringifyJson } from "../../src/json.ts";
import { adapt } from "../../src/models/adapt.ts";
import { CAPABILITY_TABLE, UNKNOWN_MODEL } from "../../src/models/capability-table.ts";
import { judgeConverse } from "../aws-model/judge.ts";
import { brokenRules } from "../aws-model/rules.ts";
import { readFrames } from "../golden/stream-text.ts";
import { brokenCapabilities } from "../models/model-rules.ts";
import { anything, corpusOf, mutate } from "./mutate.ts";
import { type Random, seeded } from "./random.ts";

const FOLDER = new URL("../golden/anthropic-messages/", import.meta.url);
const filesOf = (suffix: string) => readdirSync(FOLDER).filter((name) => name.endsWith(suffix));
const readJson = (name: string): unknown => JSON.parse(readFileSync(new URL(name, FOLDER), "utf8"));
const BODIES = filesOf(".request.json").map(readJson);
const ANSWERS = filesOf(".answer.json").map(readJson);
const EVENTS = filesOf(".frames.jsonl").flatMap((name) => readFrames(new URL(name, FOLDER)));
const CORPUS = corpusOf([...BODIES, ...ANSWERS]);
const MODELS = [...CAPABILITY_TABLE.map(({ capabilities }) => capabilities), UNKNOWN_MODEL];
const META = { id: "1", created: 1 };
const MAX_ERROR_LENGTH = 2_000;
const MAX_EVENTS = 20;

/** One body, one answer and one stream, made from the seed. Throws when the dialect does not keep its promise. */
export function fuzzMessages(seed: number): void {
  const random = seeded(seed);
  const body = random.chance(0.05) ? anything(CORPUS, random) : mutate(random.pick(BODIES), CORPUS, random);
  const text = JSON.stringify(body) ?? "null";
  const conversation = decode(parseJson(text));
  if (conversation === undefined) return;
  assert.equal(
    stringifyJson(decode(parseJson(text))?.request),
    stringifyJson(conversation.request),
    "not the same bytes",
  );
  checkRequest(conversation, random);
  checkAnswer(conversation, mutate(random.pick(ANSWERS), CORPUS, random));
  checkStream(
    conversation,
    Array.from({ length: random.int(MAX_EVENTS) }, () => random.pick(EVENTS)),
  );
}

/** Undefined when the body was refused as it should be. */
function decode(body: unknown): Conversation | undefined {
  try {
    return anthropicMessages.decode(body, META);
  } catch (error) {
    assert.ok(error instanceof GatewayError, `threw ${error instanceof Error ? error.stack : error}`);
    assert.ok(error.status >= 400 && error.status < 500, `status ${error.status}: ${error.message}`);
    assert.ok(stringifyJson(anthropicMessages.errorBody(error)).length < MAX_ERROR_LENGTH);
    assert.match(error.message, /^[^\p{Cc}]+$/u, "control characters in an error");
    return undefined;
  }
}

function checkRequest({ request, intent, stream, model, remoteImages, warnings }: Conversation, random: Random): void {
  for (const { place } of remoteImages) place({ format: "png", source: { bytes: "AAAA" } });
  assert.deepEqual([...judgeConverse(request, stream), ...brokenRules(request)], []);
  assert.ok(warnings.every((warning) => warning.length < MAX_ERROR_LENGTH));
  const capabilities = random.pick(MODELS);
  try {
    const adapted = adapt({ request, intent, stream, model, capabilities });
    const problems = [...judgeConverse(adapted.request, adapted.stream), ...brokenRules(adapted.request)];
    // Fields of the model's own that the client gave are the client's business.
    if (!intent.modelFields) problems.push(...brokenCapabilities(adapted.request, capabilities, adapted.stream));
    assert.deepEqual(problems, []);
  } catch (error) {
    if (!(error instanceof GatewayError) || error.status >= 500) throw error;
  }
}

function checkAnswer(conversation: Conversation, answer: unknown): void {
  try {
    const message = JSON.parse(stringifyJson(conversation.reply([converseResponse(answer)])));
    assert.deepEqual([message.type, message.role, Array.isArray(message.content)], ["message", "assistant", true]);
    assert.ok(typeof message.stop_reason === "string");
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
  }
}

/** message_start, blocks that open and close once, deltas inside them, one message_delta, message_stop. */
function checkStream(conversation: Conversation, events: readonly ConverseEvent[]): void {
  const machine = conversation.events(0);
  const out: string[] = [];
  const write = (sent: Iterable<SseEvent>) => {
    for (const { event, data } of sent) {
      const { type, index }: Record<string, string> = JSON.parse(stringifyJson(data));
      assert.equal(type, event);
      out.push(index === undefined ? String(type) : `${type}:${index}`);
    }
  };
  let failed = false;
  try {
    for (const event of events) write(machine.push(event));
    write(machine.end());
    write(conversation.closing());
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    failed = true;
  }
  const open = new Set<string>();
  let blocks = 0;
  for (const [at, shape] of out.entries()) {
    const [type = "", index = ""] = shape.split(":");
    if (type === "content_block_start") {
      assert.equal(index, String(blocks), out.join(" "));
      blocks += 1;
      open.add(index);
    } else if (type === "content_block_stop") assert.ok(open.delete(index), out.join(" "));
    else if (type === "content_block_delta") assert.ok(open.has(index), out.join(" "));
    else if (type === "message_start") assert.equal(at, 0, out.join(" "));
  }
  assert.equal(out.includes("message_stop"), !failed);
  if (failed) return;
  assert.equal(open.size, 0);
  assert.deepEqual(out.slice(-2), ["message_delta", "message_stop"]);
  assert.equal(out.filter((shape) => shape === "message_delta").length, 1);
}
