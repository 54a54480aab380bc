import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { connect, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { EnvoyProcess } from "../../src/envoy/process.ts";
import { says } from "../../src/simulator/answer.ts";
import { eventFrame } from "../../src/simulator/event-stream.ts";
import { ask, startTestGateway, type TestGateway, uniqueModel, until } from "./harness.ts";
import { residentMiB, type SplitGateway, startSplitGateway } from "./split-gateway.ts";

const REQUESTS = 10_000;
const CONNECTIONS = 32;
/** One of so many is streamed. */
const STREAMED = 5;

const GARBAGE = "\u0016\u0003\u0001 this is no HTTP\r\n\r\n";
const ENDLESS_HEADERS = `GET /v1/models HTTP/1.1\r\nhost: a\r\nx-large: ${"a".repeat(100_000)}\r\n\r\n`;
const TWO_LENGTHS =
  "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n";
const UNFINISHED = [
  "GET /v1/models HTTP/1.1\r\nhost",
  "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 1000",
];

describe("ten thousand requests on thirty-two connections", () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startTestGateway({ judge: false, env: { LOG_LEVEL: "error" } });
  });
  after(() => gateway.stop());

  it("are all answered, over one gRPC connection, and have a row each", async (t) => {
    const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
    const failures: string[] = [];
    let next = 0;
    const started = performance.now();
    async function client(): Promise<void> {
      while (next < REQUESTS) {
        const number = next++;
        const stream = number % STREAMED === 0;
        const failure = await fault(gateway, agent, number, stream);
        if (failure !== undefined) failures.push(failure);
      }
    }
    await Promise.all(Array.from({ length: CONNECTIONS }, client));
    const seconds = (performance.now() - started) / 1000;
    agent.destroy();
    t.diagnostic(`${REQUESTS} requests in ${seconds.toFixed(1)} s, client and Bedrock in the service's process`);

    assert.deepEqual(failures.slice(0, 3), [], `${failures.length} failures`);
    const { envoy } = gateway.standalone;
    assert.equal(await statistic(envoy, "cluster.extproc.upstream_rq_total"), REQUESTS);
    assert.equal(await statistic(envoy, "cluster.extproc.upstream_cx_total"), 1);
    assert.equal(await statistic(envoy, "cluster.extproc.upstream_cx_destroy"), 0);
    assert.equal(await statistic(envoy, "http.clients.downstream_cx_total"), CONNECTIONS);

    const totals = await gateway.store.reports.totals({ by: "key" });
    assert.deepEqual(
      totals.map((row) => [row.group, row.requests, row.estimatedRequests]),
      [[gateway.keyId, REQUESTS, 0]],
    );
  });
});

describe("what others do", () => {
  const STREAMS = 200;
  const UNREAD = 10;
  /** Of each stream: more than all sockets and buffers on the way hold. */
  const UNREAD_BYTES = 64 * 1024 * 1024;
  const ABUSERS = 25;
  const PATIENCE_MS = 250;
  let gateway: SplitGateway;
  before(async () => {
    gateway = await startSplitGateway();
    await shortRequests(gateway); // Warm.
  });
  after(() => gateway[Symbol.asyncDispose]());

  it("does not hold up a short request: two hundred open streams, some of which nobody reads", async (t) => {
    const alone = await shortRequests(gateway);
    const memory = residentMiB(gateway.service.pid);
    const [steady, endless] = [uniqueModel(), uniqueModel()];
    gateway.simulator.scriptModel(steady, says("word ".repeat(2_000), { pace: 50, times: STREAMS - UNREAD }));
    const bytes = eventFrame("contentBlockDelta", {
      contentBlockIndex: 0,
      delta: { text: "0123456789".repeat(1_600) },
    });
    const steps = Array.from({ length: UNREAD_BYTES / bytes.length }, () => ({ bytes }));
    gateway.simulator.scriptModel(endless, { kind: "events", steps, times: UNREAD });
    const sockets = await Promise.all([
      ...Array.from({ length: STREAMS - UNREAD }, () => openStream(gateway, steady)),
      ...Array.from({ length: UNREAD }, async () => (await openStream(gateway, endless)).pause()),
    ]);
    await sleep(3_000);
    assert.equal(gateway.simulator.requests.filter(({ done }) => !done).length, STREAMS, "all are still open");

    const among = await shortRequests(gateway);
    const growth = residentMiB(gateway.service.pid) - memory;
    t.diagnostic(`a short request takes ${alone} ms alone and ${among} ms among ${STREAMS} open streams (worst of 50)`);
    t.diagnostic(`the service grew by ${Math.round(growth)} MiB`);
    assert.ok(among < PATIENCE_MS, `${among} ms`);
    assert.ok(growth < (UNREAD * UNREAD_BYTES) / 2 ** 20 / 2, `${growth} MiB`);

    for (const socket of sockets) socket.destroy();
    await until("the end of all streams", async () => {
      const active = await statistic(gateway.envoy.process, "http.clients.downstream_rq_active");
      return active === 0 || undefined;
    });
  });

  it("does not hold up a short request: garbage, endless headers and bodies that never come", async (t) => {
    const attacks = [GARBAGE, TWO_LENGTHS, ENDLESS_HEADERS, ...UNFINISHED];
    const abusers = await Promise.all(
      Array.from({ length: ABUSERS }, (_, index) => abuse(gateway, attacks[index % attacks.length] ?? "")),
    );
    const among = await shortRequests(gateway);
    t.diagnostic(`a short request takes ${among} ms among ${ABUSERS} abusive clients (worst of 50)`);
    assert.ok(among < PATIENCE_MS, `${among} ms`);
    for (const { attack, closed, received } of abusers) {
      // These are waited for, until request_headers_timeout and request_timeout.
      if (UNFINISHED.includes(attack)) {
        assert.equal(received(), "");
        continue;
      }
      await closed;
      // Whoever goes on sending may lose what he was told.
      if (attack === ENDLESS_HEADERS && received() === "") continue;
      assert.match(received(), /^HTTP\/1\.1 4\d\d .*\r\n\r\n\{"error":\{.*\}\}\s*$/s);
    }
    for (const { socket } of abusers) socket.destroy();
  });
});

/** What is wrong with the answer to one request; undefined when nothing is. */
async function fault(gateway: TestGateway, agent: Agent, number: number, stream: boolean): Promise<string | undefined> {
  try {
    const content = `This is request ${number}.`;
    const body = JSON.stringify({ ...ask("amazon.nova-lite-v1:0"), messages: [{ role: "user", content }], stream });
    const { status, text } = await post(gateway, agent, body);
    if (status !== 200) return `${number}: ${status} ${text}`;
    const complete = stream ? text.endsWith("data: [DONE]\n\n") : text.includes(`You said: ${content}`);
    return complete ? undefined : `${number}: ${text}`;
  } catch (error) {
    return `${number}: ${error}`;
  }
}

async function post({ url, key }: { url: string; key: string }, agent: Agent, body: string) {
  const call = request(`${url}/v1/chat/completions`, {
    method: "POST",
    agent,
    headers: {
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
    },
  });
  call.end(body);
  const [reply]: IncomingMessage[] = await once(call, "response");
  if (reply === undefined) throw new Error("no response");
  const chunks: Buffer[] = await reply.toArray();
  return { status: reply.statusCode, text: Buffer.concat(chunks).toString("utf8") };
}

/** The worst of fifty, one after the other, in milliseconds. */
async function shortRequests(gateway: SplitGateway): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const body = JSON.stringify(ask("amazon.nova-lite-v1:0"));
  let worst = 0;
  for (let round = 0; round < 50; round += 1) {
    const started = performance.now();
    const { status } = await post(gateway, agent, body);
    assert.equal(status, 200);
    worst = Math.max(worst, performance.now() - started);
  }
  agent.destroy();
  return Math.round(worst);
}

/** The connection of a stream that has begun; it is read until somebody pauses it. */
async function openStream({ url, key }: SplitGateway, model: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => {});
  const body = JSON.stringify(ask(model, { stream: true }));
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${key}\r\n` +
      `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  const [first] = await once(socket, "data");
  socket.resume();
  assert.match(String(first), /^HTTP\/1\.1 200 /);
  return socket;
}

async function abuse({ url }: SplitGateway, attack: string) {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => {});
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await once(socket, "connect");
  socket.write(attack, "latin1");
  return { attack, socket, closed, received: () => Buffer.concat(chunks).toString("latin1") };
}

async function statistic(envoy: EnvoyProcess, name: string): Promise<number> {
  const { body } = await envoy.admin("GET", `/stats?filter=^${name.replaceAll(".", "\\.")}$`);
  const value = /: (\d+)/.exec(body)?.[1];
  assert.ok(value !== undefined, name);
  return Number(value);
}
