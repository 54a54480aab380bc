import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { crc32 } from "node:zlib";
import { EventStreamCodec, Int64 } from "@smithy/eventstream-codec";
import { converseEvents } from "../../src/bedrock/converse-events.ts";
import { type Frame, frames } from "../../src/bedrock/event-stream.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import { sse } from "../../src/dialects/sse.ts";
import { GatewayError } from "../../src/errors.ts";
import { errorFrame, eventFrame, exceptionFrame } from "../../src/simulator/event-stream.ts";
import { chain, type Transform } from "../../src/transform.ts";

const codec = new EventStreamCodec(
  (bytes) => (typeof bytes === "string" ? bytes : new TextDecoder().decode(bytes)),
  (text) => new TextEncoder().encode(text),
);

const STREAM = Buffer.concat([
  eventFrame("messageStart", { role: "assistant" }),
  eventFrame("contentBlockDelta", { contentBlockIndex: 0, delta: { text: "naïve 😀" } }),
  eventFrame("contentBlockStop", { contentBlockIndex: 0 }),
  eventFrame("contentBlockStart", { contentBlockIndex: 1, start: { toolUse: { toolUseId: "t-1", name: "look" } } }),
  eventFrame("contentBlockDelta", { contentBlockIndex: 1, delta: { toolUse: { input: '{"q":"é"}' } } }),
  eventFrame("contentBlockStop", { contentBlockIndex: 1 }),
  eventFrame("messageStop", { stopReason: "tool_use" }),
  eventFrame("metadata", { usage: { inputTokens: 3, outputTokens: 5, totalTokens: 8 }, metrics: { latencyMs: 9 } }),
]);

describe("frames", () => {
  it("reads what AWS's own codec writes", () => {
    const bytes = codec.encode({
      headers: {
        ":message-type": { type: "string", value: "event" },
        ":event-type": { type: "string", value: "messageStop" },
        "a-number": { type: "integer", value: 7 },
      },
      body: Buffer.from('{"stopReason":"end_turn"}'),
    });
    assert.deepEqual(texts(run(frames(), [bytes])), [
      [{ ":message-type": "event", ":event-type": "messageStop" }, '{"stopReason":"end_turn"}'],
    ]);
  });

  it("passes over headers that are no text, whatever AWS's codec can write", () => {
    const bytes = codec.encode({
      headers: {
        yes: { type: "boolean", value: true },
        no: { type: "boolean", value: false },
        byte: { type: "byte", value: -1 },
        short: { type: "short", value: 300 },
        integer: { type: "integer", value: 70_000 },
        long: { type: "long", value: Int64.fromNumber(5_000_000_000) },
        binary: { type: "binary", value: new Uint8Array([1, 2, 3]) },
        none: { type: "binary", value: new Uint8Array() },
        timestamp: { type: "timestamp", value: new Date(0) },
        uuid: { type: "uuid", value: "8d34ab50-64d0-4d5e-9a3e-0f3b8a2b1c11" },
        ":event-type": { type: "string", value: "naïve" },
        empty: { type: "string", value: "" },
      },
      body: new Uint8Array(),
    });
    assert.deepEqual(texts(run(frames(), [bytes])), [[{ ":event-type": "naïve", empty: "" }, ""]]);
  });

  it("refuses headers that end too early, wherever that is", () => {
    const headers = codec.formatHeaders({
      ":event-type": { type: "string", value: "messageStop" },
      number: { type: "integer", value: 7 },
    });
    const whole = [0, 26, headers.length];
    for (let size = 0; size <= headers.length; size++) {
      const read = () => run(frames(), [frameOf(headers.subarray(0, size))]);
      if (whole.includes(size)) read();
      else assert.throws(read, corrupt(/decoded/), `${size} bytes`);
    }
  });

  it("reads frames without payload, and errors and exceptions", () => {
    const bytes = Buffer.concat([errorFrame("InternalError", "it broke"), exceptionFrame("throttlingException", {})]);
    const read = run(frames(), [bytes]);
    assert.equal(read[0]?.headers[":error-message"], "it broke");
    assert.equal(read[0]?.payload.byteLength, 0);
    assert.equal(read[1]?.headers[":exception-type"], "throttlingException");
  });

  it("gives the same frames wherever the bytes are cut", () => {
    const whole = texts(run(frames(), [STREAM]));
    assert.equal(whole.length, 8);
    for (const pieces of splits(STREAM)) assert.deepEqual(texts(run(frames(), pieces)), whole);
  });

  it("gives a frame as soon as its last byte is there", () => {
    const [first, second] = [eventFrame("messageStart", { role: "assistant" }), eventFrame("messageStop", {})];
    const machine = frames();
    assert.equal([...machine.push(first.subarray(0, -1))].length, 0);
    assert.equal([...machine.push(Buffer.concat([first.subarray(-1), second.subarray(0, 20)]))].length, 1);
    assert.equal([...machine.push(second.subarray(20))].length, 1);
    assert.deepEqual([...machine.end()], []);
  });

  it("takes empty chunks, and an end between two frames", () => {
    const machine = frames();
    assert.deepEqual([...machine.push(Buffer.alloc(0))], []);
    assert.equal([...machine.push(eventFrame("messageStop", {}))].length, 1);
    assert.deepEqual([...machine.push(Buffer.alloc(0))], []);
    assert.deepEqual([...machine.end()], []);
  });

  it("finds a wrong prelude checksum at the twelfth byte, without waiting for the length that it can't trust", () => {
    const bytes = eventFrame("messageStart", { role: "assistant" });
    bytes.writeUInt32BE(0x00ffffff, 0);
    const machine = frames();
    for (const byte of bytes.subarray(0, 11)) assert.deepEqual([...machine.push(Buffer.from([byte]))], []);
    assert.throws(() => [...machine.push(bytes.subarray(11, 12))], corrupt(/prelude/));
  });

  for (const corruption of ["prelude", "message"] as const) {
    it(`refuses a frame with a wrong ${corruption} checksum, after it has given those before`, () => {
      const good = eventFrame("messageStart", { role: "assistant" });
      const bytes = Buffer.concat([good, eventFrame("messageStop", {}, corruption), good]);
      for (const pieces of splits(bytes)) {
        const machine = frames();
        const seen: Frame[] = [];
        assert.throws(
          () => {
            for (const piece of pieces) for (const frame of machine.push(piece)) seen.push(frame);
          },
          corrupt(/checksum/),
        );
        assert.equal(seen.length, 1);
      }
    });
  }

  it("refuses any single wrong byte", () => {
    const good = eventFrame("messageStart", { role: "assistant" });
    for (let index = 0; index < good.length; index++) {
      const bad = Buffer.from(good);
      bad[index] = (bad[index] ?? 0) ^ 0x10;
      assert.throws(() => run(frames(), [bad]), corrupt(/./), `byte ${index}`);
    }
  });

  for (const [what, total, headers] of [
    ["shorter than a frame can be", 15, 0],
    ["of no bytes", 0, 0],
    ["with headers longer than itself", 40, 25],
    ["with 4 GiB of headers", 40, 0xffffffff],
    ["of 4 GiB", 0xffffffff, 0],
  ] as const) {
    it(`refuses a frame ${what}`, () => {
      assert.throws(() => run(frames(), [prelude(total, headers)]), corrupt(/impossible length/));
    });
  }

  it("takes a frame of the limit and refuses one byte more as soon as its prelude is there", () => {
    const frame = eventFrame("contentBlockDelta", { delta: { text: "x".repeat(100) } });
    assert.equal(run(frames(frame.length), [frame]).length, 1);
    assert.throws(() => [...frames(frame.length - 1).push(frame.subarray(0, 12))], corrupt(/impossible length/));
  });

  it("refuses a frame whose headers can't be decoded though its checksums are right", () => {
    assert.throws(() => run(frames(), [frameOf(Buffer.from([200, 1, 2, 3]))]), corrupt(/decoded/));
    assert.throws(() => run(frames(), [frameOf(Buffer.from([1, 97, 10, 0]))]), corrupt(/decoded/));
  });

  it("throws at an end inside a frame, wherever it is", () => {
    const frame = eventFrame("messageStop", { stopReason: "end_turn" });
    for (let size = 1; size < frame.length; size++) {
      const machine = frames();
      assert.deepEqual([...machine.push(frame.subarray(0, size))], []);
      assert.throws(() => [...machine.end()], corrupt(/inside a frame/));
    }
  });

  it("joins a frame that comes in 10,000 chunks once, not once for each of them", (t) => {
    const frame = eventFrame("contentBlockDelta", { delta: { text: "x".repeat(40_000) } });
    const concat = t.mock.method(Buffer, "concat");
    const machine = frames();
    let count = 0;
    for (let at = 0; at < frame.length; at += 4) count += [...machine.push(frame.subarray(at, at + 4))].length;
    const joined = concat.mock.calls.reduce((sum, call) => sum + (call.result?.byteLength ?? 0), 0);
    assert.equal(count, 1);
    assert.ok(joined < 2 * frame.length, `${joined} bytes were copied for a frame of ${frame.length}`);
  });
});

describe("the whole stream, from frames to server-sent events", () => {
  it("is the same bytes wherever Bedrock's are cut", () => {
    const whole = render([STREAM]);
    assert.match(whole, /naïve 😀/);
    assert.match(whole, /"finish_reason":"tool_calls"/);
    assert.match(whole, /data: \[DONE\]\n\n$/);
    for (const pieces of splits(STREAM)) assert.equal(render(pieces), whole);
  });
});

function render(pieces: Uint8Array[]): string {
  const conversation = openaiChat.decode(
    { model: "m", messages: [{ role: "user", content: "x" }], stream: true, stream_options: { include_usage: true } },
    { id: "1", created: 1 },
  );
  const stream = chain(
    frames(),
    converseEvents(),
    conversation.events(0),
    { push: (event) => [event], end: () => conversation.closing() },
    sse(),
  );
  return Buffer.concat(run(stream, pieces)).toString("utf8");
}

function run<O>(machine: Transform<Uint8Array, O>, pieces: readonly Uint8Array[]): O[] {
  return [...pieces.flatMap((piece) => [...machine.push(piece)]), ...machine.end()];
}

/** Cut in two at every offset, and one byte at a time. */
function* splits(bytes: Buffer): Iterable<Buffer[]> {
  for (let at = 1; at < bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)];
  yield Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
}

function texts(read: Frame[]): [Frame["headers"], string][] {
  return read.map(({ headers, payload }) => [headers, Buffer.from(payload).toString("utf8")]);
}

/** A frame of these headers' bytes, with right checksums and no payload. */
function frameOf(headers: Uint8Array): Buffer {
  const body = Buffer.concat([prelude(12 + headers.length + 4, headers.length), headers]);
  const bytes = Buffer.alloc(body.length + 4);
  body.copy(bytes);
  bytes.writeUInt32BE(crc32(body), body.length);
  return bytes;
}

function prelude(total: number, headers: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(total, 0);
  bytes.writeUInt32BE(headers, 4);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 8)), 8);
  return bytes;
}

function corrupt(message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof GatewayError, String(error));
    assert.equal(error.code, "upstream_invalid_response");
    assert.match(error.message, message);
    return true;
  };
}
