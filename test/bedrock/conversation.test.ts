import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { repairConversation, repairSystem } from "../../src/bedrock/conversation.ts";
import type { ContentBlock, Message } from "../../src/bedrock/converse.ts";

const call = (toolUseId: string): ContentBlock => ({ toolUse: { toolUseId, name: "f", input: {} } });
const result = (toolUseId: string, text: string, status?: "error" | "success"): ContentBlock => ({
  toolResult: { toolUseId, content: [{ text }], ...(status && { status }) },
});
const user = (...content: ContentBlock[]): Message => ({ role: "user", content });
const assistant = (...content: ContentBlock[]): Message => ({ role: "assistant", content });

describe("repairing a conversation", () => {
  it("leaves a sound one as it is, and does not change what it was given", () => {
    const turns = [user({ text: "Go" }), assistant(call("a")), user(result("a", "r"))];
    const before = structuredClone(turns);
    assert.deepEqual(repairConversation(turns), { messages: before, warnings: [] });
    assert.deepEqual(turns, before);
  });

  it("begins with the user even when there is nothing at all", () => {
    assert.deepEqual(repairConversation([]).messages, [user({ text: "." })]);
  });

  it("joins two results of one call, and the later one decides whether it failed", () => {
    const turns = [
      user({ text: "Go" }),
      assistant(call("a")),
      user(result("a", "one")),
      user(result("a", "two", "error")),
    ];
    assert.deepEqual(repairConversation(turns).messages[2], {
      role: "user",
      content: [{ toolResult: { toolUseId: "a", content: [{ text: "one" }, { text: "two" }], status: "error" } }],
    });
  });

  it("does not match a result with a call of an earlier turn", () => {
    const turns = [user({ text: "Go" }), assistant(call("a")), user({ text: "Stop" }), assistant({ text: "Ok" })];
    const { messages, warnings } = repairConversation([...turns, user(result("a", "late"))]);
    assert.deepEqual(messages.at(-1), user({ text: "Tool result: late" }));
    assert.equal(warnings.length, 2);
  });

  it("keeps a cache point behind its block when the block moves, and the longer of two", () => {
    const [short, long] = [{ type: "default" }, { type: "default", ttl: "1h" }] as const;
    const turns = [
      user({ text: "Go" }),
      assistant(call("a")),
      user({ text: "So?" }, { cachePoint: long }, { cachePoint: short }),
      user(result("a", "r"), { cachePoint: short }),
    ];
    assert.deepEqual(
      repairConversation(turns).messages[2],
      user(result("a", "r"), { cachePoint: short }, { text: "So?" }, { cachePoint: long }),
    );
  });

  it("drops a cache point with only reasoning before it", () => {
    const reasoning: ContentBlock = { reasoningContent: { reasoningText: { text: "hm", signature: "s" } } };
    const turns = [
      user({ text: "Go" }),
      assistant(reasoning, { cachePoint: { type: "default" } }),
      user({ text: "On" }),
    ];
    assert.deepEqual(repairConversation(turns).messages[1], assistant(reasoning));
  });

  it("trims the end of an answer only where the conversation ends with it", () => {
    const { messages } = repairConversation([user({ text: "a " }), assistant({ text: "b " }), user({ text: "c " })]);
    assert.deepEqual(messages, [user({ text: "a " }), assistant({ text: "b " }), user({ text: "c " })]);
  });
});

describe("repairing a system prompt", () => {
  it("drops blank text and cache points with nothing new before them", () => {
    const cachePoint = { cachePoint: { type: "default" } } as const;
    assert.deepEqual(repairSystem([cachePoint, { text: " " }, { text: "a" }, cachePoint, cachePoint]), [
      { text: "a" },
      cachePoint,
    ]);
  });
});
