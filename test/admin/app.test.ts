import assert from "node:assert/strict";
import { request } from "node:http";
import { describe, it } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { Hono } from "hono";
import { createKeys } from "../../src/access/keys.ts";
import { StoreUnavailable } from "../../src/store/store.ts";
import { patternOf, startAdmin, TOKEN } from "./admin-client.ts";

const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

describe("the admin app", () => {
  it("describes itself: every operation named once, every parameter and answer with a schema that is one", async (t) => {
    const { ask } = await startAdmin(t, { version: "1.2.3" });
    const { json: document } = await ask("GET", "/openapi.json", { described: false });
    assert.match(document.openapi, /^3\.1\.\d$/);
    assert.equal(document.info.version, "1.2.3");
    assert.ok(document.info.title.length > 0);
    const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, formats: { "date-time": true } });
    ajv.addVocabulary(["components"]);
    ajv.addSchema({ components: document.components }, "openapi");
    const compiles = (schema: object) =>
      ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"openapi#/components')));
    for (const schema of Object.values<object>(document.components.schemas)) compiles(schema);
    const ids = new Set<string>();
    const paths = Object.keys(document.paths);
    for (const [path, item] of Object.entries<object>(document.paths)) {
      const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      for (const [method, operation] of Object.entries(item)) {
        const what = `${method} ${path}`;
        assert.ok(METHODS.includes(method), what);
        assert.ok(operation.summary.length > 5 && !ids.has(operation.operationId), what);
        ids.add(operation.operationId);
        const parameters: { name: string; in: string; required?: boolean; schema: object }[] =
          operation.parameters ?? [];
        const inPath = parameters.filter((parameter) => parameter.in === "path");
        assert.deepEqual(
          inPath.map(({ name, required }) => [name, required]),
          names.map((name) => [name, true]),
          what,
        );
        for (const { schema } of parameters) compiles(schema);
        if (operation.requestBody !== undefined) {
          for (const media of Object.values<{ schema: object }>(operation.requestBody.content)) compiles(media.schema);
        }
        assert.ok(Object.keys(operation.responses).length > 0, what);
        for (const [status, response] of Object.entries<{ description: string; content?: object }>(
          operation.responses,
        )) {
          assert.match(status, /^[2-5]\d\d$/, what);
          assert.ok(response.description.length > 0, what);
          for (const media of Object.values(response.content ?? {})) compiles(media.schema);
        }
        for (const needed of operation.security ?? document.security) {
          for (const name of Object.keys(needed)) assert.ok(name in document.components.securitySchemes, what);
        }
      }
    }
    assert.equal(new Set(paths.map((path) => patternOf(path).source)).size, paths.length);
    assert.equal(JSON.stringify(document).match(/"\$ref":"(?!#\/components\/schemas\/)/), null);
  });

  it("says 404 for what is not there, and 405 with what is allowed for another method", async (t) => {
    const { ask } = await startAdmin(t);
    for (const path of ["/api/none", "/api", "/api/keys/", "/api/keys/x/y/z", "/v1/models", "/livez/x", "/.env"]) {
      const { status, json } = await ask("GET", path, { described: false });
      assert.equal(status, 404, path);
      assert.ok(json.error.message.length > 0);
    }
    const cases: [method: string, path: string, allow: string][] = [
      ["DELETE", "/api/keys", "GET, HEAD, POST"],
      ["PUT", "/api/keys/key_1", "GET, HEAD, PATCH"],
      ["GET", "/api/keys/key_1/block", "POST"],
      ["POST", "/api/usage", "GET, HEAD"],
      ["OPTIONS", "/api/teams/t", "GET, HEAD, PUT, DELETE"],
      ["POST", "/livez", "GET, HEAD"],
    ];
    for (const [method, path, allow] of cases) {
      const { status, headers } = await ask(method, path, { described: false });
      assert.deepEqual([status, headers.allow], [405, allow], `${method} ${path}`);
      assert.equal(headers["access-control-allow-origin"], undefined);
    }
    assert.equal((await ask("HEAD", "/api/keys", { described: false })).status, 200);
  });

  it("takes bodies up to 1 MiB, whole or in chunks, and goes on after a larger one", async (t) => {
    const { ask, port } = await startAdmin(t);
    const body = JSON.stringify({ name: "a", note: "x".repeat(1024 * 1024) });
    const whole = await ask("POST", "/api/keys", { body });
    assert.equal(whole.status, 413);
    const chunked = await new Promise<number | undefined>((resolve, reject) => {
      const headers = {
        authorization: `Bearer ${TOKEN}`,
        "content-type": "application/json",
        "transfer-encoding": "chunked",
      };
      const call = request({ host: "127.0.0.1", port, method: "POST", path: "/api/keys", agent: false, headers });
      call.on("response", (response) => {
        response.resume();
        resolve(response.statusCode);
        call.destroy();
      });
      call.on("error", reject);
      for (let i = 0; i < 40; i++) call.write("x".repeat(64 * 1024));
    });
    assert.equal(chunked, 413);
    const { status } = await ask("POST", "/api/keys", { body: `{"name":"a"${" ".repeat(1024 * 1024 - 20)}}` });
    assert.equal(status, 201);
  });

  it("takes bodies by their content type alone", async (t) => {
    const { ask, store } = await startAdmin(t);
    for (const media of ["text/plain", "text/csv", "application/xml", "application/jsonx", "json"]) {
      const headers = { "content-type": media };
      const { status } = await ask("POST", "/api/keys", { body: { name: "a" }, headers });
      assert.equal(status, 415, media);
    }
    assert.deepEqual(await store.keys.list(), []);
    const headers = { "content-type": "Application/JSON; charset=utf-8" };
    assert.equal((await ask("POST", "/api/keys", { body: { name: "a" }, headers })).status, 201);
  });

  it("sends its security headers with every answer, and lets nobody store the API's", async (t) => {
    const page = new Hono().get("/", (context) => context.html("<p>the page</p>"));
    const { ask } = await startAdmin(t, { page, attempts: { perAddress: 1 } });
    const asked = [
      ["GET", "/", 200, TOKEN],
      ["GET", "/livez", 200, null],
      ["GET", "/metrics", 200, null],
      ["GET", "/none", 404, null],
      ["GET", "/api/keys", 200, TOKEN],
      ["GET", "/api/keys", 401, null],
      ["GET", "/api/none", 404, TOKEN],
      ["PUT", "/api/keys", 405, TOKEN],
      ["GET", "/api/keys", 401, "wrong"],
      ["GET", "/api/keys", 429, "wrong"],
    ] as const;
    for (const [method, path, status, token] of asked) {
      const { headers, status: got } = await ask(method, path, { token, described: false });
      assert.equal(got, status, `${method} ${path}`);
      assert.equal(headers["x-content-type-options"], "nosniff");
      assert.equal(headers["referrer-policy"], "no-referrer");
      assert.equal(headers["x-frame-options"], "DENY");
      const policy = String(headers["content-security-policy"]);
      assert.match(policy, /default-src 'self'/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.doesNotMatch(policy, /unsafe|\*/);
      if (path.startsWith("/api")) assert.equal(headers["cache-control"], "no-store", `${method} ${path}`);
    }
  });

  it("says that the database or the gateway failed, and keeps the reason for the log", async (t) => {
    let failure: Error = new StoreUnavailable("postgres://user:secret@db is gone");
    const fails = () => Promise.reject(failure);
    const { ask, lines, store } = await startAdmin(t);
    const keys = createKeys(
      { keys: { ...store.keys, list: fails } },
      { now: Date.now, randomBytes: () => new Uint8Array(), by: "admin" },
    );
    assert.deepEqual(lines, []);
    const broken = await startAdmin(t, { keys });
    const unavailable = await broken.ask("GET", "/api/keys");
    assert.equal(unavailable.status, 503);
    assert.ok(Number(unavailable.headers["retry-after"]) > 0);
    failure = new TypeError("secret is not a function");
    const failed = await broken.ask("GET", "/api/keys");
    assert.equal(failed.status, 500);
    for (const { text } of [unavailable, failed]) assert.doesNotMatch(text, /secret|postgres|TypeError/);
    assert.equal(broken.lines.length, 2);
    assert.equal((await ask("GET", "/api/keys")).status, 200);
  });

  it("keeps paths that look like others where they are", async (t) => {
    const { ask } = await startAdmin(t);
    const odd = [
      "//api/keys",
      "/api%2Fkeys",
      "/;/api/keys",
      "/api/keys%00",
      "/api/keys%ff",
      "/api/keys;x=1",
      "/%61pi/none",
    ];
    for (const path of odd) {
      const { status } = await ask("GET", path, { described: false, token: null });
      assert.ok([401, 404].includes(status), `${path}: ${status}`);
    }
    const { status } = await ask("GET", `/api/keys?${"x".repeat(20_000)}`, { described: false });
    assert.equal(status, 431);
  });
});
