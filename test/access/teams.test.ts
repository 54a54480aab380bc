import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it, type TestContext } from "node:test";
import { KeyInputError, KeyNotFoundError } from "../../src/access/key-settings.ts";
import { createKeys } from "../../src/access/keys.ts";
import { createTeams } from "../../src/access/teams.ts";
import type { TeamSettings } from "../../src/store/store.ts";
import { openTempStore } from "../store/temp-store.ts";

const NOW = 1_800_000_000_000;
const USD = 10n ** 12n;

describe("createTeams", () => {
  it("knows the teams of keys and those with limits, by name, with the keys that count", async (t) => {
    const { keys, teams } = await open(t);
    await keys.create({ name: "a", team: "zeta" });
    await keys.create({ name: "b", team: "zeta" });
    await keys.create({ name: "c", team: "gone" });
    await keys.create({ name: "d" });
    await keys.revoke("b");
    await keys.revoke("c");
    await teams.set("alpha", { rpm: 5 });
    assert.deepEqual(
      (await teams.list()).map(({ name, keys, settings }) => [name, keys, settings?.rpm]),
      [
        ["alpha", 0, 5],
        ["gone", 0, undefined],
        ["zeta", 1, undefined],
      ],
    );
    assert.deepEqual(await teams.show("zeta"), { name: "zeta", settings: null, keys: 1 });
  });

  it("sets what is given and leaves the rest", async (t) => {
    const { teams } = await open(t);
    const first = await teams.set("core", { rpm: 5, budget: 100n * USD });
    assert.deepEqual(first.settings, {
      ...{ name: "core", note: null, rpm: 5, tpm: null, parallel: null, budget: 100n * USD, softBudget: null },
      ...{ budgetPeriod: "month", createdAt: NOW },
    });
    const second = await teams.set("core", { rpm: null, softBudget: 100n * USD, note: "ours" });
    assert.deepEqual(second.settings, { ...first.settings, rpm: null, softBudget: 100n * USD, note: "ours" });
  });

  it("takes a team's limits away and leaves its keys", async (t) => {
    const { keys, teams } = await open(t);
    await keys.create({ name: "a", team: "core" });
    await teams.set("core", { rpm: 5 });
    await teams.remove("core");
    assert.deepEqual(await teams.show("core"), { name: "core", settings: null, keys: 1 });
    await assert.rejects(teams.remove("core"), KeyNotFoundError);
    for (const name of ["nobody", "", "core\0"]) await assert.rejects(teams.show(name), KeyNotFoundError);
  });

  it("notes who changed what", async (t) => {
    const { teams, store } = await open(t);
    await teams.set("core", { rpm: 5 });
    await teams.set("core", { rpm: 6 });
    await teams.remove("core");
    const entries = await store.audit.list({ subject: "core", limit: 10 });
    assert.deepEqual(
      entries.map(({ action, by }) => [action, by]),
      [
        ["team.remove", "admin"],
        ["team.set", "admin"],
        ["team.set", "admin"],
      ],
    );
    assert.deepEqual(entries[1]?.changes, { rpm: { from: 5, to: 6 } });
  });

  const wrong: [string, string, Partial<TeamSettings>][] = [
    ["a blank name", " ", {}],
    ["a name with a line break", "a\nb", {}],
    ["no request per minute", "core", { rpm: 0 }],
    ["a soft budget above the budget", "core", { budget: USD, softBudget: 2n * USD }],
    ["a soft budget above the budget that is there", "old", { softBudget: 11n * USD }],
    ["a budget below the soft budget that is there", "old", { budget: 4n * USD }],
    ["a note with a line break", "core", { note: "a\nb" }],
  ];
  for (const [title, name, settings] of wrong) {
    it(`refuses ${title}, and writes nothing`, async (t) => {
      const { teams } = await open(t);
      await teams.set("old", { budget: 10n * USD, softBudget: 5n * USD });
      const before = await teams.list();
      await assert.rejects(teams.set(name, settings), KeyInputError);
      assert.deepEqual(await teams.list(), before);
    });
  }
});

async function open(t: TestContext) {
  const { store } = await openTempStore(t);
  const now = () => NOW;
  return {
    store,
    teams: createTeams(store, { now, by: "admin" }),
    keys: createKeys(store, { now, randomBytes, by: "admin" }),
  };
}
