import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { encodeEvent, KEEP_ALIVE, sse } from "../../src/dialects/sse.ts";
import { parseJson } from "../../src/json.ts";

describe("server-sent events", () => {
  it("carry objects as one line of JSON, long integers intact", () => {
    const data = parseJson('{"text":"a\\nb","id":12345678901234567890}');
    assert.equal(encodeEvent({ data }).toString(), 'data: {"text":"a\\nb","id":12345678901234567890}\n\n');
  });
  it("carry a name before the data", () => {
    assert.equal(encodeEvent({ event: "ping", data: "x" }).toString(), "event: ping\ndata: x\n\n");
  });
  it("carry every line of a text in its own field", () => {
    assert.equal(encodeEvent({ data: "a\r\nb\nc\rd" }).toString(), "data: a\ndata: b\ndata: c\ndata: d\n\n");
  });
  it("end with a blank line, the last one and the comment too", () => {
    const bytes = [...sse().push({ data: "[DONE]" }), ...sse().end()];
    assert.equal(Buffer.concat(bytes).toString(), "data: [DONE]\n\n");
    assert.match(KEEP_ALIVE.toString(), /^: .*\n\n$/);
  });
});
