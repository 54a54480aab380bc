/** Paths, methods and browsers. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { fails } from "../../src/simulator/simulator.ts";
import { ask, readError, startTestGateway, uniqueModel } from "./harness.ts";
import { rawRequest } from "./raw-http.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());

const CHAT = "/v1/chat/completions";
const ORIGIN = { origin: "https://app.example" };

describe("paths", { concurrency: true }, () => {
  for (const path of [
    CHAT,
    "/chat/completions",
    "/v1/v1/chat/completions",
    "/v1/chat/completions/",
    "/v1/chat/completions?api-version=2024-10-21&x=%20%2F",
    "/chat/completions/?beta=true",
  ]) {
    it(`POST ${path} is a chat`, async () => {
      const model = uniqueModel();
      const response = await gateway.chat(ask(model), { path });
      assert.equal(response.status, 200, await response.text());
      const { path: sent } = await gateway.simulator.waitFor(({ modelId }) => modelId === model);
      assert.equal(sent, `/model/${encodeURIComponent(model)}/converse`);
    });
  }

  for (const path of [
    "/nowhere",
    "/v1",
    "/v1x/chat/completions",
    "/v1/v1/v1/chat/completions",
    "/v1//chat/completions",
  ]) {
    it(`POST ${path} is unknown, in JSON, whoever asks`, async () => {
      for (const key of [gateway.key, null]) {
        const error = await readError(await gateway.chat(ask("any"), { path, key }));
        const expected = path === "/v1" ? [405, "method_not_allowed"] : [404, "unknown_url"];
        assert.deepEqual([error.status, error.code], expected);
      }
    });
  }

  for (const [method, path, allow] of [
    ["GET", CHAT, "POST, OPTIONS"],
    ["PUT", CHAT, "POST, OPTIONS"],
    ["DELETE", "/v1/models/some-model", "GET, HEAD, OPTIONS"],
    ["POST", "/v1/models", "GET, HEAD, OPTIONS"],
    ["PATCH", "/healthz", "GET, HEAD, OPTIONS"],
  ] as const) {
    it(`${method} ${path} is refused and told what is allowed`, async () => {
      const error = await readError(await fetch(gateway.url + path, { method }));
      assert.deepEqual([error.status, error.code, error.headers.get("allow")], [405, "method_not_allowed", allow]);
    });
  }

  it("GET / says what this is, and HEAD / the same without a body", async () => {
    const response = await fetch(`${gateway.url}/`);
    assert.equal(response.status, 200);
    assert.match(await response.text(), /"name":"Bedrock Gateway"/);
    const head = await rawRequest(`${gateway.url}/`, { method: "HEAD" });
    assert.deepEqual([head.status, head.body], [200, ""]);
  });

  it("GET /healthz needs no key", async () => {
    const response = await fetch(`${gateway.url}/healthz`);
    assert.deepEqual([response.status, await response.text()], [200, '{"status":"ok"}']);
  });
});

describe("a browser", { concurrency: true }, () => {
  it("gets its preflight answered without a key, with the headers that it asked for", async () => {
    const reply = await rawRequest(gateway.url + CHAT, {
      method: "OPTIONS",
      headers: {
        ...ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang,x-anything",
      },
    });
    assert.deepEqual([reply.status, reply.body], [204, ""]);
    assert.equal(reply.headers["access-control-allow-origin"], "*");
    assert.equal(reply.headers["access-control-allow-methods"], "POST");
    assert.equal(
      reply.headers["access-control-allow-headers"],
      "authorization,content-type,x-stainless-lang,x-anything",
    );
    assert.ok(Number(reply.headers["access-control-max-age"]) > 0);
  });

  it("may read answers, streams and errors, and their headers", async () => {
    const failing = uniqueModel();
    gateway.simulator.scriptModel(failing, fails("ValidationException", { message: "No." }));
    const { secret } = await gateway.keys.create({ name: "limited", rpm: 1 });
    const limited = await gateway.chat(ask(uniqueModel()), { key: secret, headers: ORIGIN });
    const responses = [
      limited,
      await gateway.chat(ask(uniqueModel()), { key: secret, headers: ORIGIN }),
      ...(await Promise.all([
        gateway.chat(ask(uniqueModel(), { stream: true }), { headers: ORIGIN }),
        gateway.chat(ask(failing), { headers: ORIGIN }),
        gateway.chat("{", { headers: ORIGIN }),
        gateway.chat(ask("any"), { key: null, headers: ORIGIN }),
        gateway.chat(ask("any"), { path: "/nowhere", headers: ORIGIN }),
        fetch(`${gateway.url}/v1/models`, { headers: { ...ORIGIN, authorization: `Bearer ${gateway.key}` } }),
      ])),
    ];
    assert.deepEqual(
      responses.map(({ status }) => status),
      [200, 429, 200, 400, 400, 401, 404, 200],
    );
    for (const response of responses) {
      await response.text();
      assert.equal(response.headers.get("access-control-allow-origin"), "*");
      const exposed = (response.headers.get("access-control-expose-headers") ?? "").split(", ");
      for (const name of ["x-request-id", "retry-after", "x-ratelimit-remaining-requests", "x-ratelimit-limit-tokens"])
        assert.ok(exposed.includes(name), name);
    }
    assert.equal(limited.headers.get("x-ratelimit-remaining-requests"), "0");
  });

  it("may read that its request was too large", async () => {
    const reply = await rawRequest(gateway.url + CHAT, {
      method: "POST",
      headers: { ...ORIGIN, authorization: `Bearer ${gateway.key}` },
      body: Buffer.alloc(33 * 1024 * 1024, "x"),
    });
    assert.equal(reply.status, 413);
    assert.equal(reply.headers["access-control-allow-origin"], "*");
  });

  it("is not given cross-origin headers when it is none", async () => {
    const response = await gateway.chat(ask(uniqueModel()));
    await response.text();
    assert.equal(response.headers.get("access-control-allow-origin"), null);
  });
});
