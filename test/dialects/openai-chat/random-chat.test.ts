import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConverseRequest, Message } from "../../../src/bedrock/converse.ts";
import { openaiChat } from "../../../src/dialects/openai-chat/index.ts";
import { parseJson, stringifyJson } from "../../../src/json.ts";
import { judgeConverse } from "../../aws-model/judge.ts";
import { brokenRules } from "../../aws-model/rules.ts";
import { type ChatBody, randomChat, randomInput } from "./random-chat.ts";

const CONVERSATIONS = 3000;
const META = { id: "1", created: 1 };

describe(`${CONVERSATIONS} random conversations`, () => {
  it("become requests that AWS's model and Bedrock's rules accept", () => {
    forEach(assertSound);
  });

  it("do so when they are spelt as input items", () => {
    for (let seed = 1; seed <= CONVERSATIONS; seed += 1) assertSound(randomInput(seed));
  });

  it("give the same bytes each time they are sent", () => {
    forEach((body) => {
      assert.equal(stringifyJson(decode(parseJson(JSON.stringify(body)))), stringifyJson(decode(body)));
    });
  });

  it("keep what the model has already seen when they grow", () => {
    forEach((body) => {
      const shorter = { ...body, messages: body.messages.slice(0, -1) };
      if (shorter.messages.every((message) => "role" in message && isSystem(message.role))) return;
      // The last turn may still be merged with the new message, and one of results that are missing may follow it.
      const seen = withoutCachePoints(decode(shorter)).slice(0, -2);
      assert.deepEqual(withoutCachePoints(decode(body)).slice(0, seen.length), seen);
    });
  });

  it("lose no word of a user, an answer or a result", () => {
    forEach((body) => {
      const sent = stringifyJson(decode(body));
      for (const word of words(body)) assert.ok(sent.includes(JSON.stringify(word).slice(1, -1)), `lost: ${word}`);
    });
  });
});

function forEach(check: (body: ChatBody) => void): void {
  for (let seed = 1; seed <= CONVERSATIONS; seed += 1) {
    const body = randomChat(seed);
    try {
      check(body);
    } catch (error) {
      throw new Error(`seed ${seed}: ${JSON.stringify(body)}`, { cause: error });
    }
  }
}

function assertSound(body: unknown): void {
  const { request, stream, remoteImages } = openaiChat.decode(body, META);
  for (const { place } of remoteImages) place({ format: "png", source: { bytes: "AAAA" } });
  assert.deepEqual([...judgeConverse(request, stream), ...brokenRules(request)], []);
}

function decode(body: unknown): ConverseRequest {
  return openaiChat.decode(body, META).request;
}

function isSystem(role: unknown): boolean {
  return role === "system" || role === "developer";
}

function withoutCachePoints({ messages }: ConverseRequest): Message[] {
  return messages.map(({ role, content }) => ({ role, content: content.filter((block) => !("cachePoint" in block)) }));
}

/** Texts of string contents and parts, without the white space at their ends, which may be trimmed. */
function words(body: ChatBody): string[] {
  const texts: string[] = [];
  JSON.stringify(body.messages, (key, value: unknown) => {
    if ((key === "text" || key === "content") && typeof value === "string") texts.push(value.toWellFormed().trim());
    return value;
  });
  return texts;
}
