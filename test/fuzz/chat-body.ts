/**
 * Fuzzing what comes in: golden requests, mutated, and JSON of any kind.
 *
 * Whatever the body, the dialect gives a request that AWS's model and Bedrock's rules accept, or an error that is the
 * client's own, short and of valid JSON, and does so at once. What is made of the request for a model keeps the same.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { converseResponse } from "../../src/bedrock/converse-response.ts";
import type { Conversation } from "../../src/dialects/dialect.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import { MAX_CHOICES } from "../../src/dialects/openai-chat/settings.ts";
import { GatewayError } from "../../src/errors.ts";
import { parseJson, stringifyJson } from "../../src/json.ts";
import { type Adapted, adapt } from "../../src/models/adapt.ts";
import type { Capabilities } from "../../src/models/capabilities.ts";
import { CAPABILITY_TABLE, UNKNOWN_MODEL } from "../../src/models/capability-table.ts";
import { judgeConverse } from "../aws-model/judge.ts";
import { brokenRules } from "../aws-model/rules.ts";
import { brokenCapabilities } from "../models/model-rules.ts";
import { anything, corpusOf, mutate } from "./mutate.ts";
import { seeded } from "./random.ts";

const FOLDER = new URL("../golden/openai-chat/", import.meta.url);
const BODIES = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".request.json"))
  .map((name): unknown => JSON.parse(readFileSync(new URL(name, FOLDER), "utf8")));
const CORPUS = corpusOf(BODIES);

const MODELS = [...CAPABILITY_TABLE.map(({ capabilities }) => capabilities), UNKNOWN_MODEL];

const META = { id: "1", created: 1 };
const MAX_ERROR_LENGTH = 2_000;
const MAX_MILLISECONDS = 1_000;

/** One body, made from the seed. Throws when the dialect does not keep its promise. */
export function fuzzChatBody(seed: number): void {
  const random = seeded(seed);
  const body = random.chance(0.05) ? anything(CORPUS, random) : mutate(random.pick(BODIES), CORPUS, random);
  const text = JSON.stringify(body) ?? "null";
  const conversation = decode(parseJson(text));
  if (conversation === undefined) return;
  checkRequest(conversation);
  checkAdapted(conversation, random.pick(MODELS));
  const again = decode(parseJson(text));
  assert.equal(stringifyJson(again?.request), stringifyJson(decode(parseJson(text))?.request), "not the same bytes");
}

/** Undefined when the body was refused as it should be. */
function decode(body: unknown): Conversation | undefined {
  const start = performance.now();
  try {
    return openaiChat.decode(body, META);
  } catch (error) {
    assert.ok(error instanceof GatewayError, `threw ${error instanceof Error ? error.stack : error}`);
    assert.ok(error.status >= 400 && error.status < 500, `status ${error.status}: ${error.message}`);
    const answer = stringifyJson(openaiChat.errorBody(error));
    assert.ok(answer.length < MAX_ERROR_LENGTH, `an error of ${answer.length} characters`);
    assert.equal(typeof JSON.parse(answer).error.message, "string");
    assert.match(error.message, /^[^\p{Cc}]+$/u, "control characters in an error");
    return undefined;
  } finally {
    const took = performance.now() - start;
    assert.ok(took < MAX_MILLISECONDS, `took ${Math.round(took)} ms`);
  }
}

function checkRequest({ request, stream, remoteImages, choices, intent, warnings, reply }: Conversation): void {
  for (const { place, url } of remoteImages) {
    assert.ok(URL.canParse(url));
    place({ format: "png", source: { bytes: "AAAA" } });
  }
  assert.deepEqual([...judgeConverse(request, stream), ...brokenRules(request)], []);
  assert.ok(Number.isInteger(choices) && choices >= 1 && choices <= MAX_CHOICES);
  assert.ok(warnings.every((warning) => warning.length < MAX_ERROR_LENGTH));
  stringifyJson(intent);
  stringifyJson(reply([ANSWER]));
}

/** What goes out to one kind of model, or an error of the client's own. */
function checkAdapted({ request, intent, stream, model }: Conversation, capabilities: Capabilities): void {
  let adapted: Adapted;
  try {
    adapted = adapt({ request, intent, stream, model, capabilities });
  } catch (error) {
    assert.ok(error instanceof GatewayError && error.status < 500, `adapt threw ${String(error)}`);
    return;
  }
  assert.deepEqual(
    [
      ...judgeConverse(adapted.request, adapted.stream),
      ...brokenRules(adapted.request),
      // Fields of the model's own that the client gave are the client's business.
      ...(intent.modelFields ? [] : brokenCapabilities(adapted.request, capabilities, adapted.stream)),
    ],
    [],
    "adapted",
  );
}

const ANSWER = converseResponse({
  output: {
    message: { role: "assistant", content: [{ text: "Hi" }, { toolUse: { toolUseId: "a", name: "f", input: {} } }] },
  },
  stopReason: "tool_use",
  usage: { inputTokens: 1, outputTokens: 1 },
});
