/** Clients that try to get in without a key, to choose where requests go, to use what their key may not, or to break things. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect as connectH2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { after, describe, it } from "node:test";
import { isJsonObject } from "../../src/json.ts";
import { ask, readError, startTestGateway, uniqueModel, until } from "./harness.ts";

const gateway = await startTestGateway({ judge: false, env: { LOG_LEVEL: "trace" } });
after(() => gateway.stop());

const PORT = Number(new URL(gateway.url).port);
const AUTHORIZED = `Authorization: Bearer ${gateway.key}`;
const PROMPT = "a prompt that no log may hold";

/** The models of requests that Bedrock must not see. */
const neverAsked = new Set<string>();

describe("a request that goes nowhere", { concurrency: true }, () => {
  const cases: Record<string, [start: string, headers: string[], status: number]> = {
    "without a key": ["POST /v1/chat/completions", [], 401],
    "with what looks like the service's metadata": [
      "POST /v1/chat/completions",
      ["route: tls", "x-gateway-upstream: plaintext", "x-gateway-local-reply: UF", "bedrock_gateway: route=tls"],
      401,
    ],
    "to a path of Bedrock's that runs no model": ["POST /guardrail/x/version/1/apply", [AUTHORIZED], 404],
    "to an encoded path": ["POST /v1/%63hat/completions", [AUTHORIZED], 404],
    "to a path with an encoded slash": ["POST /v1/chat/completions%2f", [AUTHORIZED], 404],
    "to a path with dots": ["POST /healthz/..;/v1/chat/completions", [AUTHORIZED], 404],
    "to another host, without a key": ["POST http://127.0.0.1:1/v1/chat/completions", [], 401],
    "with a key twice": ["POST /v1/chat/completions", [AUTHORIZED, AUTHORIZED], 401],
    "with a wrong key before a right one": [
      "POST /v1/chat/completions",
      ["Authorization: Bearer no", `x-api-key: ${gateway.key}`],
      401,
    ],
    "with a key in a header with an underscore": ["POST /v1/chat/completions", [`x_api_key: ${gateway.key}`], 401],
    "as a tunnel": ["CONNECT 127.0.0.1:22", [AUTHORIZED], 404],
    "as TRACE": ["TRACE /v1/chat/completions", [AUTHORIZED], 405],
    "as a WebSocket": ["GET /v1/chat/completions", [AUTHORIZED, "Upgrade: websocket", "Connection: Upgrade"], 405],
    "with two lengths": ["POST /v1/chat/completions", [AUTHORIZED, "Content-Length: 3"], 400],
    "with a length and chunks": ["POST /v1/chat/completions", [AUTHORIZED, "Transfer-Encoding: chunked"], 400],
    "with a NUL in a header": ["POST /v1/chat/completions", [AUTHORIZED, "x-a: b\0c"], 400],
    "with a space before a colon": ["POST /v1/chat/completions", [`Authorization : Bearer ${gateway.key}`], 400],
  };
  for (const [name, [start, headers, status]] of Object.entries(cases)) {
    it(`${name}, and is told why`, async () => {
      const model = uniqueModel();
      neverAsked.add(model);
      const body = JSON.stringify(ask(model));
      const length = start.startsWith("POST") ? [`Content-Length: ${Buffer.byteLength(body)}`] : [];
      const lines = [`${start} HTTP/1.1`, "Host: x", "Connection: close", ...length, ...headers, "", ""];
      const reply = await rawReply(lines.join("\r\n") + (start.startsWith("POST") ? body : ""));
      const [head = "", text = ""] = reply.split("\r\n\r\n", 2);
      assert.match(head, new RegExp(`^HTTP/1.1 ${status} `), reply);
      const error: unknown = JSON.parse(/\{.*\}/s.exec(text)?.[0] ?? "");
      assert.ok(isJsonObject(error) && isJsonObject(error.error), text);
      assert.match(head, /^x-request-id: \S/m);
    });
  }
});

it("the host that a client names is not where its request goes", async () => {
  const client = connectH2(gateway.url);
  const model = uniqueModel();
  const status = await new Promise((resolve, reject) => {
    const stream = client.request({
      ":method": "POST",
      ":path": "/v1/chat/completions",
      ":authority": "127.0.0.1:1",
      host: "evil.example",
      authorization: `Bearer ${gateway.key}`,
    });
    stream.once("response", (headers) => resolve(headers[":status"]));
    stream.once("error", reject);
    stream.resume();
    stream.end(JSON.stringify(ask(model)));
  });
  client.close();
  assert.equal(status, 200);
  const { headers } = await gateway.simulator.waitFor(({ modelId }) => modelId === model);
  assert.equal(headers.host, new URL(gateway.simulator.url).host);
});

describe("a key for some models", { concurrency: true }, async () => {
  const { secret } = await gateway.keys.create({ name: "some", models: ["amazon.nova-lite-v1:0", "anthropic.*"] });
  const refused = {
    403: [
      "us.amazon.nova-lite-v1:0",
      "AMAZON.NOVA-LITE-V1:0",
      "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
      "amazon.nova-lite-v1:0/",
      "xanthropic.claude",
    ],
    404: [
      " amazon.nova-lite-v1:0",
      "amazon.nova-lite-v1:0?",
      "amazon.nova-lite-v1%3A0",
      "anthropic.\n",
      "anthropic./../a",
      "*",
    ],
  };
  for (const [status, models] of Object.entries(refused)) {
    for (const model of models) {
      it(`does not open ${JSON.stringify(model)}`, async () => {
        assert.equal((await readError(await gateway.chat(ask(model), { key: secret }))).status, Number(status));
      });
    }
  }
  it("opens those of its list", async () => {
    const response = await gateway.chat(ask("amazon.nova-lite-v1:0"), { key: secret });
    assert.equal(response.status, 200, await response.text());
  });
});

describe("a body made to hurt", () => {
  const hi = `"messages":[{"role":"user","content":"Hi"}]`;
  const lone = "\\ud800";
  const tool = `{"type":"function","function":{"name":"${lone}","description":"${lone}","parameters":{"properties":{"${lone}":{}}}}}`;
  const refs = Object.fromEntries(
    Array.from({ length: 20_000 }, (_, n) => [`d${n}`, { anyOf: [{ $ref: `#/$defs/d${n + 1}` }] }]),
  );
  const cases: Record<string, [body: (model: string) => string | Uint8Array, status: number]> = {
    "of ten million values": [() => `{"model":"m",${hi},"x":[${"{},".repeat(10_000_000)}1234567890123456789]}`, 400],
    "of 400,000 levels": [
      (model) => `{"model":"${model}",${hi},"x":${"[".repeat(400_000)}${"]".repeat(400_000)}}`,
      200,
    ],
    "with a schema of 20,000 references": [
      () =>
        JSON.stringify({
          ...ask("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
          response_format: {
            type: "json_schema",
            json_schema: {
              name: "x",
              schema: { type: "object", properties: { a: { $ref: "#/$defs/d0" } }, $defs: refs },
            },
          },
        }),
      200,
    ],
    "of half characters": [
      (model) => `{"model":"${model}","messages":[{"role":"system","content":"${lone}"},
        {"role":"user","content":[{"type":"text","text":"${lone}"}]},
        {"role":"assistant","tool_calls":[{"id":"${lone}","function":{"name":"${lone}","arguments":"{\\"a\\":\\"${lone}\\"}"}}]},
        {"role":"tool","tool_call_id":"${lone}","content":"${lone}"}],
        "tools":[${tool}],"user":"${lone}","metadata":{"${lone}":"${lone}"}}`,
      200,
    ],
    "in UTF-16": [() => Buffer.from(`{${hi}}`, "utf16le"), 400],
    "with numbers that are none": [() => `{"model":"m",${hi},"temperature":1e400}`, 400],
    "with a name that is a path": [() => JSON.stringify(ask("../../etc/passwd")), 404],
  };
  for (const [name, [body, status]] of Object.entries(cases)) {
    it(`${name} is ${status === 200 ? "answered" : "refused"}, and nobody waits for it`, async () => {
      const [response, other] = await Promise.all([
        gateway.chat(body(uniqueModel())),
        timed(gateway.chat(ask(uniqueModel()))),
      ]);
      assert.equal(response.status, status, await response.text());
      assert.ok(other < 2_000, `another request took ${other} ms`);
    });
  }
});

it("60,000 slashes hold nobody up, with or without a key", async () => {
  const path = `GET /v1${"/".repeat(58_000)}x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
  const took = await timed(Promise.all([rawReply(path), rawReply(path), gateway.chat(ask(uniqueModel()))]));
  assert.ok(took < 2_000, `took ${took} ms`);
});

it("uploads that are broken off count as requests, and leave nothing behind", async () => {
  const { secret } = await gateway.keys.create({ name: "five", rpm: 5 });
  const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${secret}\r\nContent-Length: 100\r\n\r\n{`;
  const sockets = await Promise.all(Array.from({ length: 5 }, () => open(head)));
  await until("five requests", async () => ((await active()) === 5 ? true : undefined));
  for (const socket of sockets) socket.destroy();
  await until("the end of all requests", async () => ((await active()) === 0 ? true : undefined));
  const error = await readError(await gateway.chat(ask(uniqueModel()), { key: secret }));
  assert.deepEqual([error.status, error.code], [429, "rate_limit_exceeded"]);
});

it("500 idle connections hold nobody up", async () => {
  const idle = await Promise.all(Array.from({ length: 500 }, () => open("")));
  const took = await timed(gateway.chat(ask(uniqueModel())));
  for (const socket of idle) socket.destroy();
  assert.ok(took < 1_000, `took ${took} ms`);
});

it("answers that nobody reads stay with Bedrock, not in Envoy's memory", async () => {
  const model = uniqueModel();
  const delta = { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: "x".repeat(50_000) } } };
  gateway.simulator.scriptModel(model, {
    kind: "events",
    times: Number.POSITIVE_INFINITY,
    steps: [
      { event: "messageStart", payload: { role: "assistant" } },
      ...Array.from({ length: 300 }, () => delta),
      { event: "messageStop", payload: { stopReason: "end_turn" } },
    ],
  });
  const body = JSON.stringify(ask(model, { stream: true }));
  const before = envoyMegabytes();
  const request = `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n${AUTHORIZED}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const unread = await Promise.all(Array.from({ length: 40 }, () => open(request)));
  for (const socket of unread) socket.pause();
  let size = 0;
  await until("an end of the growth", async () => {
    const last = size;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    size = envoyMegabytes();
    return size - last < 2 ? true : undefined;
  });
  for (const socket of unread) socket.destroy();
  assert.ok(size - before < 250, `Envoy grew by ${size - before} MB`);
});

it("after all of that Bedrock has seen nothing that it should not, every row is closed, and no log holds a key, a prompt or a fault", async () => {
  await (await gateway.chat({ ...ask(uniqueModel()), messages: [{ role: "user", content: PROMPT }] })).text();
  await until("the end of all requests", async () => ((await active()) === 0 ? true : undefined));
  await until("closed rows", async () =>
    (await gateway.usage()).every(({ closing }) => closing !== undefined) ? true : undefined,
  );
  const logs = JSON.stringify(gateway.serviceLog()) + gateway.envoyLog();
  assert.equal(logs.includes(gateway.key) || logs.includes(gateway.key.slice(3)), false, "a key in a log");
  assert.equal(logs.includes(PROMPT), false, "a prompt in a log");
  assert.deepEqual(
    gateway.simulator.requests.filter(({ modelId }) => neverAsked.has(modelId ?? "")),
    [],
  );
  assert.deepEqual(
    gateway.serviceLog().filter(({ level }) => level === "error"),
    [],
  );
});

function open(bytes: string): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect(PORT, "127.0.0.1", () => socket.write(bytes, () => resolve(socket)));
    socket.on("error", () => {});
  });
}

/** What comes back until the gateway closes the connection. */
async function rawReply(bytes: string): Promise<string> {
  const socket = connect(PORT, "127.0.0.1");
  socket.write(Buffer.from(bytes, "latin1"));
  socket.setTimeout(5_000, () => socket.destroy());
  const chunks: Buffer[] = await socket.toArray();
  return Buffer.concat(chunks).toString("latin1");
}

async function timed(work: Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work;
  return performance.now() - start;
}

async function active(): Promise<number> {
  const { body } = await gateway.standalone.envoy.admin("GET", "/stats?filter=^http\\.clients\\.downstream_rq_active$");
  return Number(/: (\d+)/.exec(body)?.[1]);
}

function envoyMegabytes(): number {
  const status = readFileSync(`/proc/${gateway.standalone.envoy.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}
