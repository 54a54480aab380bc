import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { says } from "../../src/simulator/answer.ts";
import { eventFrame } from "../../src/simulator/event-stream.ts";
import { ask, readError, readSse, startTestGateway, type TestGateway, uniqueModel } from "./harness.ts";

const KEEP_ALIVE = ": keep-alive\n\n";
const START = { event: "messageStart", payload: { role: "assistant" } } as const;
const FIRST_FRAME = eventFrame(START.event, START.payload);
const TEXT = { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: "Finally." } } } as const;
const STOP = [
  { event: "contentBlockStop", payload: { contentBlockIndex: 0 } },
  { event: "messageStop", payload: { stopReason: "end_turn" } },
  {
    event: "metadata",
    payload: { usage: { inputTokens: 5, outputTokens: 2, totalTokens: 7 }, metrics: { latencyMs: 1 } },
  },
] as const;

let gateway: TestGateway;

before(async () => {
  gateway = await startTestGateway();
});
after(() => gateway.stop());

// Silence takes as long as it takes: all tests wait at the same time.
describe("a model that takes its time", { concurrency: true }, () => {
  it("may be silent for longer than any timeout of ext_proc before it answers", async () => {
    const model = uniqueModel();
    gateway.simulator.scriptModel(model, says("Finally.", { delay: 12_000 }));
    const reply = await gateway.chat(ask(model));
    assert.equal(reply.status, 200);
    assert.match(await reply.text(), /Finally\./);
  });

  it("gets a comment sent in its place every 15 seconds while its stream is silent", async () => {
    const model = uniqueModel();
    gateway.simulator.scriptModel(model, {
      kind: "events",
      steps: [START, { silence: 31_000 }, TEXT, ...STOP],
    });
    const stream = await timed(model);
    assert.deepEqual(stream.keepAlives.map(toQuarterMinutes), [1, 2]);
    assert.deepEqual([stream.complete, stream.text, stream.data.at(-1)], [true, "Finally.", "[DONE]"]);
  });

  // Envoy takes bytes of a body only after it has passed on the first of Bedrock's.
  it("has at least the headers of its stream sent when not even the first frame has come", async () => {
    const model = uniqueModel();
    gateway.simulator.scriptModel(model, {
      kind: "events",
      steps: [{ silence: 31_000 }, START, TEXT, ...STOP],
    });
    const stream = await timed(model);
    assert.deepEqual([stream.status, stream.contentType], [200, "text/event-stream; charset=utf-8"]);
    assert.equal(toQuarterMinutes(stream.headersAfter), 1);
    assert.deepEqual([stream.complete, stream.text, stream.data.at(-1)], [true, "Finally.", "[DONE]"]);
  });

  it("gets comments when half of its first frame has come", async () => {
    const model = uniqueModel();
    gateway.simulator.scriptModel(model, {
      kind: "events",
      steps: [
        { bytes: FIRST_FRAME.subarray(0, 20) },
        { silence: 16_000 },
        { bytes: FIRST_FRAME.subarray(20) },
        TEXT,
        ...STOP,
      ],
    });
    const stream = await timed(model);
    assert.deepEqual(stream.keepAlives.map(toQuarterMinutes), [1]);
    assert.deepEqual([stream.complete, stream.text, stream.data.at(-1)], [true, "Finally.", "[DONE]"]);
  });

  it("can still fail with a status when the first frame comes sooner", async () => {
    const model = uniqueModel();
    gateway.simulator.scriptModel(model, {
      kind: "events",
      steps: [{ silence: 5_000 }, { exception: "throttlingException", payload: { message: "Too many requests." } }],
    });
    const error = await readError(await gateway.chat(ask(model, { stream: true })));
    assert.equal(error.status, 429);
  });

  it("fails with an error event and no finish when its headers have been sent", async () => {
    const model = uniqueModel();
    gateway.simulator.scriptModel(model, {
      kind: "events",
      steps: [{ silence: 16_000 }, { exception: "throttlingException", payload: { message: "Too many requests." } }],
    });
    const stream = await timed(model);
    assert.equal(stream.status, 200);
    assert.match(stream.raw, /"error":/);
    assert.doesNotMatch(stream.raw, /"finish_reason":"/);
  });
});

function toQuarterMinutes(milliseconds: number): number {
  const quarters = milliseconds / 15_000;
  // 1.5 s for a busy machine.
  return Math.abs(quarters - Math.round(quarters)) < 0.1 ? Math.round(quarters) : quarters;
}

/** A stream to its end, and when its comments came. */
async function timed(model: string) {
  const started = performance.now();
  const keepAlives: number[] = [];
  const reply = await gateway.chat(ask(model, { stream: true }));
  const headersAfter = performance.now() - started;
  const stream = await readSse(reply, (piece) => {
    if (piece.includes(KEEP_ALIVE)) keepAlives.push(performance.now() - started);
  });
  const text = [...stream.raw.matchAll(/"content":"([^"]+)"/g)].map(([, content]) => content).join("");
  return {
    ...stream,
    status: reply.status,
    contentType: reply.headers.get("content-type"),
    headersAfter,
    keepAlives,
    text,
  };
}
