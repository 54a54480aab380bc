/** The bytes of a stream as they reach the client, through Envoy and at any cut of Bedrock's bytes. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { JsonObject } from "../../src/json.ts";
import { type StreamStep, says } from "../../src/simulator/simulator.ts";
import { ask, readSse, startTestGateway, uniqueModel } from "./harness.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());

const USAGE = { inputTokens: 12, outputTokens: 8, totalTokens: 20 };

/** Blocks whose indexes are neither dense nor in order, an umlaut and an emoji that cuts can fall into. */
const STEPS: StreamStep[] = [
  event("messageStart", { role: "assistant" }),
  delta(0, { text: "Grüße, 👋 " }),
  delta(0, { text: "world" }),
  event("contentBlockStop", { contentBlockIndex: 0 }),
  event("contentBlockStart", { contentBlockIndex: 3, start: { toolUse: { toolUseId: "call_a", name: "first" } } }),
  delta(3, { toolUse: { input: '{"x":' } }),
  delta(3, { toolUse: { input: "12345678901234567890}" } }),
  event("contentBlockStop", { contentBlockIndex: 3 }),
  event("contentBlockStart", { contentBlockIndex: 7, start: { toolUse: { toolUseId: "call_b", name: "second" } } }),
  delta(7, { toolUse: { input: "" } }),
  event("contentBlockStop", { contentBlockIndex: 7 }),
  event("messageStop", { stopReason: "tool_use" }),
  event("metadata", { usage: USAGE, metrics: { latencyMs: 5 } }),
];

const DELTAS = [
  { role: "assistant", content: "" },
  { content: "Grüße, 👋 " },
  { content: "world" },
  { tool_calls: [{ index: 0, id: "call_a", type: "function", function: { name: "first", arguments: "" } }] },
  { tool_calls: [{ index: 0, function: { arguments: '{"x":' } }] },
  { tool_calls: [{ index: 0, function: { arguments: "12345678901234567890}" } }] },
  { tool_calls: [{ index: 1, id: "call_b", type: "function", function: { name: "second", arguments: "" } }] },
  { tool_calls: [{ index: 1, function: { arguments: "{}" } }] },
  {},
];

describe("a stream", { concurrency: true }, () => {
  for (const chunking of ["whole", "frames", 1, 3, 11, 100] as const) {
    it(`has the same bytes when Bedrock's come in pieces of ${chunking}`, async () => {
      const model = uniqueModel();
      gateway.simulator.scriptModel(model, { kind: "events", steps: STEPS, chunking });
      const before = Math.floor(Date.now() / 1000);
      const response = await gateway.chat(ask(model, { stream: true, stream_options: { include_usage: true } }));
      const { raw, complete } = await readSse(response);
      const id = `chatcmpl-${response.headers.get("x-request-id")?.replaceAll("-", "")}`;
      const created = Number(/"created":(\d+)/.exec(raw)?.[1]);
      assert.ok(before <= created && created <= Date.now() / 1000);
      assert.equal(raw, expectedText({ id, object: "chat.completion.chunk", created, model }));
      assert.equal(complete, true);
    });
  }

  it("is labelled as one, and asks proxies not to hold it back", async () => {
    const model = uniqueModel();
    const response = await gateway.chat(ask(model, { stream: true }), { headers: { "accept-encoding": "gzip, br" } });
    await response.text();
    const header = (name: string) => response.headers.get(name);
    assert.equal(header("content-type"), "text/event-stream; charset=utf-8");
    assert.deepEqual([header("cache-control"), header("x-accel-buffering")], ["no-cache", "no"]);
    assert.deepEqual([header("content-encoding"), header("content-length")], [null, null]);
  });

  it("reaches the client while Bedrock is still writing", async () => {
    const model = uniqueModel();
    const steps = [event("messageStart", { role: "assistant" }), delta(0, { text: "early" }), ...ending(500)];
    gateway.simulator.scriptModel(model, { kind: "events", steps });
    const response = await gateway.chat(ask(model, { stream: true }));
    const request = await gateway.simulator.waitFor(({ modelId }) => modelId === model);
    let seenWhileWriting = false;
    const { complete } = await readSse(response, (text) => {
      if (text.includes('"content":"early"') && !request.done) seenWhileWriting = true;
    });
    assert.ok(seenWhileWriting);
    assert.equal(complete, true);
  });

  it("keeps apart the answers of many at once", async () => {
    const texts = Array.from({ length: 30 }, (_, index) => `answer ${index} ${"word ".repeat(index)}end`);
    await Promise.all(
      texts.map(async (text) => {
        const model = uniqueModel();
        gateway.simulator.scriptModel(model, says(text, { pace: 5 }));
        const { raw } = await readSse(await gateway.chat(ask(model, { stream: true })));
        assert.equal(contents(raw), text);
      }),
    );
  });

  it("carries a long answer whole", async () => {
    const model = uniqueModel();
    const text = "lorem ipsum dolor ".repeat(20_000);
    gateway.simulator.scriptModel(model, [says(text, { chunking: 60_000 }), says(text)]);
    const { raw } = await readSse(await gateway.chat(ask(model, { stream: true })));
    assert.equal(contents(raw), text);
    const whole = JSON.parse(await (await gateway.chat(ask(model))).text());
    assert.equal(whole.choices[0].message.content, text);
  });
});

function event(name: string, payload: JsonObject): StreamStep & { event: string } {
  return { event: name, payload };
}

function delta(contentBlockIndex: number, content: JsonObject): StreamStep {
  return event("contentBlockDelta", { contentBlockIndex, delta: content });
}

/** The end of an answer, so many milliseconds later. */
function ending(delay: number): StreamStep[] {
  return [
    { ...event("messageStop", { stopReason: "end_turn" }), delay },
    event("metadata", { usage: USAGE, metrics: { latencyMs: delay } }),
  ];
}

function expectedText(head: JsonObject): string {
  const chunks = DELTAS.map((content, index) => {
    const finish = index === DELTAS.length - 1 ? "tool_calls" : null;
    return { ...head, choices: [{ index: 0, delta: content, logprobs: null, finish_reason: finish }], usage: null };
  });
  const usage = {
    prompt_tokens: 12,
    completion_tokens: 8,
    total_tokens: 20,
    prompt_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
  };
  const lines = [...chunks, { ...head, choices: [], usage }].map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`);
  return `${lines.join("")}data: [DONE]\n\n`;
}

/** The text of all deltas, as a client joins it. */
function contents(raw: string): string {
  const pieces = raw.split("\n\n").filter((piece) => piece.startsWith("data: {"));
  return pieces.map((piece) => JSON.parse(piece.slice("data: ".length)).choices[0]?.delta.content ?? "").join("");
}
