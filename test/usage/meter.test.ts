import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { BlockDelta, ConverseEvent, ConverseResponse, TokenUsage } from "../../src/bedrock/converse.ts";
import { createMeter } from "../../src/usage/meter.ts";

const USAGE: TokenUsage = {
  inputTokens: 10,
  outputTokens: 20,
  totalTokens: 100,
  cacheReadInputTokens: 30,
  cacheWriteInputTokens: 40,
  cacheDetails: [
    { ttl: "1h", inputTokens: 15 },
    { ttl: "5m", inputTokens: 25 },
  ],
};
const COUNTED = {
  inputTokens: 10,
  outputTokens: 20,
  cacheReadTokens: 30,
  cacheWriteTokens: 40,
  cacheWrite1hTokens: 15,
};

function setUp() {
  const clock = { now: 1_000 };
  return { clock, meter: createMeter(() => clock.now) };
}

function delta(part: BlockDelta): ConverseEvent {
  return { type: "contentBlockDelta", index: 0, delta: part };
}

describe("the meter of a stream", () => {
  it("passes every event on unchanged", () => {
    const { meter } = setUp();
    const events: ConverseEvent[] = [
      { type: "messageStart", role: "assistant" },
      delta({ text: "hi" }),
      { type: "messageStop", stopReason: "end_turn" },
      { type: "metadata", usage: USAGE },
      { type: "unknown", eventType: "x" },
    ];
    for (const event of events) {
      const [passed, ...more] = meter.stage.push(event);
      assert.equal(passed, event);
      assert.deepEqual(more, []);
    }
    assert.deepEqual([...meter.stage.end()], []);
  });

  it("knows Bedrock's own numbers from the metadata, whatever had been estimated", () => {
    const { meter } = setUp();
    meter.stage.push(delta({ text: "x".repeat(4_000) }));
    meter.stage.push({ type: "metadata", usage: USAGE });
    assert.deepEqual(meter.total(77), { usage: COUNTED, estimated: false });
  });

  it("estimates the output from text, tool input and reasoning when the metadata never came", () => {
    const { meter } = setUp();
    meter.stage.push(delta({ text: "x".repeat(40) }));
    meter.stage.push(delta({ toolUse: { input: "x".repeat(20) } }));
    meter.stage.push(delta({ reasoningContent: { text: "x".repeat(20) } }));
    meter.stage.push(delta({ reasoningContent: { signature: "x".repeat(400) } }));
    assert.deepEqual(meter.total(7), {
      usage: { inputTokens: 7, outputTokens: 20, cacheReadTokens: 0, cacheWriteTokens: 0 },
      estimated: true,
    });
  });

  it("takes no more writes for an hour than there were writes", () => {
    const { meter } = setUp();
    const cacheDetails = [{ ttl: "1h", inputTokens: 1_000_000 }];
    const usage = { inputTokens: 1, outputTokens: 1, cacheWriteInputTokens: 20, cacheDetails };
    meter.stage.push({ type: "metadata", usage });
    const { cacheWriteTokens, cacheWrite1hTokens } = meter.total(7).usage;
    assert.deepEqual([cacheWriteTokens, cacheWrite1hTokens], [20, 20]);
  });

  it("estimates by bytes: whoever reads an answer in Chinese and leaves at its end has had no quarter of it", () => {
    const { meter } = setUp();
    for (const text of ["字", "数"]) meter.stage.push(delta({ text: text.repeat(40) }));
    assert.equal(meter.total(7).usage.outputTokens, 60);
  });

  it("notes the time of the first delta alone", () => {
    const { meter, clock } = setUp();
    meter.stage.push({ type: "messageStart", role: "assistant" });
    assert.equal(meter.firstTokenAt, undefined);
    assert.equal(meter.begun, false);
    clock.now = 2_000;
    meter.stage.push(delta({ text: "a" }));
    clock.now = 3_000;
    meter.stage.push(delta({ text: "b" }));
    assert.equal(meter.firstTokenAt, 2_000);
    assert.equal(meter.begun, true);
  });

  it("has begun with the counts, also without any delta", () => {
    const { meter } = setUp();
    meter.stage.push({ type: "metadata", usage: { inputTokens: 3, outputTokens: 0 } });
    assert.equal(meter.begun, true);
    assert.equal(meter.firstTokenAt, undefined);
  });
});

describe("the meter's reasoning tokens", () => {
  const fields = (tokens: number) => ({ usage: { output_tokens_details: { thinking_tokens: tokens } } });

  it("are what the model says, in a stream and in a whole answer, and no more than its output", () => {
    for (const [said, counted] of [
      [12, 12],
      [0, 0],
      [21, 20],
    ] as const) {
      const stream = setUp().meter;
      const stop = {
        type: "messageStop",
        stopReason: "end_turn",
        additionalModelResponseFields: fields(said),
      } as const;
      stream.stage.push(stop);
      stream.stage.push({ type: "metadata", usage: USAGE });
      const whole = setUp().meter;
      whole.read({
        output: { message: { role: "assistant", content: [] } },
        stopReason: "end_turn",
        usage: USAGE,
        additionalModelResponseFields: fields(said),
      });
      for (const meter of [stream, whole]) {
        assert.deepEqual(meter.total(0).usage, { ...COUNTED, reasoningTokens: counted });
      }
    }
  });

  it("are unknown where the model does not say", () => {
    const { meter } = setUp();
    meter.stage.push({ type: "messageStop", stopReason: "end_turn" });
    meter.stage.push({ type: "metadata", usage: USAGE });
    assert.ok(!Object.hasOwn(meter.total(0).usage, "reasoningTokens"));
  });
});

describe("the meter of a whole answer", () => {
  it("knows its counts and the time at which it came", () => {
    const { meter } = setUp();
    const response: ConverseResponse = {
      output: { message: { role: "assistant", content: [] } },
      stopReason: "end_turn",
      usage: USAGE,
    };
    meter.read(response);
    assert.deepEqual(meter.total(1), { usage: COUNTED, estimated: false });
    assert.equal(meter.firstTokenAt, 1_000);
  });

  it("is an estimate of the input alone before it came", () => {
    const { meter } = setUp();
    assert.deepEqual(meter.total(9), {
      usage: { inputTokens: 9, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 },
      estimated: true,
    });
  });
});
