import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { converseResponse } from "../../../src/bedrock/converse-response.ts";
import { synthesizeEvents } from "../../../src/bedrock/synthesize-events.ts";
import type { Conversation, StoredAnswers } from "../../../src/dialects/dialect.ts";
import { openaiResponses } from "../../../src/dialects/openai-responses/index.ts";
import { parseJson, stringifyJson } from "../../../src/json.ts";

const NOTHING: StoredAnswers = { items: new Map() };
const ANSWER = converseResponse({
  output: {
    message: {
      content: [{ reasoningContent: { reasoningText: { text: "Hm.", signature: "c2ln" } } }, { text: "Four degrees." }],
    },
  },
  stopReason: "end_turn",
  usage: { inputTokens: 1, outputTokens: 1 },
});

describe("an answer that is stored", () => {
  it("is handed out with what the request added, once it is complete", () => {
    const conversation = decode({ input: "How warm is it?" }, NOTHING);
    assert.equal(conversation.toStore?.(), undefined);
    const reply = conversation.reply([ANSWER]);
    const kept = conversation.toStore?.();
    assert.deepEqual([kept?.id, kept?.previous, kept?.answer], ["resp_1", undefined, reply]);
    assert.partialDeepStrictEqual(kept?.items, [
      { role: "user", content: "How warm is it?" },
      { type: "reasoning" },
      { type: "message", content: [{ text: "Four degrees." }] },
    ]);
  });

  it("is the same after a stream", () => {
    const whole = decode({ input: "Hi" }, NOTHING);
    whole.reply([ANSWER]);
    const streamed = decode({ input: "Hi", stream: true }, NOTHING);
    const machine = streamed.events(0);
    for (const event of synthesizeEvents(ANSWER)) [...machine.push(event)];
    [...machine.end()];
    assert.deepEqual(streamed.toStore?.(), whole.toStore?.());
  });

  it("is not handed out when the client does not want it kept, nor where nothing is stored", () => {
    for (const conversation of [decode({ input: "Hi", store: false }, NOTHING), decode({ input: "Hi" })]) {
      const reply = conversation.reply([ANSWER]);
      assert.equal(conversation.toStore?.(), undefined);
      assert.partialDeepStrictEqual(reply, { store: false });
    }
  });

  it("comes before what the next request adds, whose instructions are its own", () => {
    const first = decode({ input: "How warm is it?", instructions: "Old." }, NOTHING);
    first.reply([ANSWER]);
    const body = { previous_response_id: "resp_1", input: "In Fahrenheit?", instructions: "New." };
    assert.deepEqual(openaiResponses.refersTo?.(body), { response: "resp_1", items: [] });
    const next = decode(body, { ...NOTHING, conversation: throughJson(first.toStore?.()?.items) });
    assert.deepEqual(next.request.system, [{ text: "New." }]);
    assert.deepEqual(next.request.messages, [
      { role: "user", content: [{ text: "How warm is it?" }] },
      {
        role: "assistant",
        content: [
          { reasoningContent: { reasoningText: { text: "Hm.", signature: "c2ln" } } },
          { text: "Four degrees." },
        ],
      },
      { role: "user", content: [{ text: "In Fahrenheit?" }] },
    ]);
    next.reply([ANSWER]);
    const kept = next.toStore?.();
    assert.equal(kept?.previous, "resp_1");
    assert.partialDeepStrictEqual(kept?.items, [{ content: "In Fahrenheit?" }, { type: "reasoning" }, {}]);
    assert.equal(kept?.items.length, 3);
  });

  it("keeps the tools that were handed in as an item", () => {
    const conversation = [
      { type: "additional_tools", role: "developer", tools: [{ type: "function", name: "f" }] },
      { role: "user", content: "Hi" },
    ];
    const body = { previous_response_id: "resp_1", input: "Go", tool_choice: { type: "function", name: "f" } };
    const { request } = decode(body, { ...NOTHING, conversation });
    assert.deepEqual(request.toolConfig?.toolChoice, { tool: { name: "f" } });
  });

  it("gives its items to those who refer to them", () => {
    const input = [
      { role: "user", content: "Hi" },
      { type: "item_reference", id: "msg_1" },
      { id: "rs_1" },
      { role: "user", content: "So?" },
    ];
    assert.deepEqual(openaiResponses.refersTo?.({ input }), { items: ["msg_1", "rs_1"] });
    const message = { type: "message", role: "assistant", content: [{ type: "output_text", text: "Hello." }] };
    const items = new Map<string, unknown>([
      ["msg_1", message],
      ["rs_1", { type: "reasoning", summary: [] }],
    ]);
    const { request } = decode({ input }, { items });
    assert.deepEqual(request.messages[1], { role: "assistant", content: [{ text: "Hello." }] });
  });

  it("is missed by its name", () => {
    const refused = (body: object, param: string) =>
      assert.throws(() => decode(body, NOTHING), { name: "GatewayError", code: "invalid_request", param });
    refused({ input: "Hi", previous_response_id: "resp_gone" }, "previous_response_id");
    refused({ input: [{ type: "item_reference", id: "msg_gone" }] }, "input[0].id");
    refused({ input: [{ role: "user", content: "Hi" }, { id: "msg_gone" }] }, "input[1].id");
  });

  it("is looked for in bodies of any kind", () => {
    for (const body of [null, "x", [], { input: 5 }, { input: [null, { id: 5 }], previous_response_id: {} }])
      assert.deepEqual(openaiResponses.refersTo?.(body), { items: [] });
  });
});

function decode(body: object, stored?: StoredAnswers): Conversation {
  return openaiResponses.decode({ model: "m", ...body }, { id: "1", created: 1, ...(stored && { stored }) });
}

function throughJson(value: unknown): unknown[] {
  const items = parseJson(stringifyJson(value));
  assert.ok(Array.isArray(items));
  return items;
}
