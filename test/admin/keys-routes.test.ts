import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sha256Hex } from "../../src/access/keys.ts";
import { runCommands } from "../commands/run-commands.ts";
import { START, startAdmin } from "./admin-client.ts";

const NO_SUCH = "key_00000000000000000000";

describe("keys over HTTP", () => {
  it("makes a key with all that it can have, and shows its secret once", async (t) => {
    const { ask, store } = await startAdmin(t);
    const settings = {
      name: "alice",
      owner: "alice@example.com",
      team: "platform",
      tags: ["backend", "Köln"],
      note: "her laptop",
      models: ["anthropic.*"],
      rpm: 60,
      tpm: 100_000,
      parallel: 4,
      budget_usd: "50",
      soft_budget_usd: "0.000001",
      budget_period: "day",
      expires_at: "2027-01-01T00:00:00.000Z",
    };
    const made = await ask("POST", "/api/keys", { body: settings });
    assert.equal(made.status, 201);
    const { key, ...shown } = made.json;
    assert.deepEqual({ ...shown, ...settings }, shown);
    assert.equal((await store.keys.findBySecret(sha256Hex(key)))?.key.id, shown.id);
    const { json } = await ask("GET", `/api/keys/${shown.id}`);
    assert.deepEqual(json, { ...shown, spent_usd: "0" });
    assert.deepEqual((await ask("GET", "/api/keys")).json, [shown]);
    assert.equal(json.created_by, "admin");
    assert.equal(json.status, "active");
  });

  it("shows a key as the command line does", async (t) => {
    const { ask, url } = await startAdmin(t, { now: Date.now });
    const args = ["--team", "t", "--budget", "12.5", "--tags", "a,b", "--json"];
    const created = await runCommands(url, ["keys", "create", "--name", "bob", ...args]);
    assert.equal(created.code, 0, created.stderr);
    const { id } = JSON.parse(created.stdout);
    const shown = await runCommands(url, ["keys", "show", id, "--json"]);
    const { json } = await ask("GET", `/api/keys/${id}`);
    assert.deepEqual(json, JSON.parse(shown.stdout));
    assert.deepEqual(Object.keys(json), Object.keys(JSON.parse(shown.stdout)));
    assert.equal(json.budget_usd, "12.5");
    const listed = await runCommands(url, ["keys", "list", "--json"]);
    assert.deepEqual((await ask("GET", "/api/keys")).json, JSON.parse(listed.stdout));
    const teams = await runCommands(url, ["teams", "list", "--json"]);
    assert.deepEqual((await ask("GET", "/api/teams")).json, JSON.parse(teams.stdout));
  });

  it("changes what is given, takes away what is null, and leaves the rest", async (t) => {
    const { ask } = await startAdmin(t);
    const { json } = await ask("POST", "/api/keys", { body: { name: "alice", rpm: 5, team: "t", note: "n" } });
    const path = `/api/keys/${json.id}`;
    const changed = await ask("PATCH", path, { body: { rpm: null, team: "u" } });
    assert.equal(changed.status, 200);
    const { rpm, team, note, name } = changed.json;
    assert.deepEqual({ rpm, team, note, name }, { rpm: null, team: "u", note: "n", name: "alice" });
    assert.deepEqual((await ask("PATCH", path, { body: {} })).json, changed.json);
    assert.deepEqual((await ask("GET", path)).json, { ...changed.json, spent_usd: null });
  });

  it("blocks, unblocks and revokes, and says when a state forbids it", async (t) => {
    const { ask, store } = await startAdmin(t);
    const { json } = await ask("POST", "/api/keys", { body: { name: "alice" } });
    const act = (action: string) => ask("POST", `/api/keys/${json.id}/${action}`);
    assert.equal((await act("block")).json.status, "blocked");
    assert.equal((await act("unblock")).json.status, "active");
    assert.equal((await act("revoke")).json.revoked_at, new Date(START).toISOString());
    assert.equal((await act("revoke")).status, 200);
    for (const action of ["block", "unblock", "rotate"]) {
      const { status, json: refused } = await act(action);
      assert.equal(status, 409, action);
      assert.match(refused.error.message, /revoked/);
    }
    assert.equal((await store.keys.get(json.id))?.blockedAt, null);
  });

  it("rotates: the new secret works, the old one as long as asked", async (t) => {
    const { ask, store } = await startAdmin(t);
    const { json } = await ask("POST", "/api/keys", { body: { name: "alice" } });
    const rotated = await ask("POST", `/api/keys/${json.id}/rotate`, { body: { grace: "1h" } });
    assert.equal(rotated.status, 200);
    assert.notEqual(rotated.json.key, json.key);
    assert.equal((await store.keys.findBySecret(sha256Hex(json.key)))?.replacedAt, START + 3_600_000);
    assert.equal((await store.keys.findBySecret(sha256Hex(rotated.json.key)))?.replacedAt, null);
    const wrong = await ask("POST", `/api/keys/${json.id}/rotate`, { body: { grace: "soon" } });
    assert.equal(wrong.status, 400);
    assert.equal(wrong.json.error.field, "grace");
    const again = await ask("POST", `/api/keys/${json.id}/rotate`);
    assert.equal((await store.keys.findBySecret(sha256Hex(rotated.json.key)))?.replacedAt, START);
    assert.equal(again.status, 200);
  });

  it("names the setting at fault", async (t) => {
    const { ask, store } = await startAdmin(t);
    const cases: [field: string | undefined, body: unknown][] = [
      ["name", {}],
      ["name", { name: "" }],
      ["name", { name: 5 }],
      ["name", { name: "key_x" }],
      ["name", { name: "a\u202eb" }],
      ["name", { name: "x".repeat(3000) }],
      ["team", { name: "a", team: "" }],
      ["tags", { name: "a", tags: "b" }],
      ["tags.0", { name: "a", tags: [5] }],
      ["tags", { name: "a", tags: Array.from({ length: 2000 }, () => "t") }],
      ["models", { name: "a", models: ["with space"] }],
      ["rpm", { name: "a", rpm: 0 }],
      ["rpm", { name: "a", rpm: 1.5 }],
      ["rpm", { name: "a", rpm: "5" }],
      ["tpm", { name: "a", tpm: 1e300 }],
      ["budget_usd", { name: "a", budget_usd: "-1" }],
      ["budget_usd", { name: "a", budget_usd: "1e3" }],
      ["budget_usd", { name: "a", budget_usd: "0.0000001" }],
      ["budget_usd", { name: "a", budget_usd: "9".repeat(39) }],
      ["budget_usd", { name: "a", budget_usd: { $gt: 0 } }],
      ["soft_budget_usd", { name: "a", budget_usd: "1", soft_budget_usd: "2" }],
      ["budget_period", { name: "a", budget_period: "week" }],
      ["expires_at", { name: "a", expires_at: "2020-01-01" }],
      ["expires_at", { name: "a", expires_at: "soon" }],
      ["id", { name: "a", id: NO_SUCH }],
      ["key", { name: "a", key: "sk-mine" }],
      ["__proto__", '{"name":"a","__proto__":{"rpm":1}}'],
      [undefined, []],
      [undefined, "null"],
      [undefined, '"text"'],
      [undefined, "{"],
      [undefined, "[".repeat(100_000)],
    ];
    for (const [field, body] of cases) {
      const { status, json } = await ask("POST", "/api/keys", { body });
      const what = JSON.stringify(body).slice(0, 100);
      assert.equal(status, 400, what);
      assert.equal(json.error.field, field, what);
      assert.ok(json.error.message.length > 5 && json.error.message.length < 500, what);
    }
    assert.deepEqual(await store.keys.list(), []);
  });

  it("filters the list by team, tag and status", async (t) => {
    const { ask } = await startAdmin(t);
    await ask("POST", "/api/keys", { body: { name: "a", team: "x y", tags: ["ü"] } });
    const { json } = await ask("POST", "/api/keys", { body: { name: "b" } });
    await ask("POST", `/api/keys/${json.id}/block`);
    const names = async (query: string) =>
      (await ask("GET", `/api/keys?${query}`)).json.map(({ name }: { name: string }) => name);
    assert.deepEqual(await names("team=x%20y"), ["a"]);
    assert.deepEqual(await names("tag=%C3%BC"), ["a"]);
    assert.deepEqual(await names("status=blocked"), ["b"]);
    for (const query of ["status=gone", "teams=x", "team=a&team=b", `team=${"x".repeat(3000)}`]) {
      assert.equal((await ask("GET", `/api/keys?${query}`)).status, 400, query);
    }
  });

  it("finds no key by a name, nor by a path that means another", async (t) => {
    const { ask } = await startAdmin(t);
    await ask("POST", "/api/keys", { body: { name: "alice" } });
    for (const id of ["alice", NO_SUCH, "key_", "%2e%2e", "%00", "%F0%9F", "key_%2500", "a%2Fb", "'%20OR%201=1--"]) {
      assert.equal((await ask("GET", `/api/keys/${id}`, { described: false })).status, 404, id);
      assert.equal((await ask("POST", `/api/keys/${id}/revoke`, { described: false })).status, 404, id);
    }
    for (const action of ["block", "unblock", "revoke", "rotate"]) {
      assert.equal((await ask("POST", `/api/keys/${NO_SUCH}/${action}`)).status, 404);
    }
    assert.equal((await ask("PATCH", `/api/keys/${NO_SUCH}`, { body: { rpm: 1 } })).status, 404);
  });

  it("imports a file of keys, all or none", async (t) => {
    const { ask, store } = await startAdmin(t);
    const post = (body: string | Uint8Array, query = "", media = "text/csv") =>
      ask("POST", `/api/keys/import${query}`, { body, headers: { "content-type": media } });
    const file = 'name,team,budget\nalice,platform,50\n"bob, jr",,\n';
    const planned = await post(file, "?dry_run=true");
    assert.equal(planned.status, 200);
    assert.deepEqual(
      planned.json.map(({ name, budget_usd }: Record<string, unknown>) => [name, budget_usd]),
      [
        ["alice", "50"],
        ["bob, jr", null],
      ],
    );
    assert.deepEqual(await store.keys.list(), []);

    const made = await post(file, "", "text/csv; charset=utf-8");
    assert.equal(made.status, 201);
    for (const { id, key } of made.json) assert.equal((await store.keys.findBySecret(sha256Hex(key)))?.key.id, id);

    const twice = await post(file);
    assert.equal(twice.status, 400);
    assert.match(twice.json.error.message, /^line 2: .*alice.*\nline 3: .*bob, jr/);
    assert.match((await post("name\nx\ny,z\n")).json.error.message, /line 3/);
    assert.equal((await post(Buffer.from([0x6e, 0xff, 0xfe]))).status, 400);
    assert.equal((await post("")).status, 400);
    assert.equal((await post("name\nx\n", "", "application/json")).status, 415);
    assert.equal((await post(`name\n${Array.from({ length: 1001 }, (_, i) => `n${i}`).join("\n")}`)).status, 400);
    assert.equal((await store.keys.list()).length, 2);
  });

  it("writes every change into the audit, by the name of admin", async (t) => {
    const { ask, clock } = await startAdmin(t);
    const { json } = await ask("POST", "/api/keys", { body: { name: "alice" } });
    const steps = ["block", "unblock", "rotate", "revoke"];
    for (const action of steps) {
      clock.now += 1000;
      await ask("POST", `/api/keys/${json.id}/${action}`);
    }
    const audit = await ask("GET", `/api/audit?subject=${json.id}`);
    assert.deepEqual(
      audit.json.map(({ action, by }: Record<string, unknown>) => [action, by]),
      [...steps.toReversed(), "create"].map((action) => [`key.${action}`, "admin"]),
    );
    const before = new Date(START + 2000).toISOString();
    assert.equal((await ask("GET", `/api/audit?before=${before}`)).json.length, 2);
    assert.equal((await ask("GET", "/api/audit?limit=1")).json.length, 1);
    assert.deepEqual((await ask("GET", "/api/audit?subject=nobody")).json, []);
  });
});
