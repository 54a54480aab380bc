/**
 * What goes wrong after Bedrock has begun to answer.
 *
 * Before the first event a fault still becomes an HTTP status. After it the stream ends with an error event, or breaks: it
 * never looks complete.
 */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { isJsonObject, type JsonObject } from "../../src/json.ts";
import { eventFrame } from "../../src/simulator/event-stream.ts";
import type { Answer, StreamStep } from "../../src/simulator/simulator.ts";
import { ask, type ErrorReply, readError, readSse, type SseText, startTestGateway, uniqueModel } from "./harness.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());

const START: StreamStep = { event: "messageStart", payload: { role: "assistant" } };
const STOP: StreamStep = { event: "messageStop", payload: { stopReason: "end_turn" } };
const METADATA = { usage: { inputTokens: 30, outputTokens: 4, totalTokens: 34 }, metrics: { latencyMs: 1 } };

describe("a fault before the first event", { concurrency: true }, () => {
  const cases: Record<string, [StreamStep[], number, string]> = {
    "an exception": [
      [{ exception: "throttlingException", payload: { message: "Too many requests." } }],
      429,
      "rate_limit_exceeded",
    ],
    "an unavailable service": [
      [{ exception: "serviceUnavailableException", payload: {} }],
      503,
      "upstream_unavailable",
    ],
    "a prompt that is too long": [
      [{ exception: "validationException", payload: { message: "Input is too long for requested model." } }],
      400,
      "context_length_exceeded",
    ],
    "an error frame": [[{ error: "InternalFailure", message: "Something broke." }], 500, "upstream_error"],
    "a wrong checksum of the prelude": [
      [{ event: "messageStart", payload: {}, corrupt: "prelude" }],
      502,
      "upstream_invalid_response",
    ],
    "a wrong checksum of the message": [
      [{ event: "messageStart", payload: {}, corrupt: "message" }],
      502,
      "upstream_invalid_response",
    ],
    "half a frame": [[{ event: "messageStart", payload: {}, half: true }], 502, "upstream_invalid_response"],
    "an end without any event": [[], 502, "upstream_invalid_response"],
    "bytes that are no frames": [[{ bytes: Buffer.from("<html>oops</html>") }], 502, "upstream_invalid_response"],
  };
  for (const [name, [steps, status, code]] of Object.entries(cases)) {
    it(`becomes an HTTP error: ${name}`, async () => {
      const error = await readError(await stream({ kind: "events", steps }));
      assert.deepEqual([error.status, error.code], [status, code]);
      const { closing } = await gateway.closedCall(error.headers.get("x-request-id"));
      assert.deepEqual([closing?.status, closing?.httpStatus], ["error", status]);
    });
  }
});

describe("a fault after the first text", { concurrency: true }, () => {
  const cases: Record<string, [StreamStep[], string]> = {
    "a throttling exception": [
      [{ exception: "throttlingException", payload: { message: "Too many tokens." } }],
      "rate_limit_exceeded",
    ],
    "a model stream error": [
      [{ exception: "modelStreamErrorException", payload: { message: "Failed.", originalStatusCode: 500 } }],
      "model_error",
    ],
    "an error frame": [[{ error: "InternalFailure", message: "Something broke." }], "upstream_error"],
    "a wrong checksum": [[{ ...text("lost"), corrupt: "message" }, STOP], "upstream_invalid_response"],
    "a wrong checksum of a length": [[{ ...text("lost"), corrupt: "prelude" }, STOP], "upstream_invalid_response"],
    "half a frame": [[{ ...text("lost"), half: true }], "upstream_invalid_response"],
    "an end without messageStop": [[], "upstream_invalid_response"],
    "an event after messageStop": [[STOP, text("late")], "upstream_invalid_response"],
  };
  for (const [name, [steps, code]] of Object.entries(cases)) {
    for (const delay of [0, 60]) {
      it(`ends the stream with an error event: ${name}${delay > 0 ? ", later" : ""}`, async () => {
        const pause: StreamStep[] = delay > 0 ? [{ silence: delay }] : [];
        const chunking = delay > 0 ? "frames" : "whole";
        const response = await stream({ kind: "events", steps: [START, text("Begin"), ...pause, ...steps], chunking });
        const received = await readSse(response);
        assert.equal(received.complete, true);
        assert.match(received.raw, /"content":"Begin"/);
        assert.doesNotMatch(received.raw, /\[DONE\]|lost|late/);
        const error = received.data.at(-1);
        assert.ok(isJsonObject(error) && isJsonObject(error.error), received.raw);
        assert.deepEqual(Object.keys(error.error), ["message", "type", "param", "code"]);
        assert.equal(error.error.code, code);
        if (name !== "an event after messageStop") assert.doesNotMatch(received.raw, /"finish_reason":"/);

        const { closing } = await gateway.closedCall(response.headers.get("x-request-id"));
        assert.deepEqual(
          [closing?.status, closing?.httpStatus, closing?.errorCode, closing?.estimated],
          ["error", 200, code, true],
        );
        assert.ok((closing?.usage.inputTokens ?? 0) > 0 && (closing?.usage.outputTokens ?? 0) > 0);
      });
    }
  }

  it("ends the stream at once when a frame's length is corrupt, and does not wait for bytes that never come", async () => {
    const model = uniqueModel();
    const frame = eventFrame("contentBlockStop", { contentBlockIndex: 0 });
    frame.writeUInt32BE(0xffff, 0);
    const steps: StreamStep[] = [START, text("Begin"), { bytes: frame }, { silence: 30_000 }];
    gateway.simulator.scriptModel(model, { kind: "events", steps });
    const { raw, complete } = await readSse(await gateway.chat(ask(model, { stream: true })));
    assert.match(raw, /"content":"Begin".*"code":"upstream_invalid_response"/s);
    assert.equal(complete, true);
    const request = await gateway.simulator.waitFor(({ modelId, done }) => modelId === model && done);
    assert.equal(request.aborted, true);
  });

  it("leaves the answer complete when only its token counts are missing", async () => {
    const response = await stream({ kind: "events", steps: [START, text("All"), STOP] });
    const { raw } = await readSse(response);
    assert.match(raw, /"finish_reason":"stop".*\n\ndata: \[DONE\]\n\n$/);
    const { closing } = await gateway.closedCall(response.headers.get("x-request-id"));
    assert.deepEqual([closing?.status, closing?.estimated], ["ok", true]);
  });

  it("passes on events that it does not know", async () => {
    const unknown: StreamStep = { event: "somethingNew", payload: { a: 1 } };
    const metadata: StreamStep = { event: "metadata", payload: METADATA };
    const steps = [unknown, START, unknown, text("Fine"), STOP, unknown, metadata];
    const response = await stream({ kind: "events", steps });
    assert.match((await readSse(response)).raw, /"content":"Fine".*\[DONE\]\n\n$/s);
    const { closing } = await gateway.closedCall(response.headers.get("x-request-id"));
    assert.deepEqual([closing?.usage.inputTokens, closing?.estimated], [30, false]);
  });
});

describe("a connection that Bedrock cuts", { concurrency: true }, () => {
  for (const manner of ["close", "reset"] as const) {
    for (const streamed of [false, true]) {
      it(`before any answer becomes an error (${manner}, ${streamed ? "stream" : "whole"})`, async () => {
        const error = await readError(await send({ kind: "cut", at: "before-headers", manner }, streamed));
        assert.ok(error.status === 502 || error.status === 503, String(error.status));
        assert.ok(error.code === "upstream_unavailable" || error.code === "upstream_invalid_response");
        // Bedrock may have worked on it.
        const { closing } = await gateway.closedCall(error.headers.get("x-request-id"));
        assert.deepEqual([closing?.status, closing?.estimated], ["error", true]);
        assert.ok((closing?.usage.inputTokens ?? 0) > 0);
      });

      it(`after its head is no success (${manner}, ${streamed ? "stream" : "whole"})`, async () => {
        const received = await outcome({ kind: "cut", at: "after-headers", manner }, streamed);
        checkBroken(received);
        if (!("code" in received)) return;
        const { closing } = await gateway.closedCall(received.headers.get("x-request-id"));
        assert.deepEqual([closing?.status, closing?.estimated], ["interrupted", true]);
      });
    }

    it(`inside a whole answer is no success (${manner})`, async () => {
      const body = { output: { message: { role: "assistant", content: [{ text: "x".repeat(5_000) }] } } };
      checkBroken(await outcome({ kind: "json", body, cut: manner }, false));
    });

    it(`inside a frame leaves the stream unfinished (${manner})`, async () => {
      const steps: StreamStep[] = [
        START,
        text("Begin"),
        { silence: 100 },
        { ...text("lost"), half: true },
        { cut: manner },
      ];
      const received = await outcome({ kind: "events", steps }, true);
      checkBroken(received);
      assert.ok("raw" in received && received.raw.includes('"content":"Begin"'));
    });

    it(`between two frames leaves the stream unfinished (${manner})`, async () => {
      const steps: StreamStep[] = [START, text("Begin"), { cut: manner, delay: 100 }];
      checkBroken(await outcome({ kind: "events", steps }, true));
    });
  }

  it("closes its row as an estimate", async () => {
    const response = await stream({ kind: "events", steps: [START, text("Begin"), { cut: "close", delay: 100 }] });
    await readSse(response);
    const { closing } = await gateway.closedCall(response.headers.get("x-request-id"));
    assert.deepEqual([closing?.status, closing?.estimated], ["interrupted", true]);
    assert.ok((closing?.usage.inputTokens ?? 0) > 0 && (closing?.usage.outputTokens ?? 0) > 0);
  });
});

function text(content: string): StreamStep & { event: string; payload: JsonObject } {
  return { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: content } } };
}

function stream(answer: Answer): Promise<Response> {
  return send(answer, true);
}

function send(answer: Answer, streamed: boolean): Promise<Response> {
  const model = uniqueModel();
  gateway.simulator.scriptModel(model, answer);
  return gateway.chat(ask(model, { stream: streamed }));
}

type Outcome = SseText | ErrorReply | Error;

/** A client's view: a transport error, an HTTP error, or a stream as far as it came. */
async function outcome(answer: Answer, streamed: boolean): Promise<Outcome> {
  try {
    const response = await send(answer, streamed);
    return response.ok ? await readSse(response) : await readError(response);
  } catch (error) {
    assert.ok(error instanceof Error);
    return error;
  }
}

function checkBroken(received: Outcome): void {
  if (received instanceof Error) {
    assert.equal(received.message, "fetch failed");
  } else if ("code" in received) {
    assert.ok(received.status >= 500);
  } else {
    const failed = received.data.some((data) => isJsonObject(data) && data.error !== undefined);
    assert.ok(!received.complete || failed, received.raw);
    assert.doesNotMatch(received.raw, /\[DONE\]|"finish_reason":"/);
  }
}
