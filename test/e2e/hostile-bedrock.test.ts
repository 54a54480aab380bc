/**
 * A Bedrock that sends what it never should. The client gets well-formed output or an error, the row is closed with numbers
 * that reports can add up, and the service goes on.
 */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { isJsonObject, type JsonValue } from "../../src/json.ts";
import type { Answer, StreamStep } from "../../src/simulator/simulator.ts";
import { usageReport } from "../../src/usage/report.ts";
import { ask, readError, readSse, startTestGateway, uniqueModel } from "./harness.ts";

const gateway = await startTestGateway({ judge: false });
after(() => gateway.stop());

const EVIL = 'x\r\nSet-Cookie: a=b\r\n\r\ndata: [DONE]\n\n\u0000\u001b[31m<script>"\\\ud800';
const HUGE = Number.MAX_SAFE_INTEGER;
const ACCOUNT = "123456789012";
const MAX_MESSAGE = 4_000;

const START: StreamStep = { event: "messageStart", payload: { role: "assistant" } };
const STOP: StreamStep = { event: "messageStop", payload: { stopReason: "end_turn" } };

describe("an error", { concurrency: true }, () => {
  const cases: Record<string, [Answer, status: number]> = {
    "whose text is made to inject": [{ kind: "error", type: "ValidationException", message: EVIL }, 400],
    "of a megabyte": [{ kind: "error", type: "ValidationException", message: "m".repeat(1_000_000) }, 400],
    "of five megabytes": [{ kind: "error", type: "ValidationException", message: "m".repeat(5_000_000) }, 502],
    "of an odd type": [{ kind: "error", type: "x;y", status: 400, body: { message: { a: 1 }, __type: [] } }, 400],
    "that names the account": [
      { kind: "error", type: "ValidationException", message: `arn:aws:sts::${ACCOUNT}:assumed-role/gateway` },
      400,
    ],
    "of a status that is none": [modelError(400.5), 502],
    "of a status about proxies": [modelError(407), 502],
    "in gzip": [{ kind: "json", status: 400, body: gzipSync("{}"), headers: { "content-encoding": "gzip" } }, 400],
    ...Object.fromEntries(
      [201, 204, 206, 301, 302, 304, 307].map((status) => [
        `that is no error but ${status}`,
        [{ kind: "json", status, body: undefined, headers: { location: "http://127.0.0.1:1/" } }, 502],
      ]),
    ),
    "with the status 999": [{ kind: "json", status: 999, body: { message: "m" } }, 500],
  };
  for (const stream of [false, true]) {
    for (const [name, [answer, status]] of Object.entries(cases)) {
      it(`${name} is one for the client${stream ? " of a stream" : ""}`, async () => {
        const error = await readError(await call(answer, { stream }));
        assert.equal(error.status, status);
        assert.ok(error.message.length <= MAX_MESSAGE);
        assert.match(error.message, /^[^\p{Cc}]+$/u);
        assert.equal(error.message.includes(ACCOUNT), false);
        assert.equal(error.headers.get("set-cookie") ?? error.headers.get("location"), null);
        const { closing } = await gateway.closedCall(error.headers.get("x-request-id"));
        assert.deepEqual([closing?.status, closing?.httpStatus, closing?.usage.inputTokens], ["error", status, 0]);
      });
    }
  }

  it("does not make the client wait for years", async () => {
    const headers = { "retry-after": "99999999999" };
    const error = await readError(await call({ kind: "error", type: "ThrottlingException", headers, times: 9 }));
    assert.deepEqual([error.headers.get("retry-after"), error.headers.get("retry-after-ms")], ["120", "120000"]);
  });
});

describe("a whole answer", { concurrency: true }, () => {
  const text: JsonValue = [{ text: "a" }];
  const cases: Record<string, [body: unknown, status: number]> = {
    "of null": [null, 502],
    "that is not UTF-8": [Buffer.from([0x7b, 0xff, 0x7d]), 502],
    "of five million levels": [Buffer.from("[".repeat(5_000_000)), 502],
    "of ten million values": [Buffer.from(`[${"0,".repeat(10_000_000)}0]`), 502],
    "with blocks of wrong types": [message([null, 1, [], "x", { text: 5 }, { toolUse: null }, { text: "a" }]), 200],
    "with a call that has no name": [message([{ toolUse: { toolUseId: 5 } }]), 502],
    "with names made to inject": [message([{ toolUse: { toolUseId: EVIL, name: EVIL, input: "x" } }]), 200],
    "with a stop reason made to inject": [{ ...message(text), stopReason: EVIL }, 200],
    "with a stop reason that is an object": [{ ...message(text), stopReason: {} }, 502],
    "with tokens below zero": [{ ...message(text), usage: { inputTokens: -5, outputTokens: -1 } }, 200],
    "with more tokens than there are": [{ ...message(text), usage: { inputTokens: HUGE, outputTokens: HUGE } }, 200],
    "of 300,000 blocks": [message(Array.from({ length: 300_000 }, () => ({ text: "a" }))), 200],
  };
  for (const [name, [body, status]] of Object.entries(cases)) {
    it(`${name} becomes ${status === 200 ? "one for the client" : "an error"}`, async () => {
      const response = await call({ kind: "json", body });
      assert.equal(response.status, status);
      const reply: unknown = JSON.parse(await response.text());
      assert.ok(isJsonObject(reply) && Array.isArray(reply.choices) === (status === 200));
      const { closing } = await gateway.closedCall(response.headers.get("x-request-id"));
      assert.equal(closing?.status, status === 200 ? "ok" : "error");
    });
  }
});

describe("a stream", { concurrency: true }, () => {
  const many = (step: StreamStep) => [START, ...Array.from({ length: 20_000 }, () => step), STOP];
  const metadata = (usage: JsonValue): StreamStep => ({ event: "metadata", payload: { usage } });
  const cases: Record<string, [steps: StreamStep[], complete: boolean]> = {
    "without a beginning": [[delta({ text: "a" }), STOP], true],
    "with deltas of wrong types": [
      [
        START,
        { event: "contentBlockDelta", payload: { contentBlockIndex: "x", delta: null } },
        delta({ text: ["a"], toolUse: 5, reasoningContent: "x", citation: 5 }),
        { event: "contentBlockStart", payload: { start: 5 } },
        { event: "messageStop", payload: { stopReason: null } },
        metadata([1]),
      ],
      true,
    ],
    "with text made to inject": [[START, delta({ text: EVIL }), STOP], true],
    "with a call's name made to inject": [
      [START, { event: "contentBlockStart", payload: { start: { toolUse: { toolUseId: EVIL, name: EVIL } } } }, STOP],
      true,
    ],
    "with more tokens than there are": [
      [
        START,
        delta({ text: "a" }),
        STOP,
        metadata({
          inputTokens: HUGE,
          outputTokens: HUGE,
          cacheDetails: [
            { ttl: "1h", inputTokens: HUGE },
            { ttl: "1h", inputTokens: HUGE },
          ],
        }),
      ],
      true,
    ],
    "of 20,000 tiny frames": [many(delta({ text: "a" })), true],
    "of 20,000 unknown events": [many({ event: "zzz", payload: {} }), true],
    "with an argument for no call": [[START, delta({ toolUse: { input: "{}" } }), STOP], false],
    "with a frame of 30 MB": [[START, delta({ text: "z".repeat(30 * 1024 * 1024) }), STOP], false],
    "with an exception made to inject": [
      [START, delta({ text: "a" }), { exception: "validationException", payload: { message: EVIL } }],
      false,
    ],
    "with an exception of five megabytes": [
      [START, delta({ text: "a" }), { exception: "validationException", payload: { message: "m".repeat(5_000_000) } }],
      false,
    ],
  };
  for (const [name, [steps, complete]] of Object.entries(cases)) {
    it(`${name} ${complete ? "is one for the client" : "ends with an error"}`, async () => {
      const response = await call({ kind: "events", steps }, { stream: true, stream_options: { include_usage: true } });
      const sse = await readSse(response);
      assert.equal(sse.complete, true);
      const last = sse.data.at(-1);
      if (complete) assert.equal(last, "[DONE]");
      else
        assert.ok(isJsonObject(last) && isJsonObject(last.error) && String(last.error.message).length <= MAX_MESSAGE);
      assert.equal(sse.data.filter((data) => data === "[DONE]").length, complete ? 1 : 0);
      const { closing } = await gateway.closedCall(response.headers.get("x-request-id"));
      assert.equal(closing?.status, complete ? "ok" : "error");
    });
  }
});

it("after all of that the usage can be reported, and the service had no fault of its own", async () => {
  for (const by of ["key", "team", "model", "day"] as const) {
    const rows = await usageReport(gateway.store.reports, { by });
    assert.ok(rows.length > 0 && rows.every((row) => row.input_tokens < 1_000_000), by);
  }
  assert.ok((await gateway.usage()).every(({ closing }) => closing !== undefined));
  assert.equal(JSON.stringify(gateway.serviceLog()).includes("internal_error"), false);
});

function call(answer: Answer, more: Readonly<Record<string, unknown>> = {}): Promise<Response> {
  const model = uniqueModel();
  gateway.simulator.scriptModel(model, { times: Number.POSITIVE_INFINITY, ...answer });
  return gateway.chat(ask(model, more));
}

function message(content: JsonValue) {
  const usage = { inputTokens: 1, outputTokens: 1 };
  return { output: { message: { role: "assistant", content } }, stopReason: "end_turn", usage };
}

function delta(of: Readonly<Record<string, JsonValue>>): StreamStep {
  return { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: of } };
}

function modelError(originalStatusCode: number): Answer {
  return { kind: "error", type: "ModelErrorException", body: { message: "m", originalStatusCode } };
}
