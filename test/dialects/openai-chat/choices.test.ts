/** Several answers to one request: each is a call of its own, and the client sees one answer. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import OpenAI from "openai";
import type { ConverseEvent } from "../../../src/bedrock/converse.ts";
import { openaiChat } from "../../../src/dialects/openai-chat/index.ts";
import { encodeEvent } from "../../../src/dialects/sse.ts";
import { GatewayError } from "../../../src/errors.ts";

const META = { id: "1", created: 1 };
const BODY = { model: "m", messages: [{ role: "user", content: "Hi" }], n: 2, stream: true };
const ASKED = { ...BODY, stream_options: { include_usage: true } };

const answer = (text: string, stopReason: string, inputTokens: number): ConverseEvent[] => [
  { type: "messageStart", role: "assistant" },
  { type: "contentBlockDelta", index: 0, delta: { text } },
  { type: "messageStop", stopReason },
  { type: "metadata", usage: { inputTokens, outputTokens: 5, cacheReadInputTokens: 1 } },
];

describe("two streamed choices", () => {
  it("arrive in any order, with the tokens of both once at the end", async () => {
    const text = interleave(ASKED, answer("Hello", "end_turn", 10), answer("Bonjour", "max_tokens", 20));
    assert.equal(text.match(/"usage":\{/g)?.length, 1);
    assert.equal(text.match(/\[DONE\]/g)?.length, 1);
    const { choices, usage } = await accumulate(text);
    assert.deepEqual(
      choices.map(({ index, message, finish_reason }) => [index, message.content, finish_reason]),
      [
        [0, "Hello", "stop"],
        [1, "Bonjour", "length"],
      ],
    );
    assert.deepEqual([usage?.prompt_tokens, usage?.completion_tokens, usage?.total_tokens], [32, 10, 42]);
  });

  it("tell no tokens when nobody asked", () => {
    const text = interleave(BODY, answer("a", "end_turn", 1), answer("b", "end_turn", 1));
    assert.doesNotMatch(text, /usage/);
    assert.match(text, /data: \[DONE\]\n\n$/);
  });

  it("are not complete when one of them was cut", () => {
    const conversation = openaiChat.decode(BODY, META);
    const cut = conversation.events(1);
    for (const event of answer("b", "end_turn", 1).slice(0, 2)) [...cut.push(event)];
    assert.throws(() => [...cut.end()], GatewayError);
  });

  it("are told apart from a new stream of the same request", () => {
    const conversation = openaiChat.decode(BODY, META);
    const [first, again] = [conversation.events(0), conversation.events(0)];
    for (const event of answer("a", "end_turn", 1)) [...first.push(event)];
    assert.throws(() => [...again.end()], GatewayError);
  });
});

function interleave(body: object, ...answers: ConverseEvent[][]): string {
  const conversation = openaiChat.decode(body, META);
  const machines = answers.map((events, choice) => ({ events: [...events], machine: conversation.events(choice) }));
  const out = [];
  for (let turn = 0; machines.some(({ events }) => events.length > turn); turn += 1) {
    for (const { events, machine } of machines.toReversed()) {
      const event = events[turn];
      if (event !== undefined) out.push(...machine.push(event));
    }
  }
  for (const { machine } of machines) out.push(...machine.end());
  return [...out, ...conversation.closing()].map((event) => encodeEvent(event).toString()).join("");
}

function accumulate(text: string): Promise<OpenAI.ChatCompletion> {
  const fetch = async () => new Response(text, { headers: { "content-type": "text/event-stream" } });
  const client = new OpenAI({ apiKey: "sk-test", baseURL: "http://localhost/v1", fetch, maxRetries: 0 });
  return client.chat.completions
    .stream({ model: "m", messages: [{ role: "user", content: "Hi" }], stream: true })
    .finalChatCompletion();
}
