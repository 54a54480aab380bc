import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startAdmin } from "./admin-client.ts";

describe("teams over HTTP", () => {
  it("are there when a key names them, or when they have limits", async (t) => {
    const { ask } = await startAdmin(t);
    assert.deepEqual((await ask("GET", "/api/teams")).json, []);
    await ask("POST", "/api/keys", { body: { name: "a", team: "named" } });
    const limited = await ask("PUT", "/api/teams/limited", {
      body: { rpm: 5, budget_usd: "100", budget_period: "total" },
    });
    assert.equal(limited.status, 200);
    const { json } = await ask("GET", "/api/teams");
    assert.deepEqual(
      json.map(({ name, keys, rpm, budget_usd }: Record<string, unknown>) => [name, keys, rpm, budget_usd]),
      [
        ["limited", 0, 5, "100"],
        ["named", 1, null, null],
      ],
    );
    assert.deepEqual((await ask("GET", "/api/teams/limited")).json, { ...limited.json, spent_usd: "0" });
    assert.equal((await ask("GET", "/api/teams/nobody")).status, 404);
  });

  it("keep what is not given, lose what is null, and all of it when removed", async (t) => {
    const { ask, store } = await startAdmin(t);
    await ask("PUT", "/api/teams/t", { body: { rpm: 5, note: "n" } });
    const { json } = await ask("PUT", "/api/teams/t", { body: { rpm: null, tpm: 7 } });
    assert.deepEqual([json.rpm, json.tpm, json.note], [null, 7, "n"]);
    assert.equal((await ask("DELETE", "/api/teams/t")).status, 204);
    assert.equal((await ask("DELETE", "/api/teams/t")).status, 404);
    assert.equal(await store.teams.get("t"), undefined);
    const audit = await ask("GET", "/api/audit?subject=t");
    assert.deepEqual(
      audit.json.map(({ action, by }: Record<string, unknown>) => [action, by]),
      [
        ["team.remove", "admin"],
        ["team.set", "admin"],
        ["team.set", "admin"],
      ],
    );
  });

  it("may have any name that a key's team may have", async (t) => {
    const { ask } = await startAdmin(t);
    for (const name of ["a/b", "a b", "Köln", "100%", "..%", "?#&", "日本"]) {
      const path = `/api/teams/${encodeURIComponent(name)}`;
      const set = await ask("PUT", path, { body: { rpm: 1 } });
      assert.deepEqual([set.status, set.json.name], [200, name], name);
      assert.equal((await ask("GET", path)).json.name, name);
    }
    for (const name of ["%20x", "a%0Ab", "%E2%80%AE", "x".repeat(101)]) {
      const { status, json } = await ask("PUT", `/api/teams/${name}`, { body: { rpm: 1 } });
      assert.deepEqual([status, json.error.field], [400, "team"], name);
    }
    assert.equal((await ask("PUT", "/api/teams/t", { body: { name: "u" } })).json.error.field, "name");
    assert.equal((await ask("PUT", "/api/teams/t", { body: { budget_usd: "0" } })).json.error.field, "budget_usd");
  });
});
