import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConverseEvent, ConverseResponse } from "../../src/bedrock/converse.ts";
import { synthesizeEvents } from "../../src/bedrock/synthesize-events.ts";

const usage = { inputTokens: 3, outputTokens: 5 };

function answer(...content: ConverseResponse["output"]["message"]["content"]): ConverseResponse {
  return { output: { message: { role: "assistant", content } }, stopReason: "end_turn", usage };
}

function blockEvents(response: ConverseResponse): ConverseEvent[] {
  return synthesizeEvents(response).slice(1, -2);
}

describe("a whole answer as events", () => {
  it("has the order of a stream, usage last", () => {
    const events = synthesizeEvents({
      ...answer({ text: "Hi" }),
      metrics: { latencyMs: 9 },
      serviceTier: { type: "flex" },
      additionalModelResponseFields: { a: 1 },
    });
    assert.deepEqual(events, [
      { type: "messageStart", role: "assistant" },
      { type: "contentBlockDelta", index: 0, delta: { text: "Hi" } },
      { type: "contentBlockStop", index: 0 },
      { type: "messageStop", stopReason: "end_turn", additionalModelResponseFields: { a: 1 } },
      { type: "metadata", usage, latencyMs: 9, serviceTier: "flex" },
    ]);
  });

  it("announces tool calls and gives their input as JSON text", () => {
    const call = { toolUseId: "t1", name: "read", input: { path: "a" } };
    assert.deepEqual(blockEvents(answer({ text: "So" }, { toolUse: call })), [
      { type: "contentBlockDelta", index: 0, delta: { text: "So" } },
      { type: "contentBlockStop", index: 0 },
      { type: "contentBlockStart", index: 1, start: { toolUse: { toolUseId: "t1", name: "read" } } },
      { type: "contentBlockDelta", index: 1, delta: { toolUse: { input: '{"path":"a"}' } } },
      { type: "contentBlockStop", index: 1 },
    ]);
  });

  it("keeps reasoning, its signature and what was redacted", () => {
    const response = answer(
      { reasoningContent: { reasoningText: { text: "hm", signature: "c2ln" } } },
      { reasoningContent: { redactedContent: "eA==" } },
    );
    const deltas = blockEvents(response).flatMap((event) => (event.type === "contentBlockDelta" ? [event.delta] : []));
    assert.deepEqual(deltas, [
      { reasoningContent: { text: "hm" } },
      { reasoningContent: { signature: "c2ln" } },
      { reasoningContent: { redactedContent: "eA==" } },
    ]);
  });

  it("keeps cited text and its citations", () => {
    const response = answer({
      citationsContent: { content: [{ text: "a" }, { text: "b" }], citations: [{ title: "t" }] },
    });
    const deltas = blockEvents(response).flatMap((event) => (event.type === "contentBlockDelta" ? [event.delta] : []));
    assert.deepEqual(deltas, [{ text: "a" }, { text: "b" }, { citation: { title: "t" } }]);
  });

  it("opens and closes a block that it has no words for", () => {
    assert.deepEqual(blockEvents(answer({})), [
      { type: "contentBlockStart", index: 0, start: {} },
      { type: "contentBlockStop", index: 0 },
    ]);
  });

  it("has no blocks for an empty answer", () => {
    assert.deepEqual(blockEvents(answer()), []);
  });
});
