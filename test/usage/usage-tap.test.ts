import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ModelOperation } from "../../src/bedrock/model-call.ts";
import { GatewayError } from "../../src/errors.ts";
import type { JsonObject } from "../../src/json.ts";
import { claudeBody, claudeSteps } from "../../src/simulator/claude-message.ts";
import { eventFrame, exceptionFrame } from "../../src/simulator/event-stream.ts";
import { messageBody, messageSteps } from "../../src/simulator/message.ts";
import { type StreamStep, says } from "../../src/simulator/simulator.ts";
import { createMeter } from "../../src/usage/meter.ts";
import { usageTap } from "../../src/usage/usage-tap.ts";

const STREAM = { "content-type": "application/vnd.amazon.eventstream" };
const JSON_TYPE = { "content-type": "application/json" };
const TEXT = "Four degrees and some rain.";
const BEDROCK_USAGE = {
  inputTokens: 11,
  outputTokens: 5,
  totalTokens: 16,
  cacheReadInputTokens: 90,
  cacheWriteInputTokens: 30,
  cacheDetails: [
    { ttl: "1h", inputTokens: 20 },
    { ttl: "5m", inputTokens: 10 },
  ],
};
const ALL = { inputTokens: 11, outputTokens: 5, cacheReadTokens: 90, cacheWriteTokens: 30, cacheWrite1hTokens: 20 };
const PLAIN = { inputTokens: 11, outputTokens: 5, cacheReadTokens: 0, cacheWriteTokens: 0, cacheWrite1hTokens: 0 };
const RENDERING = { usage: BEDROCK_USAGE, latencyMs: 3 };

const converseStream = bytesOf(messageSteps(says(TEXT, { serviceTier: { type: "priority" } }), RENDERING));
const claudeStream = bytesOf(claudeSteps(says(TEXT), RENDERING, "claude"));
const converseBody = json(messageBody(says(TEXT, { serviceTier: { type: "priority" } }), RENDERING));
const claudeAnswer = json(claudeBody(says(TEXT), RENDERING, "claude"));

describe("usage is tapped from", () => {
  const answers: [string, ModelOperation, Record<string, string>, Buffer][] = [
    ["a Converse answer", "converse", JSON_TYPE, converseBody],
    ["ConverseStream's last event", "converse-stream", STREAM, converseStream],
    ["Claude's own body", "invoke", { ...JSON_TYPE, ...counts(1, 1) }, claudeAnswer],
    ["Claude's own events", "invoke-with-response-stream", STREAM, claudeStream],
  ];
  for (const [name, operation, headers, bytes] of answers) {
    it(`${name}, wherever its bytes are cut`, () => {
      for (let cut = 0; cut <= bytes.length; cut += 1) {
        const { total } = tap(operation, headers, [bytes.subarray(0, cut), bytes.subarray(cut)]);
        assert.deepEqual(total, { usage: ALL, estimated: false }, `cut at ${cut}`);
      }
      const single = Array.from(bytes, (byte) => Buffer.from([byte]));
      assert.deepEqual(tap(operation, headers, single).total, { usage: ALL, estimated: false });
    });
  }

  it("InvokeModel's headers, for a model whose body does not say", () => {
    const answer = tap("invoke", { ...JSON_TYPE, ...counts(11, 5) }, [json({ embedding: [1, 2, 3] })]);
    assert.deepEqual(answer.total, { usage: PLAIN, estimated: false });
    for (const pieces of [[Buffer.from("no JSON")], []])
      assert.deepEqual(tap("invoke", { ...JSON_TYPE, ...counts(11, 5) }, pieces).total.usage, PLAIN);
  });

  it("the metrics of a stream's last chunk, for a model that does not say", () => {
    const metrics = { inputTokenCount: 11, outputTokenCount: 5, cacheReadInputTokenCount: 90 };
    const bytes = bytesOf([
      chunk({ generation: "Four" }),
      chunk({ generation: "", "amazon-bedrock-invocationMetrics": metrics }),
    ]);
    assert.deepEqual(tap("invoke-with-response-stream", STREAM, [bytes]).total, {
      usage: { ...PLAIN, cacheReadTokens: 90 },
      estimated: false,
    });
  });

  it("Nova's own body and stream", () => {
    const usage = { inputTokens: 11, outputTokens: 5, cacheReadInputTokenCount: 90, cacheWriteInputTokenCount: 30 };
    const expected = { ...ALL, cacheWrite1hTokens: 0 };
    assert.deepEqual(tap("invoke", JSON_TYPE, [json({ output: {}, usage })]).total.usage, expected);
    const stream = bytesOf([chunk({ contentBlockDelta: { delta: { text: "x" } } }), chunk({ metadata: { usage } })]);
    assert.deepEqual(tap("invoke-with-response-stream", STREAM, [stream]).total.usage, expected);
  });

  it("Claude's body that says only for how long it wrote to the cache", () => {
    const usage = { input_tokens: 1, output_tokens: 1, cache_creation: { ephemeral_1h_input_tokens: 20 } };
    const { cacheWriteTokens, cacheWrite1hTokens } = tap("invoke", JSON_TYPE, [json({ usage })]).total.usage;
    assert.deepEqual([cacheWriteTokens, cacheWrite1hTokens], [20, 20]);
  });

  it("what says how the model thought", () => {
    const usage = { input_tokens: 11, output_tokens: 50, output_tokens_details: { thinking_tokens: 40 } };
    assert.equal(tap("invoke", JSON_TYPE, [json({ usage })]).total.usage.reasoningTokens, 40);
  });
});

describe("the tier that Bedrock served is tapped", () => {
  it("from Converse's answers", () => {
    assert.equal(tap("converse", JSON_TYPE, [converseBody]).meter.served.serviceTier, "priority");
    assert.equal(tap("converse-stream", STREAM, [converseStream]).meter.served.serviceTier, "priority");
  });

  it("from InvokeModel's headers", () => {
    const tier = { "x-amzn-bedrock-service-tier": "flex", "x-amzn-bedrock-performanceconfig-latency": "optimized" };
    const expected = { serviceTier: "flex", latency: "optimized" };
    assert.deepEqual(tap("invoke", { ...tier, ...JSON_TYPE }, [claudeAnswer]).meter.served, expected);
    const stream = tap("invoke-with-response-stream", { ...tier, ...STREAM }, [claudeStream]);
    assert.deepEqual(stream.meter.served, expected);
  });
});

describe("usage is an estimate", () => {
  it("of the text that came, with Claude's own count of the prompt, when its stream ends before its time", () => {
    const steps = claudeSteps(says(TEXT), RENDERING, "claude");
    const { total } = tap("invoke-with-response-stream", STREAM, [bytesOf(steps.slice(0, -2))]);
    assert.deepEqual(total, { usage: { ...ALL, outputTokens: Math.ceil(TEXT.length / 4) }, estimated: true });
  });

  it("of the text of a model that nobody knows", () => {
    const { total } = tap("invoke-with-response-stream", STREAM, [bytesOf([chunk({ outputText: "x".repeat(40) })])]);
    assert.deepEqual([total.usage.inputTokens, total.usage.outputTokens, total.estimated], [100, 10, true]);
    const body = tap("invoke", JSON_TYPE, [json({ results: [{ outputText: "x".repeat(40) }] })]);
    assert.deepEqual([body.total.usage.outputTokens, body.total.estimated], [10, true]);
  });

  it("that takes an image for an image, and not for a million characters", () => {
    const { total } = tap("invoke", JSON_TYPE, [json({ images: ["A".repeat(1_000_000)] })]);
    assert.equal(total.usage.outputTokens, 1_500);
  });

  it("of what came before a frame that is corrupt", () => {
    const corrupt = Buffer.from(claudeStream);
    corrupt[corrupt.length - 1] = (corrupt.at(-1) ?? 0) ^ 1;
    const { total, failure } = tap("invoke-with-response-stream", STREAM, [corrupt]);
    assert.equal(failure?.code, "upstream_invalid_response");
    // Claude's count came before AWS's metrics, which are in the last frame.
    assert.deepEqual(total, { usage: ALL, estimated: false });
    assert.equal(tap("converse-stream", STREAM, [Buffer.alloc(1_000, 7)]).total.estimated, true);
  });

  it("for a whole answer that is larger than what is kept of it", () => {
    const large = Buffer.alloc(9 * 1024 * 1024, 32);
    const pieces = [Buffer.from('{"usage":'), large, large, Buffer.from("{}}")];
    assert.equal(tap("converse", JSON_TYPE, pieces).total.estimated, true);
  });

  it("where a count is no count", () => {
    for (const input_tokens of [-1, 1.5, "3", null, 2e9]) {
      const { total } = tap("invoke", JSON_TYPE, [json({ usage: { input_tokens, output_tokens: 1 } })]);
      assert.equal(total.estimated, true, String(input_tokens));
    }
    assert.equal(tap("invoke", { ...JSON_TYPE, ...counts(-1, 1.5) }, [json({})]).total.estimated, true);
  });
});

describe("the tap tells a failure", () => {
  it("that is an exception in the stream", () => {
    const bytes = Buffer.concat([
      frameOf(chunk({ type: "ping" })),
      exceptionFrame("modelTimeoutException", { message: "Too slow" }),
    ]);
    assert.equal(tap("invoke-with-response-stream", STREAM, [bytes]).failure?.code, "model_timeout");
    assert.equal(
      tap("converse-stream", STREAM, [bytes.subarray(frameOf(chunk({ type: "ping" })).length)]).failure?.code,
      "model_timeout",
    );
  });

  it("that is no answer in spite of status 200", () => {
    const unknown = json({ Output: { __type: "com.amazon.coral.service#UnknownOperationException" }, Version: "1.0" });
    for (const operation of ["converse", "converse-stream", "invoke-with-response-stream"] as const) {
      assert.equal(tap(operation, JSON_TYPE, [unknown]).failure?.code, "upstream_invalid_response", operation);
    }
  });

  it("that is an end before the last event, or inside a frame", () => {
    const stop = bytesOf(messageSteps(says(TEXT), RENDERING).slice(0, -1));
    assert.equal(tap("converse-stream", STREAM, [stop]).failure?.code, "upstream_invalid_response");
    assert.equal(
      tap("invoke-with-response-stream", STREAM, [claudeStream.subarray(0, -1)]).failure?.code,
      "upstream_invalid_response",
    );
  });
});

function tap(operation: ModelOperation, headers: Readonly<Record<string, string>>, pieces: readonly Uint8Array[]) {
  const meter = createMeter(() => 1);
  const stage = usageTap(operation, (name) => headers[name]);
  let failure: GatewayError | undefined;
  try {
    for (const piece of pieces) for (const sighting of stage.push(piece)) meter.note(sighting);
    for (const sighting of stage.end()) meter.note(sighting);
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error));
    failure = error;
  }
  return { meter, failure, total: meter.total(100) };
}

function bytesOf(steps: readonly StreamStep[]): Buffer {
  return Buffer.concat(steps.map(frameOf));
}

function frameOf(step: StreamStep): Buffer {
  if (!("event" in step)) throw new Error("a step without an event");
  return eventFrame(step.event, step.payload);
}

function chunk(event: JsonObject): StreamStep {
  return { event: "chunk", payload: { bytes: Buffer.from(JSON.stringify(event)).toString("base64") } };
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function counts(input: number, output: number) {
  return { "x-amzn-bedrock-input-token-count": String(input), "x-amzn-bedrock-output-token-count": String(output) };
}
