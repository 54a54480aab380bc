/**
 * Fuzzing Completions: golden requests, mutated, and answers cut anywhere.
 *
 * Whatever the body, the dialect gives requests that AWS's model and Bedrock's rules accept, or an error that is the client's
 * own. Whatever the model says, a stream shows the same text as the whole answer.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import type { ConverseEvent } from "../../src/bedrock/converse.ts";
import { converseResponse } from "../../src/bedrock/converse-response.ts";
import type { Conversation } from "../../src/dialects/dialect.ts";
import { openaiCompletions } from "../../src/dialects/openai-completions/index.ts";
import { MAX_COMPLETIONS } from "../../src/dialects/openai-completions/request.ts";
import { GatewayError } from "../../src/errors.ts";
import { parseJson, stringifyJson } from "../../src/json.ts";
import { judgeConverse } from "../aws-model/judge.ts";
import { brokenRules } from "../aws-model/rules.ts";
import { anything, corpusOf, mutate } from "./mutate.ts";
import { type Random, seeded } from "./random.ts";

const FOLDER = new URL("../golden/openai-completions/", import.meta.url);
const BODIES = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".request.json"))
  .map((name): unknown => JSON.parse(readFileSync(new URL(name, FOLDER), "utf8")));
const CORPUS = corpusOf(BODIES);
const META = { id: "1", created: 1 };
const MAX_ERROR_LENGTH = 2_000;
/** What answers are made of: all that is looked for in them. */
const WORDS = [
  "<middle>",
  "</middle>",
  "<COMPLETION>",
  "</COMPLETION>",
  "```",
  "```js\n",
  "\n",
  "\r\n",
  " ",
  "a",
  "END",
  "x".repeat(79),
];

/** One body, made from the seed. Throws when the dialect does not keep its promise. */
export function fuzzCompletionBody(seed: number): void {
  const random = seeded(seed);
  const body = random.chance(0.05) ? anything(CORPUS, random) : mutate(random.pick(BODIES), CORPUS, random);
  const text = JSON.stringify(body) ?? "null";
  const conversation = decode(parseJson(text));
  if (conversation === undefined) return;
  const { request, requests = [request], choices, stream } = conversation;
  for (const one of requests) assert.deepEqual([...judgeConverse(one, stream), ...brokenRules(one)], []);
  assert.ok(choices >= 1 && choices <= MAX_COMPLETIONS);
  assert.ok(requests.length === 1 || requests.length === choices);
  assert.equal(stringifyJson(decode(parseJson(text))?.request), stringifyJson(request), "not the same bytes");
  checkAnswer(conversation, random);
}

/** Undefined when the body was refused as it should be. */
function decode(body: unknown): Conversation | undefined {
  try {
    return openaiCompletions.decode(body, META);
  } catch (error) {
    assert.ok(error instanceof GatewayError, `threw ${error instanceof Error ? error.stack : error}`);
    assert.ok(error.status >= 400 && error.status < 500, `status ${error.status}: ${error.message}`);
    assert.ok(stringifyJson(openaiCompletions.errorBody(error)).length < MAX_ERROR_LENGTH);
    assert.match(error.message, /^[^\p{Cc}]+$/u, "control characters in an error");
    return undefined;
  }
}

function checkAnswer(conversation: Conversation, random: Random): void {
  const pieces = Array.from({ length: random.int(12) }, () => random.pick(WORDS));
  const text = pieces.join("");
  const whole = JSON.parse(stringifyJson(conversation.reply([answer(text)]))).choices[0];
  const machine = conversation.events(0);
  const cuts = random.chance(0.5) ? pieces : [...text];
  const events: ConverseEvent[] = [
    { type: "messageStart", role: "assistant" },
    ...cuts.map((piece): ConverseEvent => ({ type: "contentBlockDelta", index: 0, delta: { text: piece } })),
    { type: "messageStop", stopReason: "max_tokens" },
  ];
  const chunks = events.flatMap((event) => [...machine.push(event)]).map(({ data }) => JSON.parse(stringifyJson(data)));
  const shown = chunks.map(({ choices: [choice] }) => choice.text).join("");
  assert.deepEqual(
    [shown, chunks.at(-1).choices[0].finish_reason],
    [whole.text, whole.finish_reason],
    stringifyJson(text),
  );
}

function answer(text: string) {
  return converseResponse({
    output: { message: { role: "assistant", content: [{ text }] } },
    stopReason: "max_tokens",
    usage: { inputTokens: 1, outputTokens: 1 },
  });
}
