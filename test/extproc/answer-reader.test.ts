import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConverseEvent, ConverseResponse } from "../../src/bedrock/converse.ts";
import { GatewayError } from "../../src/errors.ts";
import { type AnswerSink, createAnswerReader, drain } from "../../src/extproc/answer-reader.ts";
import { eventFrame, exceptionFrame } from "../../src/simulator/event-stream.ts";
import type { Transform } from "../../src/transform.ts";
import { ANSWER, STOP, textFrame } from "./test-exchange.ts";

const START = eventFrame("messageStart", { role: "assistant" });
const EVENT_STREAM = "application/vnd.amazon.eventstream";
const JSON_TYPE = "application/json";
const MIB = 1024 * 1024;

/** What the sink was told, in order. */
type Told =
  | { output: string }
  | { ended: string }
  | { whole: string }
  | { failed: string; message: string; status: number };

describe("an answer of status 200", () => {
  it("is an event stream when one was asked for: bytes as they can be decoded, and the end", () => {
    const { reader, told } = read({ contentType: `${EVENT_STREAM}; x=y` });
    reader.push(START.subarray(0, 5));
    assert.deepEqual([told, reader.over], [[], false]);
    reader.push(Buffer.concat([START.subarray(5), textFrame("a")]));
    reader.push(STOP.subarray(0, 1));
    assert.deepEqual(told, [{ output: "messageStart contentBlockDelta " }]);
    reader.push(STOP.subarray(1));
    reader.end();
    assert.deepEqual(told.slice(1), [{ output: "contentBlockStop messageStop " }, { ended: "end" }]);
    assert.equal(reader.over, true);
  });

  it("is a whole answer when no stream was asked for, however it is cut", () => {
    for (const pieces of [[ANSWER], Array.from(ANSWER), [ANSWER, ""]]) {
      const { reader, told } = read({ contentType: JSON_TYPE, streams: false });
      for (const piece of pieces) reader.push(Buffer.from(piece));
      assert.deepEqual([told, reader.over], [[], false]);
      reader.end();
      assert.deepEqual([told, reader.over], [[{ whole: "Hi." }], true]);
    }
  });

  for (const [what, contentType, streams, body] of [
    ["a whole answer where a stream was asked for", JSON_TYPE, true, ANSWER],
    ["a stream where none was asked for", EVENT_STREAM, false, START],
    ["an answer without output", JSON_TYPE, false, '{"Output":{"__type":"UnknownOperationException"}}'],
    ["text that is not JSON", JSON_TYPE, false, "<html>"],
    ["nothing at all", JSON_TYPE, false, ""],
    ["no stream's bytes in a stream", EVENT_STREAM, true, "<html>and more text</html>"],
    ["an empty stream", EVENT_STREAM, true, ""],
    ["a stream that ends inside a frame", EVENT_STREAM, true, START.subarray(0, 20)],
  ] as const) {
    it(`is a failure when it is ${what}`, () => {
      const { reader, told } = read({ contentType, streams });
      if (body.length > 0) reader.push(Buffer.from(body));
      reader.end();
      const [failure, ...others] = told;
      assert.ok(failure !== undefined && "failed" in failure, JSON.stringify(told));
      assert.deepEqual([failure.failed, failure.status, others], ["upstream_invalid_response", 502, []]);
    });
  }

  it("without a content type is no event stream", () => {
    const { reader, told } = read({ contentType: undefined, streams: false });
    reader.push(Buffer.from(ANSWER));
    reader.end();
    assert.deepEqual(told, [{ whole: "Hi." }]);
  });
});

describe("a failure", () => {
  it("inside a stream comes after what was decoded before it, and nothing comes after it", () => {
    const { reader, told } = read({ contentType: EVENT_STREAM });
    const exception = exceptionFrame("throttlingException", { message: "slow" });
    reader.push(Buffer.concat([START, textFrame("a"), exception, STOP]));
    assert.equal(reader.over, true);
    reader.push(STOP);
    reader.end();
    assert.deepEqual(told, [
      { output: "messageStart contentBlockDelta " },
      { failed: "rate_limit_exceeded", message: "slow", status: 429 },
    ]);
  });

  it("of rendering an end is one, with what had been rendered", () => {
    const failing: Transform<ConverseEvent, Buffer> = {
      push: () => [],
      *end() {
        yield Buffer.from("rest");
        throw new Error("broken");
      },
    };
    const { reader, told } = read({ contentType: EVENT_STREAM, render: failing });
    reader.push(Buffer.concat([START, STOP]));
    reader.end();
    assert.deepEqual(told, [{ output: "rest" }, { failed: "internal", message: "broken", status: 0 }]);
  });

  it("is told by status, type and text of an error's body, which may come in pieces or not at all", () => {
    for (const contentType of [JSON_TYPE, EVENT_STREAM, undefined]) {
      for (const streams of [true, false]) {
        const { reader, told } = read({ status: 400, contentType, streams, type: "ServiceQuotaExceededException" });
        reader.push(Buffer.from('{"mess'));
        reader.push(Buffer.from('age":"spent"}'));
        reader.end();
        reader.end();
        assert.deepEqual(told, [{ failed: "insufficient_quota", message: "spent", status: 429 }]);
      }
    }
    const { reader, told } = read({ status: 503, contentType: JSON_TYPE });
    reader.end();
    assert.ok(told[0] !== undefined && "failed" in told[0]);
    assert.equal(told[0].failed, "upstream_unavailable");
  });

  it("of the sink while it takes a whole answer is a failure of the answer", () => {
    const { reader, told } = read({ contentType: JSON_TYPE, streams: false }, { whole: broken });
    reader.push(Buffer.from(ANSWER));
    reader.end();
    assert.deepEqual(told, [{ failed: "internal", message: "broken", status: 0 }]);
  });
});

describe("a limit", () => {
  for (const [what, head, limit] of [
    ["an error's body", { status: 500, contentType: JSON_TYPE }, MIB],
    ["a body that is not what was asked for", { contentType: JSON_TYPE, streams: true }, MIB],
    ["a whole answer", { contentType: JSON_TYPE, streams: false }, 64 * MIB],
  ] as const) {
    it(`holds for ${what}`, () => {
      const { reader, told } = read(head);
      for (let size = 0; size < limit; size += MIB) reader.push(Buffer.alloc(MIB, " "));
      assert.deepEqual(told, []);
      reader.push(Buffer.from(" "));
      reader.push(Buffer.from(" "));
      reader.end();
      assert.equal(told.length, 1);
      assert.match(JSON.stringify(told), new RegExp(`upstream_invalid_response.*larger than ${limit} bytes`));
      assert.equal(reader.over, true);
    });
  }
});

describe("what a sink returns", () => {
  it("is handed on to whoever reads, who waits for it", async () => {
    for (const [name, body] of [
      ["output", START],
      ["failed", exceptionFrame("throttlingException", {})],
    ] as const) {
      const promise = Promise.resolve();
      const { reader } = read({ contentType: EVENT_STREAM }, { [name]: () => promise });
      assert.equal(reader.push(body), promise, name);
    }
    const promise = Promise.resolve();
    const stream = read({ contentType: EVENT_STREAM }, { ended: () => promise });
    stream.reader.push(Buffer.concat([START, STOP]));
    assert.equal(stream.reader.end(), promise);
    const whole = read({ contentType: JSON_TYPE, streams: false }, { whole: () => promise });
    whole.reader.push(Buffer.from(ANSWER));
    assert.equal(whole.reader.end(), promise);
  });

  it("is thrown where it is thrown, so that no bytes are lost without a word", () => {
    const { reader } = read({ contentType: EVENT_STREAM }, { output: broken });
    assert.throws(() => reader.push(START), /broken/);
  });
});

describe("draining a stage", () => {
  it("keeps what came before its failure", () => {
    function* pieces() {
      yield Buffer.from("a");
      yield Buffer.from("b");
      throw new Error("broken");
    }
    const { output, failure } = drain(pieces);
    assert.equal(output.toString(), "ab");
    assert.match(String(failure), /broken/);
    assert.deepEqual(
      drain(() => []),
      { output: Buffer.alloc(0) },
    );
    const single = Buffer.from("a");
    assert.equal(drain(() => [single]).output, single);
  });

  it("catches a stage that fails before it gives anything", () => {
    const { output, failure } = drain(() => {
      throw new Error("broken");
    });
    assert.equal(output.length, 0);
    assert.match(String(failure), /broken/);
  });
});

interface Head {
  readonly status?: number;
  readonly contentType: string | undefined;
  /** Whether an event stream was asked for; true by default. */
  readonly streams?: boolean;
  readonly type?: string;
  readonly render?: Transform<ConverseEvent, Buffer>;
}

function read({ status = 200, contentType, streams = true, type, render }: Head, sink: Partial<AnswerSink> = {}) {
  const told: Told[] = [];
  const headers = new Map<string, string>();
  if (contentType !== undefined) headers.set("content-type", contentType);
  if (type !== undefined) headers.set("x-amzn-errortype", type);
  const reader = createAnswerReader({ status, headers }, streams ? (render ?? names()) : undefined, {
    output: (bytes) => void told.push({ output: bytes.toString() }),
    ended: (last) => void told.push({ ended: last.toString() }),
    whole: (response: ConverseResponse) => void told.push({ whole: response.output.message.content[0]?.text ?? "" }),
    failed(error) {
      assert.ok(error instanceof Error);
      const [failed, status] = error instanceof GatewayError ? [error.code, error.status] : ["internal", 0];
      told.push({ failed, message: error.message, status });
    },
    ...sink,
  });
  return { reader, told };
}

/** Renders each event as its name. */
function names(): Transform<ConverseEvent, Buffer> {
  let stopped = false;
  return {
    push(event) {
      stopped ||= event.type === "messageStop";
      return [Buffer.from(`${event.type} `)];
    },
    *end() {
      if (!stopped) throw new GatewayError("upstream_invalid_response", "it ended without messageStop");
      yield Buffer.from("end");
    },
  };
}

function broken(): never {
  throw new Error("broken");
}
