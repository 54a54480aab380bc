import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { type ClientDuplexStream, credentials, makeClientConstructor, status } from "@grpc/grpc-js";
import type { ProcessingRequest } from "../../src/extproc/generated/envoy/service/ext_proc/v3/ProcessingRequest.ts";
import type { ProcessingResponse__Output } from "../../src/extproc/generated/envoy/service/ext_proc/v3/ProcessingResponse.ts";
import { type ExtProcServer, type OpenExchange, type Send, startExtProcServer } from "../../src/extproc/server.ts";
import { type EnvoyEvent, healthService, processorService, type Reply } from "../../src/extproc/wire.ts";

const PASS: Reply = { type: "pass", event: "request_headers" };
const HEADERS: ProcessingRequest = { request_headers: { headers: { headers: [] }, end_of_stream: false } };
const body = (text: string | Buffer): ProcessingRequest => ({ request_body: { body: Buffer.from(text) } });

describe("the ext_proc server", () => {
  it("opens an exchange for each stream, gives it the events in order and sends its replies", async (t) => {
    const { connect, exchanges } = await setUp(t, (send) => (event) => {
      send({ type: "pass", event: event.type });
    });
    const [first, second] = [connect(), connect()];
    first.write(HEADERS);
    first.write(body("one"));
    second.write(HEADERS);
    await until(() => first.replies.length === 2 && second.replies.length === 1);
    assert.deepEqual(
      first.replies.map(({ response }) => response),
      ["request_headers", "request_body"],
    );
    assert.deepEqual(
      exchanges.map(({ events }) => events.map(({ type }) => type)).sort((a, b) => b.length - a.length),
      [["request_headers", "request_body"], ["request_headers"]],
    );
    first.end();
    second.end();
    assert.deepEqual(await Promise.all([first.ended, second.ended]), [status.OK, status.OK]);
  });

  it("ends its side when Envoy ends its own, and closes the exchange once", async (t) => {
    const { server, connect, exchanges } = await setUp(t, (send) => () => send(PASS));
    const stream = connect();
    stream.write(HEADERS);
    await until(() => stream.replies.length === 1);
    assert.equal(server.active, 1);
    stream.end();
    assert.equal(await stream.ended, status.OK);
    await until(() => server.active === 0);
    assert.equal(exchanges[0]?.closed, 1);
  });

  it("closes the exchange once when Envoy breaks the stream, and lets it send into the void", async (t) => {
    let late: ((reply: Reply) => void) | undefined;
    const { server, connect, exchanges, faults } = await setUp(t, (send) => () => {
      late = send;
      send(PASS);
    });
    const stream = connect();
    stream.write(HEADERS);
    await until(() => stream.replies.length === 1);
    stream.cancel();
    await until(() => server.active === 0);
    late?.(PASS);
    assert.equal(exchanges[0]?.closed, 1);
    assert.deepEqual(faults, []);
  });

  it("gives an exchange the next event only when it has done with the last", async (t) => {
    const works: PromiseWithResolvers<void>[] = [];
    const { connect, exchanges } = await setUp(t, () => () => {
      const work = Promise.withResolvers<void>();
      works.push(work);
      return work.promise;
    });
    const stream = connect();
    for (const text of ["1", "2", "3"]) stream.write(body(text));
    for (const count of [1, 2, 3]) {
      await until(() => works.length === count);
      await pause();
      assert.equal(exchanges[0]?.events.length, count);
      works[count - 1]?.resolve();
    }
    stream.end();
    assert.equal(await stream.ended, status.OK);
  });

  it("closes an exchange that is at work as soon as its work is done, when Envoy has ended meanwhile", async (t) => {
    const work = Promise.withResolvers<void>();
    const { connect, exchanges } = await setUp(t, () => () => work.promise);
    const stream = connect();
    stream.write(HEADERS);
    stream.end();
    await until(() => exchanges[0]?.events.length === 1);
    work.resolve();
    assert.equal(await stream.ended, status.OK);
    assert.equal(exchanges[0]?.closed, 1);
  });

  for (const [what, receive] of [
    ["throws", () => assert.fail("out of order")],
    ["rejects", () => Promise.reject(new Error("out of order"))],
  ] as const) {
    it(`fails the stream when the exchange ${what}, so that Envoy need not wait, and says why in the log alone`, async (t) => {
      const { server, connect, exchanges, faults } = await setUp(t, () => receive);
      const stream = connect();
      stream.write(HEADERS);
      assert.equal(await stream.ended, status.INTERNAL);
      assert.doesNotMatch(String(stream.failure), /out of order/);
      assert.match(String(faults[0]), /out of order/);
      assert.equal(faults.length, 1);
      assert.equal(exchanges[0]?.closed, 1);
      assert.equal(server.active, 0);
    });
  }

  it("leaves the other streams of the connection alone when one fails", async (t) => {
    const { connect } = await setUp(t, (send) => (event) => {
      if (event.type === "request_body") throw new Error("broken");
      send(PASS);
    });
    const [good, bad] = [connect(), connect()];
    bad.write(body("x"));
    await bad.ended;
    good.write(HEADERS);
    await until(() => good.replies.length === 1);
    good.end();
    assert.equal(await good.ended, status.OK);
  });

  it("fails the stream for a message of an unknown kind", async (t) => {
    const { connect, exchanges, faults } = await setUp(t, () => () => {});
    const stream = connect();
    stream.write({});
    assert.equal(await stream.ended, status.INTERNAL);
    assert.match(String(faults[0]), /unknown kind/);
    assert.deepEqual(exchanges[0]?.events, []);
  });

  it("takes and sends bodies above gRPC's limit of 4 MB", async (t) => {
    const big = Buffer.alloc(6 * 1024 * 1024, "x");
    const { connect } = await setUp(t, (send) => (event) => {
      if (event.type === "request_body") send({ type: "response_body", body: event.body, endOfStream: true });
    });
    const stream = connect();
    stream.write(body(big));
    await until(() => stream.replies.length === 1);
    const echoed = stream.replies[0]?.response_body?.response?.body_mutation?.streamed_response?.body;
    assert.equal(echoed?.length, big.length);
    stream.end();
    await stream.ended;
  });

  it("reads no further while Envoy does not take what was written, and goes on when it does", async (t) => {
    const chunk = Buffer.alloc(256 * 1024, "x");
    const { connect, exchanges } = await setUp(t, (send) => () => {
      for (let count = 0; count < 40; count++) send({ type: "response_body", body: chunk, endOfStream: false });
    });
    const stream = connect();
    stream.pause();
    for (const text of ["1", "2", "3"]) stream.write(body(text));
    await until(() => exchanges[0]?.events.length === 1);
    await pause();
    assert.equal(exchanges[0]?.events.length, 1);
    stream.resume();
    await until(() => stream.replies.length === 120);
    assert.equal(exchanges[0]?.events.length, 3);
    stream.end();
    assert.equal(await stream.ended, status.OK);
  });

  it("serves a thousand streams on one connection, one after the other and many at once", async (t) => {
    const { server, connect, exchanges } = await setUp(t, (send) => () => send(PASS));
    for (let round = 0; round < 20; round++) {
      const streams = Array.from({ length: 50 }, connect);
      for (const stream of streams) {
        stream.write(HEADERS);
        stream.end();
      }
      for (const stream of streams) assert.equal(await stream.ended, status.OK);
    }
    assert.equal(exchanges.length, 1_000);
    assert.ok(exchanges.every(({ closed }) => closed === 1));
    assert.equal(server.active, 0);
  });
});

describe("the server's health", () => {
  it("is SERVING, then NOT_SERVING, while live exchanges go on", async (t) => {
    const { server, connect, check, watch } = await setUp(t, (send) => () => send(PASS));
    const watched = watch();
    await until(() => watched.length === 1);
    assert.equal(await check(), "SERVING");
    const stream = connect();
    stream.write(HEADERS);
    await until(() => stream.replies.length === 1);
    server.stopServing();
    assert.equal(await check(), "NOT_SERVING");
    await until(() => watched.length === 2);
    assert.deepEqual(watched, ["SERVING", "NOT_SERVING"]);
    stream.write(body("x"));
    await until(() => stream.replies.length === 2);
    stream.end();
    assert.equal(await stream.ended, status.OK);
  });
});

describe("an exchange that sends more than Envoy takes", () => {
  const piece: Reply = { type: "response_body", body: Buffer.alloc(64 * 1024), endOfStream: false };

  for (const [what, end] of [
    ["Envoy takes it", (stream: { resume(): void }) => stream.resume()],
    ["the stream is over", (stream: { cancel(): void }) => stream.cancel()],
  ] as const) {
    it(`is asked to wait until ${what}`, async (t) => {
      let sender: Send | undefined;
      const { connect, exchanges } = await setUp(t, (send) => () => {
        sender = send;
        send(PASS);
      });
      const stream = connect();
      stream.write(HEADERS);
      await until(() => stream.replies.length === 1);
      stream.pause();
      let wait = sender?.(piece);
      for (let sent = 1; wait === undefined && sent < 10_000; sent += 1) {
        wait = sender?.(piece);
        await new Promise(setImmediate);
      }
      assert.ok(wait instanceof Promise);
      assert.equal(sender?.(piece), wait);
      let released = false;
      void wait.then(() => {
        released = true;
      });
      stream.write(body("unheard"));
      await pause();
      assert.deepEqual([released, exchanges[0]?.events.length], [false, 1]);
      end(stream);
      await until(() => released);
      stream.cancel();
      await stream.ended;
      assert.equal(sender?.(piece), undefined);
    });
  }
});

describe("the server's end", () => {
  it("waits for live exchanges, and not longer than it is told", async (t) => {
    const { server, connect } = await setUp(t, (send) => () => send(PASS));
    await server.idle(60_000);
    const stream = connect();
    stream.write(HEADERS);
    await until(() => server.active === 1);
    const began = performance.now();
    await server.idle(50);
    assert.ok(performance.now() - began >= 45);
    let idle = 0;
    const waiting = [server.idle(60_000), server.idle(60_000)].map((wait) =>
      wait.then(() => {
        idle += 1;
      }),
    );
    await pause();
    assert.equal(idle, 0);
    stream.end();
    await Promise.all(waiting);
    assert.equal(server.active, 0);
  });

  it("cuts what is left, closes its exchange, and takes the socket away", async (t) => {
    const { server, socket, connect, exchanges } = await setUp(t, (send) => () => send(PASS));
    const stream = connect();
    stream.write(HEADERS);
    await until(() => stream.replies.length === 1);
    await server.close();
    assert.notEqual(await stream.ended, status.OK);
    await until(() => exchanges[0]?.closed === 1);
    assert.equal(existsSync(socket), false);
  });
});

describe("the server's socket", () => {
  it("is for its user alone, and replaces one that a killed process left", async (t) => {
    const socket = join(folder(t), "s.sock");
    writeFileSync(socket, "");
    const { connect } = await setUp(t, (send) => () => send(PASS), socket);
    assert.equal(statSync(socket).mode & 0o777, 0o600);
    const stream = connect();
    stream.write(HEADERS);
    await until(() => stream.replies.length === 1);
    stream.end();
    await stream.ended;
  });

  it("may be a port instead; what can't be bound is an error", async (t) => {
    const openExchange: OpenExchange = () => ({ receive() {}, close() {} });
    const start = (listen: string) => startExtProcServer({ listen, openExchange, onFault: () => {} });
    const taken = createServer().listen(0, "127.0.0.1");
    t.after(() => taken.close());
    await once(taken, "listening");
    const address = taken.address();
    assert.ok(typeof address === "object" && address !== null);
    await assert.rejects(start(`127.0.0.1:${address.port}`));
    await assert.rejects(start("unix:/nonexistent/folder/s.sock"));
    await (await start("127.0.0.1:0")).close();
  });
});

type Receive = (event: EnvoyEvent) => void | Promise<void>;

interface Seen {
  readonly events: EnvoyEvent[];
  closed: number;
}

/** A server on a socket of its own whose exchanges are `behave`, and clients for it. All end with the test. */
async function setUp(t: TestContext, behave: (send: Send) => Receive, socket = join(folder(t), "s.sock")) {
  const exchanges: Seen[] = [];
  const faults: unknown[] = [];
  const server: ExtProcServer = await startExtProcServer({
    listen: `unix:${socket}`,
    openExchange(send) {
      const seen: Seen = { events: [], closed: 0 };
      exchanges.push(seen);
      const receive = behave(send);
      return {
        receive(event) {
          seen.events.push(event);
          return receive(event);
        },
        close() {
          seen.closed += 1;
        },
      };
    },
    onFault: (error) => faults.push(error),
  });
  const options = { "grpc.max_receive_message_length": -1 };
  const Processor = makeClientConstructor(processorService, "ExternalProcessor");
  const Health = makeClientConstructor(healthService, "Health");
  const processor = new Processor(`unix:${socket}`, credentials.createInsecure(), options);
  const health = new Health(`unix:${socket}`, credentials.createInsecure(), options);
  t.after(async () => {
    processor.close();
    health.close();
    await server.close();
  });

  function connect() {
    const call: ClientDuplexStream<ProcessingRequest, ProcessingResponse__Output> = processor.makeBidiStreamRequest(
      processorService.Process.path,
      processorService.Process.requestSerialize,
      processorService.Process.responseDeserialize,
    );
    const replies: ProcessingResponse__Output[] = [];
    const { promise: ended, resolve } = Promise.withResolvers<number>();
    const stream = Object.assign(call, { replies, ended, failure: undefined as unknown });
    call.on("data", (reply: ProcessingResponse__Output) => replies.push(reply));
    call.on("error", (error) => {
      stream.failure = error;
    });
    call.on("status", ({ code }) => resolve(code));
    return stream;
  }

  return {
    server,
    socket,
    exchanges,
    faults,
    connect,
    check: () =>
      new Promise<string | undefined>((resolve, reject) => {
        const { path, requestSerialize, responseDeserialize } = healthService.Check;
        health.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, (error, reply) =>
          error === null ? resolve(reply?.status) : reject(error),
        );
      }),
    watch() {
      const { path, requestSerialize, responseDeserialize } = healthService.Watch;
      const watched: (string | undefined)[] = [];
      const call = health.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {});
      call.on("data", (reply: { status?: string }) => watched.push(reply.status));
      call.on("error", () => {});
      t.after(() => call.cancel());
      return watched;
    },
  };
}

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "gateway-extproc-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50));
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < deadline, "nothing came of it in ten seconds");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
