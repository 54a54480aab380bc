import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { describe, it } from "node:test";
import { type Admin, type AskOptions, START, startAdmin, TOKEN } from "./admin-client.ts";

const HOUR = 3_600_000;
/** As the page's own script sends it. */
const OWN = { "sec-fetch-site": "same-origin" };

describe("who may use the admin API", () => {
  it("refuses every route of the API without a token, whatever is asked", async (t) => {
    const { ask } = await startAdmin(t);
    const { json: document } = await ask("GET", "/openapi.json", { described: false, token: null });
    const routes = Object.entries<object>(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => ({ method: method.toUpperCase(), path })),
    );
    const api = routes.filter(({ path }) => path.startsWith("/api/"));
    assert.ok(api.length >= 20, `${api.length} routes`);
    for (const { method, path } of api) {
      if (method === "POST" && path === "/api/session") continue;
      const filled = path.replace("{id}", "key_00000000000000000000").replace("{name}", "t");
      for (const headers of [{}, { authorization: "Bearer " }, { authorization: `Basic ${btoa(`admin:${TOKEN}`)}` }]) {
        const body = method === "GET" ? {} : { body: {} };
        const refused = await ask(method, filled, { ...body, headers, token: null, described: false });
        assert.ok([401, 429].includes(refused.status), `${method} ${path}`);
        if (refused.status === 429) break;
        assert.equal(refused.headers["www-authenticate"], "Bearer");
        assert.deepEqual(Object.keys(refused.json), ["error"]);
      }
      assert.equal((await ask(method, filled, { token: null })).status, 401, `${method} ${path}`);
    }
    for (const path of ["/api", "/api/", "/api/none", "/api/keys/", "/api//keys", "/API/keys", "/api/%6beys"]) {
      const { status } = await ask("GET", path, { token: null, described: false });
      assert.ok([401, 404].includes(status), `${path}: ${status}`);
    }
  });

  it("answers probes, metrics and its description without a token", async (t) => {
    let reason: string | undefined = "draining";
    const { ask } = await startAdmin(t, { notReady: () => reason });
    assert.equal((await ask("GET", "/livez", { token: null })).status, 200);
    assert.deepEqual((await ask("GET", "/readyz", { token: null })).json, { status: "unavailable", reason });
    reason = undefined;
    assert.deepEqual((await ask("GET", "/readyz", { token: null })).json, { status: "ok" });
    const metrics = await ask("GET", "/metrics", { token: null });
    assert.deepEqual([metrics.status, metrics.text], [200, "gateway_up 1\n"]);
    assert.equal((await ask("GET", "/openapi.json", { token: null, described: false })).status, 200);
  });

  it("is off without ADMIN_TOKEN, and says how to turn it on", async (t) => {
    const { ask } = await startAdmin(t, { tokenSha256: undefined });
    for (const token of [null, TOKEN, ""]) {
      const { status, json } = await ask("GET", "/api/keys", { token });
      assert.equal(status, 503);
      assert.match(json.error.message, /set ADMIN_TOKEN/);
    }
    assert.equal((await ask("POST", "/api/session", { body: { token: "" }, token: null })).status, 503);
    assert.equal((await ask("GET", "/livez")).status, 200);
    assert.equal((await ask("GET", "/metrics")).status, 200);
  });

  it("takes a token with any characters, as UTF-8", async (t) => {
    const token = "ключ – with spaces";
    const { ask } = await startAdmin(t, { tokenSha256: hash("sha256", token, "hex") });
    const bytes = Buffer.from(token).toString("latin1");
    assert.equal((await ask("GET", "/api/session", { token: bytes })).status, 200);
    assert.equal((await ask("POST", "/api/session", { token: null, body: { token } })).status, 204);
  });
});

describe("a browser's session", () => {
  it("begins with the token, ends with logging out, and its cookie is out of reach of scripts and other sites", async (t) => {
    const admin = await startAdmin(t);
    const { set, cookie, ask } = await logIn(admin);
    assert.match(
      set,
      /^bedrock_gateway_session=[A-Za-z0-9_-]{43}; Max-Age=604800; Path=\/; HttpOnly; SameSite=Strict$/,
    );
    assert.deepEqual((await ask("GET", "/api/session")).json, {
      authenticated: true,
      expires_at: new Date(START + 12 * HOUR).toISOString(),
    });
    assert.equal((await ask("POST", "/api/keys", { body: { name: "a" }, headers: OWN })).status, 201);
    const out = await ask("DELETE", "/api/session", { headers: OWN });
    assert.equal(out.status, 204);
    assert.match(String(out.headers["set-cookie"]), /Max-Age=0/);
    assert.equal((await ask("GET", "/api/session")).status, 401);
    const printed = JSON.stringify(admin.lines);
    assert.match(printed, /admin logged in/);
    assert.doesNotMatch(printed, new RegExp(`${TOKEN}|${cookie.split("=")[1]}`));
  });

  it("sends its cookie over TLS alone where the browser came by TLS", async (t) => {
    const admin = await startAdmin(t);
    const { set } = await logIn(admin, { "x-forwarded-proto": "https" });
    assert.match(set, /; Secure/);
  });

  it("lasts 12 hours from its last use, and 7 days at most", async (t) => {
    const admin = await startAdmin(t);
    const used = await logIn(admin);
    const unused = await logIn(admin);
    for (let hours = 0; hours + 11 < 7 * 24; hours += 11) {
      admin.clock.now += 11 * HOUR;
      assert.equal((await used.ask("GET", "/api/session")).status, 200, `${hours} hours`);
    }
    assert.equal((await unused.ask("GET", "/api/session")).status, 401);
    admin.clock.now = START + 7 * 24 * HOUR - 1;
    assert.equal((await used.ask("GET", "/api/session")).status, 200);
    admin.clock.now += 1;
    assert.equal((await used.ask("GET", "/api/session")).status, 401);
  });

  it("changes nothing for another site that has the browser send its cookie", async (t) => {
    const admin = await startAdmin(t);
    const { ask } = await logIn(admin);
    const own = { origin: `http://127.0.0.1:${admin.port}` };
    const theirs: Record<string, string>[] = [
      {},
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
      { "sec-fetch-site": "none" },
      { "sec-fetch-site": "cross-site", ...own },
      { origin: "https://evil.example" },
      { origin: `http://127.0.0.1:${admin.port}.evil.example` },
      { origin: "http://127.0.0.1" },
      { origin: "null" },
    ];
    for (const headers of theirs) {
      for (const [method, path] of [
        ["POST", "/api/keys"],
        ["PUT", "/api/teams/t"],
        ["DELETE", "/api/session"],
      ] as const) {
        const refused = await ask(method, path, { body: { name: "theirs" }, headers });
        assert.equal(refused.status, 403, `${method} ${path} ${JSON.stringify(headers)}`);
      }
      assert.equal((await ask("GET", "/api/keys", { headers })).status, 200);
    }
    for (const media of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]) {
      const body = '{"name":"theirs"}';
      const refused = await ask("POST", "/api/keys", {
        body,
        headers: { ...OWN, "content-type": media },
        described: false,
      });
      assert.equal(refused.status, 415, media);
    }
    assert.deepEqual(await admin.store.keys.list(), []);
    for (const headers of [OWN, own]) {
      assert.equal((await ask("POST", "/api/keys", { body: { name: "mine" }, headers })).status, 201);
    }
  });

  it("is not begun by another site", async (t) => {
    const { ask } = await startAdmin(t);
    for (const headers of [{ "sec-fetch-site": "cross-site" }, { origin: "https://evil.example" }]) {
      const refused = await ask("POST", "/api/session", { body: { token: TOKEN }, token: null, headers });
      assert.equal(refused.status, 403);
      assert.equal(refused.headers["set-cookie"], undefined);
    }
    assert.equal((await ask("POST", "/api/session", { body: {}, token: null })).status, 400);
    const form = { "content-type": "application/x-www-form-urlencoded" };
    const posted = await ask("POST", "/api/session", {
      body: `token=${TOKEN}`,
      token: null,
      headers: form,
      described: false,
    });
    assert.equal(posted.status, 415);
  });

  it("can't be guessed, nor taken over by another cookie", async (t) => {
    const admin = await startAdmin(t);
    const { cookie } = await logIn(admin);
    const changed = `${cookie.slice(0, -2)}${cookie.endsWith("AA") ? "BB" : "AA"}`;
    for (const wrong of [changed, "bedrock_gateway_session=", "bedrock_gateway_session=%ff", `other=${cookie}`]) {
      assert.equal(
        (await admin.ask("GET", "/api/keys", { token: null, headers: { cookie: wrong } })).status,
        401,
        wrong,
      );
    }
  });

  it("gives way to newer ones beyond 1,000, and those used last stay", async (t) => {
    const admin = await startAdmin(t);
    const first = await logIn(admin);
    const second = await logIn(admin);
    await first.ask("GET", "/api/session");
    for (let i = 0; i < 999; i++) await logIn(admin);
    assert.equal((await second.ask("GET", "/api/session")).status, 401);
    assert.equal((await first.ask("GET", "/api/session")).status, 200);
  });
});

describe("guessing the admin token", () => {
  it("is stopped after a few attempts, and then the right token is refused too", async (t) => {
    const admin = await startAdmin(t, { attempts: { perAddress: 5 } });
    const guess = (token: string) => admin.ask("GET", "/api/keys", { token });
    for (let i = 0; i < 5; i++) assert.equal((await guess(`wrong-${i}`)).status, 401);
    const refused = await guess("wrong-5");
    assert.equal(refused.status, 429);
    assert.ok(Number(refused.headers["retry-after"]) > 60);
    const right = await guess(TOKEN);
    assert.deepEqual([right.status, right.text], [429, refused.text]);
    const logIn = await admin.ask("POST", "/api/session", { body: { token: TOKEN }, token: null });
    assert.equal(logIn.status, 429);
    assert.equal(logIn.headers["set-cookie"], undefined);
    assert.equal((await admin.ask("GET", "/livez", { token: null })).status, 200);
  });

  it("is stopped when it comes all at once, and sooner or later whoever it comes from", async (t) => {
    const admin = await startAdmin(t, { attempts: { perAddress: 5 } });
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        admin.ask("POST", "/api/session", {
          body: { token: `wrong-${i}` },
          token: null,
          headers: { "x-forwarded-for": `10.0.0.${i}` },
        }),
      ),
    );
    assert.equal(answers.filter(({ status }) => status === 401).length, 5);
    assert.equal(answers.filter(({ status }) => status === 429).length, 35);
  });

  it("leaves those alone who are logged in, and never counts what is right", async (t) => {
    const admin = await startAdmin(t, { attempts: { perAddress: 3 } });
    const { ask } = await logIn(admin);
    for (let i = 0; i < 20; i++) assert.equal((await admin.ask("GET", "/api/session")).status, 200);
    for (let i = 0; i < 10; i++) await admin.ask("GET", "/api/keys", { token: "wrong" });
    assert.equal((await ask("GET", "/api/session")).status, 200);
  });

  it("writes the address of a wrong token into the log, and never the token", async (t) => {
    const { ask, lines } = await startAdmin(t);
    await ask("GET", "/api/keys", { token: "a-wrong-admin-token" });
    assert.deepEqual(lines, [[{ address: "127.0.0.1" }, "a wrong admin token was refused"]]);
  });
});

describe("the names of the admin port", () => {
  const status = async ({ ask }: Admin, path: string, host: string) =>
    (await ask("GET", path, { headers: { host }, described: false })).status;

  it("are addresses, localhost and what the operator listed: a page can't reach it by a name of its own", async (t) => {
    const admin = await startAdmin(t, { hosts: ["gateway.example.com"] });
    for (const host of [
      "localhost",
      "localhost:8001",
      "LOCALHOST:1",
      "a.localhost",
      "127.0.0.1",
      "[::1]:8001",
      "10.1.2.3:80",
      "Gateway.example.com:443",
    ]) {
      assert.equal(await status(admin, "/api/session", host), 200, host);
    }
    for (const host of [
      "evil.example",
      "evil.example:8001",
      "gateway.example.com.evil.example",
      "localhost.evil.example",
      "127.0.0.1.evil.example",
      "gateway",
      "[::1",
      "::1",
      "a@localhost",
      "localhost:x",
    ]) {
      assert.ok([400, 403].includes(await status(admin, "/api/session", host)), host);
      assert.ok([400, 403].includes(await status(admin, "/openapi.json", host)), host);
    }
  });

  it("may be a container's for metrics, and anything for probes", async (t) => {
    const admin = await startAdmin(t);
    assert.equal(await status(admin, "/metrics", "gateway:8001"), 200);
    assert.equal(await status(admin, "/metrics", "evil.example"), 403);
    for (const path of ["/livez", "/readyz"]) assert.equal(await status(admin, path, "probe.example"), 200);
  });
});

async function logIn(admin: Admin, headers: Record<string, string> = {}) {
  const answer = await admin.ask("POST", "/api/session", { body: { token: TOKEN }, token: null, headers });
  assert.equal(answer.status, 204);
  const set = String(answer.headers["set-cookie"]);
  const cookie = set.split(";")[0] ?? "";
  const ask = (method: string, path: string, options: AskOptions = {}) =>
    admin.ask(method, path, { ...options, token: null, headers: { cookie, ...options.headers } });
  return { set, cookie, ask };
}
