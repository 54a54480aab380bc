import assert from "node:assert/strict";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  ConverseCommand,
  ConverseStreamCommand,
  ModelNotReadyException,
  ModelStreamErrorException,
  ResourceNotFoundException,
  ServiceUnavailableException,
  ThrottlingException,
  ValidationException,
} from "@aws-sdk/client-bedrock-runtime";
import { type Chunking, fails, type StreamStep, says } from "../../src/simulator/answer.ts";
import { type Simulator, type SimulatorOptions, startSimulator } from "../../src/simulator/simulator.ts";
import { collect, HELLO, MODEL, sdkClient, signedFetch, textOf } from "./aws-client.ts";

const STREAM_PATH = `/model/${encodeURIComponent(MODEL)}/converse-stream`;
const BODY = JSON.stringify({ messages: HELLO });
const START: StreamStep = { event: "messageStart", payload: { role: "assistant" } };
const TEXT: StreamStep = { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: "naïve 😀" } } };
const STOP: StreamStep = { event: "messageStop", payload: { stopReason: "end_turn" } };

let simulator: Simulator;
let client: ReturnType<typeof sdkClient>;
beforeEach(() => start());
afterEach(async () => {
  client.destroy();
  await simulator.close();
});

async function start(options: SimulatorOptions = {}) {
  if (simulator) await simulator.close();
  client?.destroy();
  simulator = await startSimulator(options);
  client = sdkClient(simulator);
}

const converse = () => client.send(new ConverseCommand({ modelId: MODEL, messages: HELLO }));
const converseStream = async () =>
  collect((await client.send(new ConverseStreamCommand({ modelId: MODEL, messages: HELLO }))).stream);
const post = (path: string, more: { body?: string; headers?: Record<string, string>; signal?: AbortSignal } = {}) =>
  signedFetch(simulator, path, { method: "POST", body: BODY, ...more });

describe("scripted answers", () => {
  it("come in order, as often as they say, and then the echo again", async () => {
    simulator.script([fails("ThrottlingException", { times: 2 }), says("third")]);
    await assert.rejects(converse(), ThrottlingException);
    await assert.rejects(converseStream(), ThrottlingException);
    assert.equal((await converse()).output?.message?.content?.[0]?.text, "third");
    assert.equal((await converse()).output?.message?.content?.[0]?.text, "You said: hello there");
  });

  it("of one model come before those for all, and may depend on the request", async () => {
    simulator.script(says("for all"));
    simulator.scriptModel(MODEL, [(request) => says(`request ${request.order}`)]);
    assert.equal((await converse()).output?.message?.content?.[0]?.text, "request 1");
    assert.equal((await converse()).output?.message?.content?.[0]?.text, "for all");
  });

  it("are the same message from Converse and ConverseStream", async () => {
    const usage = { inputTokens: 7, outputTokens: 3, totalTokens: 10 };
    simulator.script(says("one two three", { usage, stopReason: "max_tokens", times: 2 }));
    const whole = await converse();
    const events = await converseStream();
    assert.deepEqual([whole.stopReason, whole.usage], ["max_tokens", usage]);
    assert.equal(textOf(events), "one two three");
    assert.deepEqual([events.at(-2)?.messageStop?.stopReason, events.at(-1)?.metadata?.usage], ["max_tokens", usage]);
  });

  it("are dropped by reset", async () => {
    simulator.script(fails("ThrottlingException", { times: Number.POSITIVE_INFINITY }));
    await assert.rejects(converse(), ThrottlingException);
    simulator.reset();
    assert.equal((await converse()).stopReason, "end_turn");
  });
});

describe("scripted errors", () => {
  for (const [type, status, exception] of [
    ["ValidationException", 400, ValidationException],
    ["ThrottlingException", 429, ThrottlingException],
    ["ModelNotReadyException", 429, ModelNotReadyException],
    ["ResourceNotFoundException", 404, ResourceNotFoundException],
    ["ServiceUnavailableException", 503, ServiceUnavailableException],
  ] as const) {
    it(`${type} is the SDK's exception, with status ${status}`, async () => {
      simulator.script(fails(type, { message: "because", times: 2 }));
      for (const call of [converse, converseStream])
        await assert.rejects(call(), (error) => {
          assert.ok(error instanceof exception);
          assert.equal(error.message, "because");
          assert.equal(error.$metadata.httpStatusCode, status);
          return true;
        });
    });
  }

  it("take headers, odd bodies and a status of their own", async () => {
    simulator.script([
      fails("ThrottlingException", { headers: { "retry-after": "7" } }),
      fails("", { status: 403, body: {} }),
      fails("", { status: 400, body: { __type: "com.amazon#ValidationException", Message: "odd" } }),
      { kind: "json", body: { Output: { __type: "com.amazon.coral.service#UnknownOperationException" } } },
    ]);
    assert.equal((await post(STREAM_PATH)).headers.get("retry-after"), "7");
    const empty = await post(STREAM_PATH);
    assert.deepEqual([empty.status, empty.headers.get("x-amzn-errortype"), await empty.text()], [403, null, "{}"]);
    assert.equal((await (await post(STREAM_PATH)).text()).includes("Message"), true);
    const odd = await post(STREAM_PATH);
    assert.deepEqual([odd.status, odd.headers.get("content-type")], [200, "application/json"]);
  });

  it("wait as long as they are told to", async () => {
    simulator.script(says("late", { delay: 120 }));
    const started = performance.now();
    await converse();
    assert.ok(performance.now() - started >= 115);
  });
});

describe("scripted event streams", () => {
  it("give the SDK the same events however the bytes are cut", async () => {
    const steps = [START, TEXT, TEXT, { event: "contentBlockStop", payload: { contentBlockIndex: 0 } }, STOP];
    simulator.script({ kind: "events", steps, chunking: "whole" });
    const expected = await converseStream();
    assert.equal(textOf(expected), "naïve 😀naïve 😀");
    const sizes: Chunking[] = ["frames", ...Array.from({ length: 200 }, (_, index) => index + 1)];
    for (const chunking of sizes) {
      simulator.script({ kind: "events", steps, chunking });
      assert.deepEqual(await converseStream(), expected, `chunking ${chunking}`);
    }
  });

  it("are really cut: a chunk holds as many bytes as asked", async () => {
    await start({ verify: false });
    simulator.script({ kind: "events", steps: [START, STOP], chunking: 50 });
    const sizes: number[] = [];
    const raw = await rawExchange();
    for (const match of raw.matchAll(/^([0-9a-f]+)\r$/gm)) sizes.push(Number.parseInt(match[1] ?? "", 16));
    assert.deepEqual(new Set(sizes.slice(0, -2)), new Set([50]));
    assert.equal(sizes.at(-1), 0);
  });

  it("surface an exception in the stream, first or later, as the SDK's class", async () => {
    const throttled: StreamStep = { exception: "throttlingException", payload: { message: "too many tokens" } };
    const broken: StreamStep = {
      exception: "modelStreamErrorException",
      payload: { message: "the model broke", originalStatusCode: 500, originalMessage: "boom" },
    };
    simulator.script([
      { kind: "events", steps: [throttled] },
      { kind: "events", steps: [START, TEXT, broken] },
    ]);
    await assert.rejects(converseStream(), ThrottlingException);
    await assert.rejects(converseStream(), (error) => {
      assert.ok(error instanceof ModelStreamErrorException);
      assert.equal(error.originalStatusCode, 500);
      return true;
    });
  });

  it("surface an error frame, a wrong checksum and half a frame", async () => {
    for (const steps of [
      [START, { error: "InternalError", message: "it broke" }],
      [START, { ...TEXT, corrupt: "prelude" }],
      [START, { ...TEXT, corrupt: "message" }],
      [START, { ...TEXT, half: true }],
    ] satisfies StreamStep[][]) {
      simulator.script({ kind: "events", steps });
      await assert.rejects(converseStream(), /it broke|checksum|truncated/i);
    }
  });

  it("fall silent, and pace their events", async () => {
    simulator.script([
      { kind: "events", steps: [START, { silence: 100 }, STOP] },
      says("one two three four", { pace: 20 }),
    ]);
    for (const atLeast of [95, 100]) {
      const started = performance.now();
      await converseStream();
      assert.ok(performance.now() - started >= atLeast);
    }
  });
});

describe("scripted cuts", () => {
  it("end the connection before the headers, after them, or in the middle", async () => {
    simulator.script({ kind: "cut", at: "before-headers" });
    await assert.rejects(post(STREAM_PATH), /fetch failed/);
    for (const manner of ["close", "reset"] as const) {
      simulator.script([
        { kind: "cut", at: "after-headers", manner },
        { kind: "events", steps: [START, { ...TEXT, half: true }, { cut: manner }] },
        { kind: "json", body: { output: "long enough to be cut" }, cut: manner },
      ]);
      for (let call = 0; call < 3; call += 1) {
        const response = await post(STREAM_PATH);
        assert.equal(response.status, 200);
        await assert.rejects(response.arrayBuffer(), TypeError);
      }
    }
    assert.equal(simulator.requests.filter((request) => request.aborted).length, 0, "the simulator's own cuts");
    assert.equal((await converse()).stopReason, "end_turn");
  });

  it("let everything written before arrive", async () => {
    await start({ verify: false });
    simulator.script({ kind: "events", steps: [START, TEXT, { cut: "close" }] });
    assert.match(await rawExchange(), /messageStart.*contentBlockDelta.*naïve 😀/s);
  });
});

describe("the recorder", () => {
  it("shows what arrived, and no client's key", async () => {
    await post(STREAM_PATH, { headers: { "x-team": "search" } });
    const [request] = simulator.requests;
    assert.equal(request?.operation, "ConverseStream");
    assert.equal(request?.modelId, MODEL);
    assert.equal(request?.path, STREAM_PATH);
    assert.equal(request?.headers["x-team"], "search");
    assert.equal(request?.body, BODY);
    assert.deepEqual(request?.json, JSON.parse(BODY));
    assert.deepEqual(request?.leaks, []);
  });

  it("names the headers that hold a client's key", async () => {
    await post(STREAM_PATH, { headers: { "x-api-key": "sk-secret", "x-task": "ask-me" } });
    assert.deepEqual(simulator.requests[0]?.leaks, ["x-api-key"]);
  });

  it("sees a caller that leaves, before and during the answer", async () => {
    simulator.script([says("late", { delay: 10_000 }), { kind: "events", steps: [START, { silence: 10_000 }, STOP] }]);
    const early = new AbortController();
    const call = post(STREAM_PATH, { signal: early.signal });
    await simulator.waitFor((request) => request.order === 1 && request.json !== undefined);
    early.abort();
    await assert.rejects(call, /abort/);
    const first = await simulator.waitFor((request) => request.order === 1 && request.done);
    assert.deepEqual([first.aborted, first.status], [true, undefined]);

    const late = new AbortController();
    await post(STREAM_PATH, { signal: late.signal });
    late.abort();
    const second = await simulator.waitFor((request) => request.order === 2 && request.done);
    assert.deepEqual([second.aborted, second.status], [true, 200]);
  });

  it("says a whole exchange was not aborted", async () => {
    await converseStream();
    const request = await simulator.waitFor((one) => one.done);
    assert.deepEqual([request.aborted, request.status], [false, 200]);
  });

  it("keeps no more than its limit", async () => {
    await start({ recordLimit: 2 });
    for (let call = 0; call < 3; call += 1) await converse();
    assert.deepEqual(
      simulator.requests.map((request) => request.order),
      [2, 3],
    );
  });

  it("gives up waiting for what never comes", async () => {
    await assert.rejects(
      simulator.waitFor(() => false, 20),
      /no such request within 20 ms/,
    );
  });
});

describe("the judge", () => {
  it("turns a test's objection into a ValidationException", async () => {
    await start({
      judge: (operation, body) => (JSON.stringify(body).includes("hello") ? `${operation}: no` : undefined),
    });
    await assert.rejects(
      converse(),
      (error) => error instanceof ValidationException && error.message === "Converse: no",
    );
  });
});

describe("the server", () => {
  it("refuses a chunked request: Bedrock may", async () => {
    await start({ verify: false });
    const answer = await rawExchange("transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
    assert.match(answer, /^HTTP\/1\.1 411 .*LengthRequiredException/s);
  });

  it("survives garbage and half requests", async () => {
    for (const bytes of ["garbage\r\n\r\n", "POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc"]) {
      const socket = connect(simulator.port, "127.0.0.1");
      socket.on("error", () => {});
      await new Promise((resolve) => socket.write(bytes, resolve));
      socket.destroy();
    }
    assert.equal((await converse()).stopReason, "end_turn");
  });
});

describe("a slow reader", () => {
  it("holds the stream back, and gets every byte in the end", async () => {
    await start({ verify: false });
    const bytes = new Uint8Array(1024 * 1024).fill(97);
    simulator.script({ kind: "events", steps: Array.from({ length: 24 }, () => ({ bytes })) });
    const socket = connect(simulator.port, "127.0.0.1");
    socket.write(`POST ${STREAM_PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n`);
    socket.write(`content-length: ${BODY.length}\r\n\r\n${BODY}`);
    const request = await simulator.waitFor((one) => one.status === 200);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(request.done, false);
    let received = 0;
    for await (const chunk of socket) received += chunk.filter((byte: number) => byte === 97).length;
    assert.ok(received >= 24 * bytes.length);
    assert.deepEqual([request.done, request.aborted], [true, false]);
  });
});

describe("close", () => {
  it("ends answers that are under way, and can be called twice", async () => {
    simulator.script({ kind: "events", steps: [START, { silence: 60_000 }, STOP] });
    const response = await post(STREAM_PATH);
    await simulator.close();
    await assert.rejects(response.arrayBuffer());
    await simulator.close();
  });
});

/** The bytes of one unsigned exchange on its own connection, as UTF-8; the simulator must not verify. */
async function rawExchange(headAndBody = `content-length: ${BODY.length}\r\n\r\n${BODY}`): Promise<string> {
  const socket = connect(simulator.port, "127.0.0.1");
  socket.write(`POST ${STREAM_PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${headAndBody}`);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
