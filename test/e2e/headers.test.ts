/** Which headers go through: none of the client's to Bedrock, few of Bedrock's to the client, a request id on every answer. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, describe, it } from "node:test";
import { says } from "../../src/simulator/simulator.ts";
import { ask, startTestGateway, uniqueModel } from "./harness.ts";
import { rawRequest } from "./raw-http.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** What Bedrock may see of a request. */
const TO_BEDROCK = [
  "accept",
  "authorization",
  "content-length",
  "content-type",
  "host",
  "x-amz-content-sha256",
  "x-amz-date",
  "x-request-id",
];

const CLIENT_HEADERS = {
  cookie: "session=secret",
  "x-api-key": gateway.key,
  "api-key": gateway.key,
  "user-agent": "OpenAI/JS 6.0",
  "x-stainless-lang": "js",
  "x-stainless-retry-count": "1",
  "x-forwarded-for": "203.0.113.9",
  "x-forwarded-proto": "https",
  "x-forwarded-host": "evil.example",
  forwarded: "for=203.0.113.9",
  via: "1.1 proxy",
  "x-amz-date": "20200101T000000Z",
  "x-amz-security-token": "client-token",
  "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
  "x-amzn-bedrock-guardrailidentifier": "off",
  "accept-language": "de",
  accept: "text/html",
  origin: "https://app.example",
  referer: "https://app.example/chat",
  te: "trailers",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  "x-envoy-upstream-rq-timeout-ms": "1",
  "x-envoy-retry-on": "5xx",
  "x-envoy-original-path": "/x",
  "x-envoy-original-dst-host": "127.0.0.1:1",
  "x-envoy-attempt-count": "7",
  "x-envoy-unheard-of": "x",
  "x-gateway-upstream": "plaintext",
  "x-gateway-local-reply": "UF",
  "openai-organization": "org-1",
  "anthropic-version": "2023-06-01",
};

describe("headers", { concurrency: true }, () => {
  for (const stream of [false, true]) {
    it(`of the client stay at the gateway${stream ? ", for a stream too" : ""}`, async () => {
      const model = uniqueModel();
      const body = JSON.stringify(ask(model, { stream, messages: [{ role: "user", content: "Grüße, 👋" }] }));
      const headers = { ...CLIENT_HEADERS, "content-type": "application/json; charset=utf-8" };
      const reply = await rawRequest(`${gateway.url}/v1/chat/completions`, {
        method: "POST",
        headers: { ...headers, authorization: `Bearer ${gateway.key}` },
        body,
      });
      assert.equal(reply.status, 200, reply.body);
      const request = await gateway.simulator.waitFor(({ modelId }) => modelId === model);
      assert.deepEqual(Object.keys(request.headers).sort(), TO_BEDROCK);
      assert.deepEqual(request.leaks, []);
      assert.equal(request.headers.host, new URL(gateway.simulator.url).host);
      assert.match(request.headers.authorization ?? "", /^AWS4-HMAC-SHA256 Credential=AKIDSIMULATOR\//);
      assert.equal(request.headers["content-length"], String(Buffer.byteLength(request.body)));
      assert.equal(request.headers["content-type"], "application/json");
      assert.equal(request.headers["x-request-id"], reply.headers["x-request-id"]);
      assert.ok(!JSON.stringify(request.headers).includes("sk-"));
    });
  }

  it("of Bedrock do not reach the client, but its request id does", async () => {
    const model = uniqueModel();
    const headers = { "x-amzn-bedrock-invocation-latency": "5", "set-cookie": "a=b", "x-custom": "1" };
    gateway.simulator.scriptModel(model, [says("Hi", { headers }), says("Hi", { headers })]);
    for (const stream of [false, true]) {
      const response = await gateway.chat(ask(model, { stream }));
      await response.text();
      for (const name of Object.keys(headers)) assert.equal(response.headers.get(name), null, name);
      assert.match(response.headers.get("x-amzn-requestid") ?? "", UUID);
      assert.equal(response.headers.get("server"), "bedrock-gateway");
      assert.equal(response.headers.get("x-envoy-upstream-service-time"), null);
    }
  });

  it("hold a request id of the gateway's own on every answer", async () => {
    const chat = "/v1/chat/completions";
    const authorization = `Bearer ${gateway.key}`;
    const body = JSON.stringify(ask(uniqueModel()));
    const post = { method: "POST", headers: { authorization, "x-request-id": "from-the-client" } };
    const replies = await Promise.all([
      rawRequest(gateway.url + chat, { ...post, body }),
      rawRequest(gateway.url + chat, { ...post, body: JSON.stringify(ask(uniqueModel(), { stream: true })) }),
      rawRequest(gateway.url + chat, { ...post, body: "{" }),
      rawRequest(gateway.url + chat, { method: "POST", body }),
      rawRequest(gateway.url + chat),
      rawRequest(`${gateway.url}/nowhere`),
      rawRequest(gateway.url + chat, { method: "OPTIONS", headers: { origin: "https://app.example" } }),
      rawRequest(`${gateway.url}/healthz`, { headers: { "x-request-id": "from-the-client" } }),
      rawRequest(`${gateway.url}/`, { method: "HEAD" }),
      rawRequest(`${gateway.url}/v1/models`, { headers: { authorization } }),
      rawRequest(gateway.url + chat, { ...post, body: Buffer.alloc(33 * 1024 * 1024, "x") }),
    ]);
    assert.deepEqual(
      replies.map(({ status }) => status),
      [200, 200, 400, 401, 405, 404, 204, 200, 200, 200, 413],
    );
    const ids = replies.map(({ headers }) => String(headers["x-request-id"]));
    for (const id of ids) assert.match(id, UUID);
    assert.equal(new Set(ids).size, ids.length);
    for (const [index, id] of ids.entries()) {
      assert.equal((await gateway.accessLine(id)).status, replies[index]?.status);
    }
    for (const id of ids.slice(0, 2)) {
      assert.equal((await gateway.closedCall(id)).id, id);
      assert.equal((await gateway.serviceLine(id)).msg, "call");
    }
    assert.equal((await gateway.serviceLine(ids[3] ?? "")).error, "invalid_api_key");
  });

  it("hold a request id on what Envoy refuses by itself", async () => {
    const { port } = new URL(gateway.url);
    for (const text of ["GET / HTTP/1.1\r\n\r\n", "nonsense\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"]) {
      const answer = await sendText(Number(port), text);
      assert.match(answer, /^HTTP\/1\.1 4\d\d /, text);
      assert.match(answer, /\r\nx-request-id: [0-9a-f-]{36}\r\n/, text);
      assert.match(answer, /\{"error":\{.*"message":"[^"]+"/, text);
      assert.doesNotMatch(answer, /x-gateway-local-reply/);
    }
  });
});

function sendText(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    let answer = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk) => {
      answer += chunk;
      if (answer.includes("}}")) socket.end();
    });
    socket.once("error", reject);
    socket.once("close", () => resolve(answer));
  });
}
