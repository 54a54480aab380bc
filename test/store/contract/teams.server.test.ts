import assert from "node:assert/strict";
import { it } from "node:test";
import { changeAt, describeStores, newKey } from "./stores.ts";

describeStores("teams", ({ open }) => {
  it("are made by their first setting, unlimited in all else", async (t) => {
    const { teams, audit } = await open(t);
    const team = await teams.set("red", { rpm: 5 }, changeAt(1000));
    assert.deepEqual(team, {
      name: "red",
      note: null,
      rpm: 5,
      tpm: null,
      parallel: null,
      budget: null,
      softBudget: null,
      budgetPeriod: "month",
      createdAt: 1000,
    });
    assert.deepEqual(await teams.get("red"), team);
    assert.equal(await teams.get("blue"), undefined);
    const [{ id, ...entry } = assert.fail()] = await audit.list({ limit: 10 });
    const changes = { rpm: { from: null, to: 5 }, budget_period: { from: null, to: "month" } };
    assert.deepEqual(entry, { at: 1000, by: "cli:test", action: "team.set", subject: "red", changes });
  });

  it("keep what is not given, and leave no row in the audit when nothing changes", async (t) => {
    const { teams, audit } = await open(t);
    await teams.set("red", { rpm: 5, budget: 1_500_000n, note: "n" }, changeAt(1));
    const after = await teams.set("red", { budget: null, tpm: 9 }, changeAt(2));
    assert.deepEqual([after.rpm, after.budget, after.tpm, after.note, after.createdAt], [5, null, 9, "n", 1]);
    assert.deepEqual(await teams.get("red"), after);
    assert.deepEqual(await teams.set("red", { tpm: 9 }, changeAt(3)), after);
    const [newest, ...others] = await audit.list({ limit: 10 });
    assert.deepEqual(newest?.changes, { budget_usd: { from: "0.0000015", to: null }, tpm: { from: null, to: 9 } });
    assert.equal(others.length, 1);
  });

  it("are listed by name in the order of its bytes", async (t) => {
    const { teams } = await open(t);
    for (const name of ["b", "É", "B", "a"]) await teams.set(name, {}, changeAt(1));
    assert.deepEqual(
      (await teams.list()).map(({ name }) => name),
      ["B", "a", "b", "É"],
    );
  });

  it("lose their limits and keep their keys when they are removed", async (t) => {
    const { teams, keys, audit } = await open(t);
    await keys.create([newKey(1, { team: "red" })], changeAt(1));
    await teams.set("red", { parallel: 3 }, changeAt(2));
    assert.equal(await teams.remove("red", changeAt(3)), true);
    assert.equal(await teams.remove("red", changeAt(4)), false);
    assert.deepEqual(await teams.list(), []);
    assert.equal((await keys.get("key_1"))?.team, "red");
    const entries = await audit.list({ subject: "red", limit: 10 });
    assert.deepEqual(
      entries.map(({ action, at }) => [action, at]),
      [
        ["team.remove", 3],
        ["team.set", 2],
      ],
    );
    assert.deepEqual(entries[0]?.changes.parallel, { from: 3, to: null });
  });
});
