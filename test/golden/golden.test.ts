/**
 * Golden files: what a dialect makes of what comes in, word for word. A folder is a dialect.
 *
 *   NAME.request.json → NAME.converse.json, and NAME.EXTRA.json for what there is of EXTRAS, or NAME.error.json
 *   NAME.answer.json  → NAME.reply.json    (Bedrock's answer to NAME.request.json, or to DEFAULT_REQUEST; a list for
 *                         several choices)
 *   NAME.frames.jsonl → NAME.sse           (likewise; Converse events, one on a line)
 *
 * common/ has what every dialect is tried with: Bedrock's answers and streams, and the Converse bodies that all of them ask
 * for in their own words. A dialect's common/ has its requests and what it makes of the answers; `WITHOUT` says what its
 * API has no words for.
 *
 * `npm run golden:update` writes what comes out; the diff is the review. Every Converse body is also judged by AWS's model.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { converseResponse } from "../../src/bedrock/converse-response.ts";
import type { Conversation, Dialect } from "../../src/dialects/dialect.ts";
import { dialects } from "../../src/dialects/index.ts";
import { toGatewayError } from "../../src/errors.ts";
import { parseJson } from "../../src/json.ts";
import { judgeConverse } from "../aws-model/judge.ts";
import { brokenRules } from "../aws-model/rules.ts";
import { readFramesAndFailures, renderStream } from "./stream-text.ts";

const UPDATE = process.env.UPDATE_GOLDEN === "1";
const EXTRAS = ["requests", "intent", "choices", "links", "objects", "warnings"] as const;
const META = { id: "0123456789abcdef", created: 1_700_000_000 };
const DEFAULT_REQUEST = {
  model: "test-model",
  input: "Hi",
  max_tokens: 100,
  messages: [{ role: "user", content: "Hi" }],
  prompt: "Hi",
  stream: true,
  stream_options: { include_usage: true },
};

const COMMON = new URL("common/", import.meta.url);
/** Common requests that an API has no words for. */
const WITHOUT: Readonly<Record<string, readonly string[]>> = {
  "openai-responses": ["stop"],
  "openai-completions": [
    "cache-points",
    "image",
    "image-link",
    "pdf",
    "reasoning-back",
    "structured-output",
    "system",
    "thinking-budget",
    "tool-forced",
    "tool-loop",
    "tool-none",
    "tool-required",
    "tool-single",
    "tools",
    "tools-parallel",
    "turns",
  ],
};

for (const dialect of dialects) {
  const folder = new URL(`${dialect.name}/`, import.meta.url);
  const cases = (suffix: string): string[] => casesIn(folder, suffix);

  describe(`golden ${dialect.name}`, () => {
    for (const name of cases(".request.json")) it(`${name}: request`, () => checkRequest(dialect, folder, name));
    for (const name of cases(".answer.json")) it(`${name}: answer`, () => checkAnswer(dialect, folder, name));
    for (const name of cases(".frames.jsonl")) it(`${name}: stream`, () => checkStream(dialect, folder, name));
  });

  describe(`golden ${dialect.name}, in common with all`, () => {
    const own = new URL("common/", folder);
    const asked = casesIn(own, ".request.json");

    it("has every common request, or none where its API has no words for it", () => {
      const without = WITHOUT[dialect.name] ?? [];
      assert.deepEqual([...asked, ...without].sort(), casesIn(COMMON, ".converse.json").sort());
    });
    for (const name of asked) it(`${name}: request`, () => checkRequest(dialect, own, name, COMMON));
    for (const name of casesIn(COMMON, ".answer.json"))
      it(`${name}: answer`, () => checkAnswer(dialect, own, name, COMMON));
    for (const name of casesIn(COMMON, ".frames.jsonl"))
      it(`${name}: stream`, () => checkStream(dialect, own, name, COMMON));
  });
}

function casesIn(folder: URL, suffix: string): string[] {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names.filter((name) => name.endsWith(suffix)).map((name) => name.slice(0, -suffix.length));
}

function checkRequest(dialect: Dialect, folder: URL, name: string, bedrock = folder): void {
  let conversation: Conversation;
  try {
    conversation = dialect.decode(read(folder, `${name}.request.json`), META);
  } catch (error) {
    expectFile(folder, `${name}.error.json`, pretty(dialect.errorBody(toGatewayError(error))));
    for (const gone of ["converse", ...EXTRAS]) expectNoFile(folder, `${name}.${gone}.json`);
    return;
  }
  const { request, requests = [request], stream, remoteImages } = conversation;
  expectNoFile(folder, `${name}.error.json`);
  expectFile(bedrock, `${name}.converse.json`, pretty(request));
  const extras = extrasOf(conversation);
  for (const extra of EXTRAS) {
    if (extras[extra] === undefined) expectNoFile(folder, `${name}.${extra}.json`);
    else expectFile(folder, `${name}.${extra}.json`, pretty(extras[extra]));
  }
  for (const { place } of remoteImages) place({ format: "png", source: { bytes: "AAAA" } });
  for (const sent of requests) assert.deepEqual([...judgeConverse(sent, stream), ...brokenRules(sent)], []);
}

/** What a conversation is beyond its request; undefined where it is as usual. */
function extrasOf(conversation: Conversation): Record<(typeof EXTRAS)[number], unknown> {
  const { requests, intent, choices, remoteImages, storedObjects, warnings } = conversation;
  return {
    requests,
    intent: Object.keys(intent).length > 0 ? intent : undefined,
    choices: choices > 1 ? choices : undefined,
    links: remoteImages.length > 0 ? remoteImages.map(({ param, url }) => ({ param, url })) : undefined,
    objects: storedObjects.length > 0 ? storedObjects : undefined,
    warnings: warnings.length > 0 ? warnings : undefined,
  };
}

function checkAnswer(dialect: Dialect, folder: URL, name: string, bedrock = folder): void {
  const given = read(bedrock, `${name}.answer.json`);
  const answers = (Array.isArray(given) ? given : [given]).map(converseResponse);
  expectFile(folder, `${name}.reply.json`, pretty(conversationFor(dialect, folder, name).reply(answers)));
}

function checkStream(dialect: Dialect, folder: URL, name: string, bedrock = folder): void {
  const frames = readFramesAndFailures(new URL(`${name}.frames.jsonl`, bedrock));
  expectFile(folder, `${name}.sse`, renderStream(dialect, conversationFor(dialect, folder, name), frames));
}

function conversationFor(dialect: Dialect, folder: URL, name: string): Conversation {
  const file = `${name}.request.json`;
  return dialect.decode(existsSync(new URL(file, folder)) ? read(folder, file) : DEFAULT_REQUEST, META);
}

function read(folder: URL, file: string): unknown {
  return parseJson(readFileSync(new URL(file, folder), "utf8"));
}

function pretty(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function expectFile(folder: URL, file: string, text: string): void {
  const url = new URL(file, folder);
  if (UPDATE) writeFileSync(url, text);
  else assert.equal(text, existsSync(url) ? readFileSync(url, "utf8") : "(no such file)");
}

function expectNoFile(folder: URL, file: string): void {
  const url = new URL(file, folder);
  if (UPDATE) rmSync(url, { force: true });
  assert.equal(existsSync(url), false, `${file} should not exist`);
}
