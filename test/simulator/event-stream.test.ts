import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { EventStreamCodec } from "@smithy/eventstream-codec";
import { errorFrame, eventFrame, exceptionFrame } from "../../src/simulator/event-stream.ts";

const codec = new EventStreamCodec(
  (bytes) => new TextDecoder().decode(bytes),
  (text) => new TextEncoder().encode(text),
);

function decode(frame: Uint8Array) {
  const { headers, body } = codec.decode(frame);
  const values = Object.entries(headers).map(([name, header]) => [name, header.value]);
  return { headers: Object.fromEntries(values), text: new TextDecoder().decode(body) };
}

describe("the simulator's event-stream frames", () => {
  it("carry an event as AWS's codec reads it, with the padding key", () => {
    const { headers, text } = decode(eventFrame("contentBlockDelta", { delta: { text: "naïve 😀" } }));
    assert.deepEqual(headers, {
      ":event-type": "contentBlockDelta",
      ":content-type": "application/json",
      ":message-type": "event",
    });
    const { p, ...payload } = JSON.parse(text);
    assert.deepEqual(payload, { delta: { text: "naïve 😀" } });
    assert.match(p, /^a/);
  });

  it("carry an empty payload, an exception and an error", () => {
    assert.deepEqual(Object.keys(JSON.parse(decode(eventFrame("ping", {})).text)), ["p"]);
    const exception = decode(exceptionFrame("throttlingException", { message: "slow down" }));
    assert.equal(exception.headers[":message-type"], "exception");
    assert.equal(exception.headers[":exception-type"], "throttlingException");
    assert.deepEqual(JSON.parse(exception.text), { message: "slow down" });
    const error = decode(errorFrame("InternalError", "it broke"));
    assert.deepEqual(error.headers, {
      ":message-type": "error",
      ":error-code": "InternalError",
      ":error-message": "it broke",
    });
    assert.equal(error.text, "");
  });

  it("have a wrong checksum where they are told to, and nowhere else", () => {
    const sound = eventFrame("messageStart", { role: "assistant" });
    for (const corrupt of ["prelude", "message"] as const) {
      const frame = eventFrame("messageStart", { role: "assistant" }, corrupt);
      assert.equal(frame.length, sound.length);
      assert.throws(() => codec.decode(frame), new RegExp(`${corrupt} checksum`, "i"));
    }
  });
});
