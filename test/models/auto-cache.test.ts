import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ContentBlock, ConverseRequest } from "../../src/bedrock/converse.ts";
import { type AutoCache, withAutoCache } from "../../src/models/auto-cache.ts";
import { judgeConverse } from "../aws-model/judge.ts";

const ALL: AutoCache = { system: true, tools: true, conversation: true, ttl: "5m" };
const POINT = { cachePoint: { type: "default" } };

describe("automatic cache points", () => {
  it("stand behind the tools, the system prompt and the user's last words", () => {
    const cached = withAutoCache(request(), ALL);
    assert.deepEqual(cached.toolConfig?.tools.at(-1), POINT);
    assert.deepEqual(cached.system?.at(-1), POINT);
    assert.deepEqual(pointsOf(cached), [[], [], [1]]);
    assert.deepEqual(judgeConverse(cached), []);
  });

  it("stand where the operator wants them, with the time that the operator wants", () => {
    const cached = withAutoCache(request(), { ...ALL, tools: false, conversation: false, ttl: "1h" });
    assert.equal(cached.toolConfig?.tools.length, 1);
    assert.deepEqual(cached.system?.at(-1), { cachePoint: { type: "default", ttl: "1h" } });
    assert.deepEqual(pointsOf(cached), [[], [], []]);
  });

  it("leave alone a request that has one of its own, and every request when they are off", () => {
    const own = { ...request(), system: [{ text: "Be brief." }, { cachePoint: { type: "default" as const } }] };
    assert.equal(withAutoCache(own, ALL), own);
    const plain = request();
    assert.equal(withAutoCache(plain, undefined), plain);
  });

  it("come before an answer that the client began, and not right behind a text document", () => {
    const answer = { role: "assistant" as const, content: [{ text: "It is" }] };
    const begun = { ...request(), messages: [...request().messages, answer] };
    assert.deepEqual(pointsOf(withAutoCache(begun, ALL)), [[], [], [1], []]);
    const document: ContentBlock = { document: { format: "txt", name: "notes", source: { bytes: "aGk=" } } };
    const messages = [
      ...request().messages.slice(0, 2),
      { role: "user" as const, content: [{ text: "Read." }, document] },
    ];
    assert.deepEqual(pointsOf(withAutoCache({ ...request(), messages }, ALL)), [[1], [], []]);
  });
});

function request(): ConverseRequest {
  return {
    messages: [
      { role: "user", content: [{ text: "Hi." }] },
      { role: "assistant", content: [{ text: "Hello." }] },
      { role: "user", content: [{ text: "What is the weather?" }] },
    ],
    system: [{ text: "Be brief." }],
    toolConfig: { tools: [{ toolSpec: { name: "weather", inputSchema: { json: { type: "object" } } } }] },
  };
}

/** Where each message has its cache points. */
function pointsOf({ messages }: ConverseRequest): number[][] {
  return messages.map(({ content }) => content.flatMap((block, index) => ("cachePoint" in block ? [index] : [])));
}
