import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseLogRecord } from "../../src/usage/invocation-log.ts";

/** As the user guide shows it, with what Converse adds. */
const RECORD = {
  schemaType: "ModelInvocationLog",
  schemaVersion: "1.0",
  timestamp: "2026-11-22T10:00:00Z",
  accountId: "123456789012",
  identity: { arn: "arn:aws:sts::123456789012:assumed-role/gateway/session" },
  region: "us-east-1",
  requestId: "b-1",
  operation: "Converse",
  modelId: "us.anthropic.claude-sonnet-4-20250514-v1:0",
  input: {
    inputContentType: "application/json",
    inputBodyJson: { messages: [] },
    inputTokenCount: 12,
    cacheReadInputTokenCount: 300,
    cacheWriteInputTokenCount: 40,
  },
  output: { outputContentType: "application/json", outputBodyJson: {}, outputTokenCount: 7 },
  inferenceRegion: "us-west-2",
  requestMetadata: { gateway_key_id: "key_1", project: "x" },
};

const ENTRY = {
  requestId: "b-1",
  at: Date.parse("2026-11-22T10:00:00Z"),
  modelId: "us.anthropic.claude-sonnet-4-20250514-v1:0",
  errorCode: undefined,
  usage: { inputTokens: 12, outputTokens: 7, cacheReadTokens: 300, cacheWriteTokens: 40 },
  serviceTier: undefined,
  latency: undefined,
  keyId: "key_1",
};

describe("a record of the invocation log", () => {
  it("is read: ids, time, tokens, and what the gateway wrote into the request", () => {
    assert.deepEqual(parse(RECORD), { entries: [ENTRY], others: 0, problems: [] });
  });

  it("is read behind CloudWatch's time, and in its wrapping", () => {
    const text = JSON.stringify(RECORD);
    const wrapped = [
      `2026-11-22T10:00:00.123Z ${text}`,
      JSON.stringify({ "@timestamp": "…", message: text }),
      JSON.stringify({ "@message": text }),
    ];
    for (const line of wrapped) assert.deepEqual(parseLogRecord(line), { entries: [ENTRY], others: 0, problems: [] });
    const batch = { messageType: "DATA_MESSAGE", logEvents: [{ id: "1", message: text }, { message: "START" }] };
    assert.deepEqual(parse(batch), { entries: [ENTRY], others: 1, problems: [] });
    assert.deepEqual(parse({ events: [{ message: text }, { message: text }] }).entries, [ENTRY, ENTRY]);
  });

  it("counts what it does not say as zero where it says something, and not at all where it says nothing", () => {
    const usage = (input: object, output: object, more: object = {}) =>
      parse({ ...RECORD, input, output, ...more }).entries[0]?.usage;
    assert.deepEqual(usage({ inputTokenCount: 3 }, {}), { ...ENTRY.usage, ...tokens(3, 0) });
    assert.equal(usage({}, {}), undefined);
    assert.deepEqual(usage({}, {}, { errorCode: "ThrottlingException" }), { ...ENTRY.usage, ...tokens(0, 0) });
    assert.deepEqual(usage({ inputTokenCount: 3 }, {}, { errorCode: "ModelErrorException" }), {
      ...ENTRY.usage,
      ...tokens(3, 0),
    });
  });

  it("says how long cached tokens are kept where the answer is in it, whole or as a stream", () => {
    const usage = {
      inputTokens: 1,
      cacheDetails: [
        { ttl: "1h", inputTokens: 30 },
        { ttl: "5m", inputTokens: 10 },
      ],
    };
    for (const outputBodyJson of [{ usage }, [{ contentBlockDelta: {} }, { metadata: { usage } }]]) {
      const { entries } = parse({ ...RECORD, output: { ...RECORD.output, outputBodyJson } });
      assert.equal(entries[0]?.usage?.cacheWrite1hTokens, 30);
    }
  });

  it("has a tier and a latency where Bedrock gives them", () => {
    const { entries } = parse({
      ...RECORD,
      serviceTier: { type: "flex" },
      performanceConfig: { latency: "optimized" },
    });
    assert.deepEqual([entries[0]?.serviceTier, entries[0]?.latency], ["flex", "optimized"]);
  });

  it("is another log's when it has another schema", () => {
    for (const other of [{}, { schemaType: "Other", requestId: "b-1" }, { eventVersion: "1.09" }]) {
      assert.deepEqual(parse(other), { entries: [], others: 1, problems: [] });
    }
  });

  it("says what is wrong with it", () => {
    const broken: readonly (readonly [text: string, problem: RegExp])[] = [
      ['{"schemaType":', /not JSON/],
      ["[1]", /not an object/],
      [JSON.stringify({ ...RECORD, requestId: undefined }), /requestId/],
      [JSON.stringify({ ...RECORD, requestId: 5 }), /requestId/],
      [JSON.stringify({ ...RECORD, modelId: null }), /modelId/],
      [JSON.stringify({ ...RECORD, timestamp: "yesterday" }), /timestamp/],
      [JSON.stringify({ ...RECORD, timestamp: 1_700_000_000 }), /timestamp/],
      [JSON.stringify({ ...RECORD, input: { inputTokenCount: -1 } }), /token count/],
      [JSON.stringify({ ...RECORD, input: { inputTokenCount: 1.5 } }), /token count/],
      [JSON.stringify({ ...RECORD, output: { outputTokenCount: "7" } }), /token count/],
    ];
    for (const [text, problem] of broken) {
      const { entries, problems } = parseLogRecord(text);
      assert.deepEqual([entries.length, problems.length], [0, 1], text);
      assert.match(problems[0] ?? "", problem);
    }
  });
});

function parse(record: object) {
  return parseLogRecord(JSON.stringify(record));
}

function tokens(inputTokens: number, outputTokens: number) {
  return { inputTokens, outputTokens, cacheReadTokens: 0, cacheWriteTokens: 0 };
}
