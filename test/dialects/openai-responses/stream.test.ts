import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { describe, it } from "node:test";
import type { ConverseEvent } from "../../../src/bedrock/converse.ts";
import { converseEvents } from "../../../src/bedrock/converse-events.ts";
import { frames } from "../../../src/bedrock/event-stream.ts";
import { openaiResponses } from "../../../src/dialects/openai-responses/index.ts";
import { encodeEvent, sse } from "../../../src/dialects/sse.ts";
import { GatewayError } from "../../../src/errors.ts";
import { eventFrame } from "../../../src/simulator/event-stream.ts";
import { chain } from "../../../src/transform.ts";
import { readFrames } from "../../golden/stream-text.ts";

const META = { id: "1", created: 1 };
const BODY = { model: "m", input: "Hi", stream: true };
const FOLDER = new URL("../../golden/openai-responses/", import.meta.url);
const STREAMS = readdirSync(FOLDER).filter((name) => name.endsWith(".frames.jsonl") && !name.includes("-error-"));

describe("a Responses stream", () => {
  for (const name of STREAMS) {
    it(`is the same bytes wherever Bedrock's are cut: ${name}`, () => {
      const wire = Buffer.concat(readFrames(new URL(name, FOLDER)).map(wireFrame));
      const whole = render([wire]);
      assert.match(whole, /event: response\.(completed|incomplete)\n[^\n]*\n\n$/);
      for (let at = 1; at < wire.length; at += 1) {
        assert.equal(render([wire.subarray(0, at), wire.subarray(at)]), whole, `cut at ${at}`);
      }
      assert.equal(render(Array.from(wire, (_, at) => wire.subarray(at, at + 1))), whole);
    });
  }

  it("ends with the failure of its latest attempt, numbered on from what that attempt has sent", () => {
    const conversation = openaiResponses.decode(BODY, META);
    [...conversation.events(0).push({ type: "messageStart", role: "assistant" })];
    const second = conversation.events(0);
    const sent = [...second.push({ type: "contentBlockDelta", index: 0, delta: { text: "Fo" } })];
    const failure = [...(conversation.failing?.(new GatewayError("model_error", "The model failed.")) ?? [])];
    assert.deepEqual(
      failure.map(({ event }) => event),
      ["error", "response.failed"],
    );
    const [error, failed] = failure.map(({ data }) => JSON.parse(JSON.stringify(data)));
    assert.deepEqual([error.sequence_number, failed.sequence_number], [sent.length, sent.length + 1]);
    assert.deepEqual(failed.response.error, { code: "server_error", message: "The model failed." });
    assert.equal(failed.response.id, "resp_1");
  });

  it("tells clients by the error's code when another attempt can help", () => {
    const code = (error: GatewayError) => {
      const events = [...(openaiResponses.decode(BODY, META).failing?.(error) ?? [])];
      return JSON.parse(JSON.stringify(events.at(-1)?.data)).response.error.code;
    };
    assert.equal(code(new GatewayError("rate_limit_exceeded", "x")), "rate_limit_exceeded");
    assert.equal(code(new GatewayError("insufficient_quota", "x")), "insufficient_quota");
    assert.equal(code(new GatewayError("context_length_exceeded", "x")), "context_length_exceeded");
    assert.equal(code(new GatewayError("upstream_unavailable", "x")), "server_error");
    assert.equal(code(new GatewayError("invalid_request", "x")), "server_error");
  });

  it("does not end without messageStop", () => {
    const machine = openaiResponses.decode(BODY, META).events(0);
    [...machine.push({ type: "contentBlockDelta", index: 0, delta: { text: "Fo" } })];
    assert.throws(() => [...machine.end()], GatewayError);
  });
});

function render(pieces: readonly Uint8Array[]): string {
  const conversation = openaiResponses.decode(BODY, META);
  const machine = chain(frames(), converseEvents(), conversation.events(0), sse());
  const out = [...pieces.flatMap((piece) => [...machine.push(piece)]), ...machine.end()];
  return Buffer.concat([...out, ...[...conversation.closing()].map(encodeEvent)]).toString("utf8");
}

/** As Bedrock writes it. */
function wireFrame(event: ConverseEvent): Buffer {
  const { type, index, serviceTier, ...payload }: Record<string, unknown> = { ...event };
  return eventFrame(String(type), {
    ...JSON.parse(JSON.stringify(payload)),
    ...(index !== undefined && { contentBlockIndex: index }),
    ...(serviceTier !== undefined && { serviceTier: { type: serviceTier } }),
  });
}
