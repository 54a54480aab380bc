import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConverseEvent } from "../../src/bedrock/converse.ts";
import { converseEvents, tokenUsage } from "../../src/bedrock/converse-events.ts";
import { frames } from "../../src/bedrock/event-stream.ts";
import { type ErrorCode, GatewayError } from "../../src/errors.ts";
import { type JsonObject, stringifyJson } from "../../src/json.ts";
import { errorFrame, eventFrame, exceptionFrame } from "../../src/simulator/event-stream.ts";
import { chain } from "../../src/transform.ts";

const read = (...bytes: Buffer[]): ConverseEvent[] => {
  const machine = chain(frames(), converseEvents());
  return [...bytes.flatMap((piece) => [...machine.push(piece)]), ...machine.end()];
};

describe("converseEvents", () => {
  const cases: readonly (readonly [what: string, type: string, payload: JsonObject, event: ConverseEvent])[] = [
    ["messageStart", "messageStart", { role: "assistant" }, { type: "messageStart", role: "assistant" }],
    [
      "a tool's contentBlockStart",
      "contentBlockStart",
      { contentBlockIndex: 2, start: { toolUse: { toolUseId: "t", name: "look" } } },
      { type: "contentBlockStart", index: 2, start: { toolUse: { toolUseId: "t", name: "look" } } },
    ],
    [
      "a contentBlockStart of a kind that is not known",
      "contentBlockStart",
      { contentBlockIndex: 1, start: { hologram: { depth: 3 } } },
      { type: "contentBlockStart", index: 1, start: {} },
    ],
    [
      "a text delta",
      "contentBlockDelta",
      { contentBlockIndex: 0, delta: { text: "hi" } },
      { type: "contentBlockDelta", index: 0, delta: { text: "hi" } },
    ],
    [
      "a delta of a tool's input",
      "contentBlockDelta",
      { contentBlockIndex: 3, delta: { toolUse: { input: '{"a"' } } },
      { type: "contentBlockDelta", index: 3, delta: { toolUse: { input: '{"a"' } } },
    ],
    [
      "reasoning text",
      "contentBlockDelta",
      { contentBlockIndex: 0, delta: { reasoningContent: { text: "hm" } } },
      { type: "contentBlockDelta", index: 0, delta: { reasoningContent: { text: "hm" } } },
    ],
    [
      "a reasoning signature",
      "contentBlockDelta",
      { contentBlockIndex: 0, delta: { reasoningContent: { signature: "sig" } } },
      { type: "contentBlockDelta", index: 0, delta: { reasoningContent: { signature: "sig" } } },
    ],
    [
      "redacted reasoning",
      "contentBlockDelta",
      { contentBlockIndex: 0, delta: { reasoningContent: { redactedContent: "YQ==" } } },
      { type: "contentBlockDelta", index: 0, delta: { reasoningContent: { redactedContent: "YQ==" } } },
    ],
    [
      "a citation",
      "contentBlockDelta",
      { contentBlockIndex: 0, delta: { citation: { title: "T" } } },
      { type: "contentBlockDelta", index: 0, delta: { citation: { title: "T" } } },
    ],
    [
      "a delta of a kind that is not known",
      "contentBlockDelta",
      { contentBlockIndex: 0, delta: { smell: "rose" } },
      { type: "contentBlockDelta", index: 0, delta: {} },
    ],
    ["contentBlockStop", "contentBlockStop", { contentBlockIndex: 4 }, { type: "contentBlockStop", index: 4 }],
    [
      "messageStop",
      "messageStop",
      { stopReason: "end_turn", additionalModelResponseFields: { stop_sequence: null } },
      { type: "messageStop", stopReason: "end_turn", additionalModelResponseFields: { stop_sequence: null } },
    ],
    [
      "metadata",
      "metadata",
      {
        usage: { inputTokens: 1, outputTokens: 2, totalTokens: 3, cacheReadInputTokens: 4, cacheWriteInputTokens: 5 },
        metrics: { latencyMs: 6 },
        serviceTier: { type: "flex" },
        trace: { guardrail: {} },
      },
      {
        type: "metadata",
        usage: { inputTokens: 1, outputTokens: 2, totalTokens: 3, cacheReadInputTokens: 4, cacheWriteInputTokens: 5 },
        latencyMs: 6,
        serviceTier: "flex",
        trace: { guardrail: {} },
      },
    ],
    ["an event that is not known", "heartbeat", { n: 1 }, { type: "unknown", eventType: "heartbeat" }],
  ];
  for (const [what, type, payload, event] of cases) {
    it(`reads ${what}, and ignores the padding`, () => assert.deepEqual(read(eventFrame(type, payload)), [event]));
  }

  it("takes for a count of tokens what can be one", () => {
    for (const wrong of [-1, 1.5, 1_000_000_001, Number.MAX_SAFE_INTEGER, "7", null]) {
      const usage = {
        inputTokens: wrong,
        outputTokens: 1_000_000_000,
        cacheDetails: [{ ttl: "1h", inputTokens: wrong }],
      };
      assert.deepEqual(read(eventFrame("metadata", { usage })), [
        {
          type: "metadata",
          usage: { inputTokens: 0, outputTokens: 1_000_000_000, cacheDetails: [{ ttl: "1h", inputTokens: 0 }] },
        },
      ]);
    }
  });

  it("keeps the digits of a long number", () => {
    // The writer's JSON can't hold it, so the padding is left out.
    const [event] = converseEvents().push({
      headers: { ":message-type": "event", ":event-type": "contentBlockDelta" },
      payload: Buffer.from('{"contentBlockIndex":0,"delta":{"citation":{"id":9007199254740993}}}'),
    });
    assert.equal(
      stringifyJson(event),
      '{"type":"contentBlockDelta","index":0,"delta":{"citation":{"id":9007199254740993}}}',
    );
  });

  const exceptions: readonly (readonly [string, JsonObject, ErrorCode, number])[] = [
    ["internalServerException", { message: "boom" }, "upstream_error", 500],
    ["modelStreamErrorException", { message: "boom", originalStatusCode: 500 }, "model_error", 502],
    ["modelStreamErrorException", { message: "bad input", originalStatusCode: 422 }, "model_error", 422],
    ["validationException", { message: "no" }, "invalid_request", 400],
    ["validationException", { message: "Input is too long for requested model." }, "context_length_exceeded", 400],
    ["throttlingException", { message: "Too many tokens, please wait" }, "rate_limit_exceeded", 429],
    ["serviceUnavailableException", { message: "busy" }, "upstream_unavailable", 503],
    ["modelTimeoutException", { message: "late" }, "model_timeout", 504],
    ["someNewException", { message: "new" }, "upstream_error", 500],
  ];
  for (const [type, payload, code, status] of exceptions) {
    it(`throws ${type} (${payload.message}) as ${code}, ${status}`, () => {
      assert.throws(
        () => read(eventFrame("messageStart", { role: "assistant" }), exceptionFrame(type, payload)),
        (error) =>
          error instanceof GatewayError &&
          error.code === code &&
          error.status === status &&
          error.message.includes(String(payload.message)),
      );
    });
  }

  it("reads an exception's text from Message or originalMessage, and does without one", () => {
    const messageOf = (payload: Buffer) => {
      try {
        [
          ...converseEvents().push({
            headers: { ":message-type": "exception", ":exception-type": "throttlingException" },
            payload,
          }),
        ];
      } catch (error) {
        return error instanceof GatewayError ? `${error.code}: ${error.message}` : String(error);
      }
      return "";
    };
    assert.equal(messageOf(Buffer.from('{"Message":"slow"}')), "rate_limit_exceeded: slow");
    assert.equal(messageOf(Buffer.from('{"originalMessage":"slower"}')), "rate_limit_exceeded: slower");
    for (const unreadable of ["", "not json", "[]"])
      assert.match(messageOf(Buffer.from(unreadable)), /^rate_limit_exceeded: .*ThrottlingException without a message/);
  });

  it("throws an error frame by its code", () => {
    assert.throws(() => read(errorFrame("ThrottlingException", "slow")), {
      code: "rate_limit_exceeded",
      message: "slow",
    });
    assert.throws(() => read(errorFrame("InternalError", "broke")), { code: "upstream_error", message: "broke" });
  });

  for (const [what, headers, payload] of [
    ["of another message type", { ":message-type": "gossip" }, "{}"],
    ["without a message type", {}, "{}"],
    ["whose payload is not JSON", { ":message-type": "event", ":event-type": "messageStop" }, "{"],
    ["whose payload is not an object", { ":message-type": "event", ":event-type": "messageStop" }, "[1]"],
  ] as const) {
    it(`refuses a frame ${what}`, () => {
      assert.throws(() => [...converseEvents().push({ headers, payload: Buffer.from(payload) })], {
        code: "upstream_invalid_response",
      });
    });
  }

  it("refuses a payload that is not UTF-8, rather than change a letter", () => {
    const payload = Buffer.concat([Buffer.from('{"stopReason":"'), Buffer.from([0xc3]), Buffer.from('"}')]);
    assert.throws(
      () => [
        ...converseEvents().push({ headers: { ":message-type": "event", ":event-type": "messageStop" }, payload }),
      ],
      { code: "upstream_invalid_response" },
    );
  });
});

describe("tokenUsage", () => {
  it("counts what is absent or nonsense as zero, and leaves optional counts out", () => {
    assert.deepEqual(tokenUsage({}), { inputTokens: 0, outputTokens: 0 });
    assert.deepEqual(tokenUsage({ inputTokens: -1, outputTokens: 1.5, cacheReadInputTokens: "7" }), {
      inputTokens: 0,
      outputTokens: 0,
    });
  });

  it("reads the cache writes by their time to live", () => {
    const { cacheDetails } = tokenUsage({
      cacheDetails: [
        { ttl: "1h", inputTokens: 2 },
        { ttl: "5m", inputTokens: 3 },
      ],
    });
    assert.deepEqual(cacheDetails, [
      { ttl: "1h", inputTokens: 2 },
      { ttl: "5m", inputTokens: 3 },
    ]);
  });
});
