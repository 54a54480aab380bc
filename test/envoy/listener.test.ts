import assert from "node:assert/strict";
import { connect } from "node:http2";
import { after, before, describe, it } from "node:test";
import { type RunningEnvoy, runEnvoy, sendRaw } from "./running-envoy.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

describe("the listener for clients, without a service", () => {
  let envoy: RunningEnvoy;
  before(async () => {
    envoy = await runEnvoy();
  });
  after(() => envoy[Symbol.asyncDispose]());

  it("fails closed, with the error JSON that OpenAI clients read", async () => {
    for (const method of ["GET", "POST", "OPTIONS"]) {
      const body = method === "POST" ? '{"model":"m"}' : null;
      const reply = await fetch(`http://127.0.0.1:${envoy.port}/v1/chat/completions`, { method, body });
      assert.equal(reply.status, 503);
      assert.equal(reply.headers.get("content-type"), "application/json");
      assert.equal(reply.headers.get("access-control-allow-origin"), "*");
      assert.equal(reply.headers.get("server"), "bedrock-gateway");
      assert.equal(reply.headers.get("x-gateway-local-reply"), null);
      assert.deepEqual(await reply.json(), {
        error: {
          message: "The gateway's service is not available. Try again in a moment.",
          type: "server_error",
          param: null,
          code: "unavailable",
        },
      });
    }
  });

  it("fails closed on the paths of Anthropic's API with its error object and its status", async () => {
    for (const path of ["/v1/messages?beta=true", "/messages", "/v1/v1/messages", "/v1/messages/count_tokens"]) {
      const reply = await fetch(`http://127.0.0.1:${envoy.port}${path}`, { method: "POST", body: '{"model":"m"}' });
      assert.equal(reply.status, 529);
      assert.equal(reply.headers.get("content-type"), "application/json");
      assert.equal(reply.headers.get("access-control-allow-origin"), "*");
      assert.equal(reply.headers.get("x-gateway-local-reply"), null);
      assert.deepEqual(await reply.json(), {
        type: "error",
        error: {
          type: "overloaded_error",
          message: "The gateway, or Amazon Bedrock behind it, is not available. Try again in a moment.",
        },
        request_id: reply.headers.get("x-request-id"),
      });
    }
    const other = await fetch(`http://127.0.0.1:${envoy.port}/v1/messagesx`, { method: "POST", body: "{}" });
    assert.equal(other.status, 503);
    await other.text();
  });

  it("answers over HTTP/2 too", async () => {
    const session = connect(`http://127.0.0.1:${envoy.port}`);
    try {
      const stream = session.request({ ":path": "/v1/models" });
      const status = new Promise((resolve) => stream.once("response", (headers) => resolve(headers[":status"])));
      const body = Buffer.concat(await stream.toArray()).toString();
      assert.equal(await status, 503);
      assert.equal(JSON.parse(body).error.code, "unavailable");
    } finally {
      session.close();
    }
  });

  it("gives every answer a request id of its own making", async () => {
    const reply = await fetch(`http://127.0.0.1:${envoy.port}/`, { headers: { "x-request-id": "mine" } });
    await reply.text();
    const id = reply.headers.get("x-request-id") ?? "";
    assert.match(id, UUID);
    await envoy.logged(`"request_id":"${id}"`);
  });

  const many = Array.from({ length: 120 }, (_, index) => `x-${index}: a\r\n`).join("");
  const broken: readonly (readonly [name: string, bytes: string, status: number, code: string | null])[] = [
    ["garbage", "garbage\r\n\r\n", 400, null],
    ["a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400, null],
    ["no host", "GET /x HTTP/1.1\r\n\r\n", 400, null],
    ["a host that is none", "GET /x HTTP/1.1\r\nhost: a b\r\n\r\n", 400, null],
    ["a header without a colon", "GET /x HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n", 400, null],
    ["a zero byte", "GET /x HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n", 400, null],
    ["an unknown method", "BREW /x HTTP/1.1\r\nhost: a\r\n\r\n", 400, null],
    ["a length that is no number", "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: ten\r\n\r\n", 400, null],
    [
      "two framings (request smuggling)",
      "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      400,
      null,
    ],
    ["an unknown framing", "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", 501, null],
    ["HTTP/1.0", "GET /x HTTP/1.0\r\nhost: a\r\n\r\n", 426, "http_version_not_supported"],
    ["too long a path", `GET /${"a".repeat(70_000)} HTTP/1.1\r\nhost: a\r\n\r\n`, 431, "headers_too_large"],
    ["too many headers", `GET / HTTP/1.1\r\nhost: a\r\n${many}\r\n`, 431, "headers_too_large"],
    ["CONNECT", "CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n", 404, "unknown_url"],
    ["OPTIONS *", "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", 404, "unknown_url"],
  ];
  for (const [name, bytes, status, code] of broken) {
    it(`answers ${name} with JSON, without asking the service`, async () => {
      const text = await sendRaw(envoy.port, bytes);
      const [head = "", body = ""] = text.split("\r\n\r\n");
      assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} `));
      assert.match(head, /\r\ncontent-type: application\/json\r\n/);
      assert.match(head.match(/\r\nx-request-id: (.*)\r\n/)?.[1] ?? "", UUID);
      assert.doesNotMatch(head, /x-gateway-local-reply/);
      const { error } = JSON.parse(body);
      assert.equal(error.type, "invalid_request_error");
      assert.equal(error.code, code);
      assert.equal(error.param, null);
      assert.doesNotMatch(body, /codec|http1|ext_proc|\.sock/);
    });
  }

  it("reads an upgrade as the plain request that it also is", async () => {
    const upgrade = "GET /x HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    assert.match(await sendRaw(envoy.port, upgrade), /^HTTP\/1\.1 503 .*"code":"unavailable"/s);
  });

  it("logs the path that was sent, without its query and without keys", async () => {
    const headers = { authorization: "Bearer sk-secret", "x-api-key": "sk-secret", "user-agent": "tester" };
    await fetch(`http://127.0.0.1:${envoy.port}/a%2Fb//c?key=sk-secret`, { headers }).then((reply) => reply.text());
    const entry = JSON.parse(await envoy.logged("/a%2Fb//c"));
    assert.deepEqual(
      [entry.path, entry.method, entry.status, entry.user_agent, entry.client, entry.log],
      ["/a%2Fb//c", "GET", 503, "tester", "127.0.0.1", "access"],
    );
    assert.doesNotMatch(envoy.log(), /sk-secret/);
  });

  it("closes a connection that sends no request in time", async () => {
    const edit = (config: string): string =>
      config.replace("request_headers_timeout: 15s", "request_headers_timeout: 0.2s");
    await using hasty = await runEnvoy({ edit });
    const text = await sendRaw(hasty.port, "GET /x HTTP/1.1\r\nhost: a\r\n");
    assert.match(text, /^HTTP\/1\.1 408 .*"code":"request_timeout"/s);
  });
});
