import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type KeySettings, StoreConflict } from "../../../src/store/store.ts";
import { changeAt, describeStores, newKey, sha256Of } from "./stores.ts";

const EVERYTHING: KeySettings = {
  name: "alice",
  owner: "alice@example.com",
  team: "red",
  tags: ["prod", "é"],
  note: "her laptop",
  models: ["amazon.*", "nova"],
  expiresAt: 1_900_000_000_000,
  rpm: 60,
  tpm: 1_000_000,
  parallel: 4,
  budget: 9_000_000_000_000_000_000n,
  softBudget: 40_250_000_000_000n,
  budgetPeriod: "day",
};

describeStores("keys", ({ open }) => {
  describe("create", () => {
    it("keeps every setting, and who made the key when", async (t) => {
      const { keys } = await open(t);
      const made = await keys.create([newKey(1, EVERYTHING)], { at: 1000, by: "cli:root" });
      assert.deepEqual(made, [
        {
          ...EVERYTHING,
          id: "key_1",
          prefix: "sk-1",
          createdAt: 1000,
          createdBy: "cli:root",
          blockedAt: null,
          revokedAt: null,
          lastUsedAt: null,
        },
      ]);
      assert.deepEqual(await keys.get("key_1"), made[0]);
      assert.deepEqual(await keys.findByName("alice"), made);
      assert.equal(await keys.get("key_2"), undefined);
    });

    it("makes all keys or none", async (t) => {
      const { keys, audit } = await open(t);
      await keys.create([newKey(1)], changeAt(1));
      const again = { ...newKey(3), id: "key_1" };
      await assert.rejects(keys.create([newKey(2), again], changeAt(2)), StoreConflict);
      await assert.rejects(keys.create([newKey(2), { ...newKey(1), id: "key_3" }], changeAt(2)), StoreConflict);
      assert.deepEqual(
        (await keys.list()).map(({ id }) => id),
        ["key_1"],
      );
      assert.equal((await audit.list({ limit: 10 })).length, 1);
    });

    it("makes a thousand at once", async (t) => {
      const { keys } = await open(t);
      await keys.create(
        Array.from({ length: 1001 }, (_, n) => newKey(n)),
        changeAt(1),
      );
      assert.equal((await keys.list()).length, 1001);
    });

    it("makes none of no keys", async (t) => {
      const { keys, audit } = await open(t);
      assert.deepEqual(await keys.create([], changeAt(1)), []);
      assert.deepEqual(await audit.list({ limit: 10 }), []);
    });
  });

  it("are listed oldest first, those of one moment by name in the order of its bytes", async (t) => {
    const { keys } = await open(t);
    await keys.create([newKey(1, { name: "late" })], changeAt(2));
    const names = ["b", "É", "a", "B"];
    await keys.create(
      names.map((name, n) => newKey(n + 2, { name })),
      changeAt(1),
    );
    assert.deepEqual(
      (await keys.list()).map(({ name }) => name),
      ["B", "a", "b", "É", "late"],
    );
  });

  it("are found by a secret, with the team's limits where it has some", async (t) => {
    const { keys, teams } = await open(t);
    await keys.create([newKey(1, { team: "red" }), newKey(2)], changeAt(1));
    const key = await keys.get("key_1");
    const found = { key, team: null, prefix: "sk-1", replacedAt: null };
    assert.deepEqual(await keys.findBySecret(sha256Of(1)), found);
    const team = await teams.set("red", { rpm: 5, budget: 3_000_000n, note: "n" }, changeAt(2));
    assert.deepEqual(await keys.findBySecret(sha256Of(1)), { ...found, team });
    assert.equal((await keys.findBySecret(sha256Of(2)))?.team, null);
    assert.equal(await keys.findBySecret(sha256Of(9)), undefined);
  });

  describe("update", () => {
    it("changes what is given alone", async (t) => {
      const { keys } = await open(t);
      const [before] = await keys.create([newKey(1, EVERYTHING)], changeAt(1));
      const after = await keys.update("key_1", { team: null, models: [], budget: null, tpm: 7 }, changeAt(2));
      assert.deepEqual(after, { ...before, team: null, models: [], budget: null, tpm: 7 });
      assert.deepEqual(await keys.get("key_1"), after);
    });

    it("notes the settings that changed, by their names in JSON", async (t) => {
      const { keys, audit } = await open(t);
      await keys.create([newKey(1, { rpm: 5, tags: ["a"] })], changeAt(1));
      const changes = { rpm: 5, budget: 50_500_000_000_000n, expiresAt: 86_400_000, tags: ["a", "b"] };
      await keys.update("key_1", changes, { at: 2, by: "admin" });
      const [{ id, ...entry } = assert.fail()] = await audit.list({ limit: 1 });
      assert.deepEqual(entry, {
        at: 2,
        by: "admin",
        action: "key.update",
        subject: "key_1",
        changes: {
          budget_usd: { from: null, to: "50.5" },
          expires_at: { from: null, to: "1970-01-02T00:00:00.000Z" },
          tags: { from: ["a"], to: ["a", "b"] },
        },
      });
    });

    it("leaves no row in the audit when nothing changes", async (t) => {
      const { keys, audit } = await open(t);
      const [key] = await keys.create([newKey(1, EVERYTHING)], changeAt(1));
      assert.deepEqual(await keys.update("key_1", EVERYTHING, changeAt(2)), key);
      assert.equal((await audit.list({ limit: 10 })).length, 1);
    });

    it("finds no key that is not there", async (t) => {
      const { keys, audit } = await open(t);
      assert.equal(await keys.update("key_1", { rpm: 1 }, changeAt(1)), undefined);
      assert.equal(await keys.block("key_1", changeAt(1)), undefined);
      assert.equal(await keys.unblock("key_1", changeAt(1)), undefined);
      assert.equal(await keys.revoke("key_1", changeAt(1)), undefined);
      assert.equal(await keys.rotate("key_1", newKey(1).secret, 5, changeAt(1)), undefined);
      await keys.touch("key_1", 1);
      assert.deepEqual(await audit.list({ limit: 10 }), []);
    });
  });

  it("are blocked until they are unblocked", async (t) => {
    const { keys, audit } = await open(t);
    await keys.create([newKey(1)], changeAt(1));
    assert.equal((await keys.block("key_1", changeAt(1000)))?.blockedAt, 1000);
    assert.equal((await keys.block("key_1", changeAt(2000)))?.blockedAt, 1000);
    assert.equal((await keys.unblock("key_1", changeAt(3000)))?.blockedAt, null);
    assert.equal((await keys.unblock("key_1", changeAt(4000)))?.blockedAt, null);
    const entries = await audit.list({ limit: 10 });
    assert.deepEqual(
      entries.map(({ action, changes }) => [action, changes.blocked_at]),
      [
        ["key.unblock", { from: "1970-01-01T00:00:01.000Z", to: null }],
        ["key.block", { from: null, to: "1970-01-01T00:00:01.000Z" }],
        ["key.create", undefined],
      ],
    );
  });

  it("are revoked once, at the first time", async (t) => {
    const { keys, audit } = await open(t);
    await keys.create([newKey(1)], changeAt(1));
    await keys.revoke("key_1", changeAt(1000));
    assert.equal((await keys.revoke("key_1", changeAt(2000)))?.revokedAt, 1000);
    assert.deepEqual(
      (await audit.list({ limit: 10 })).map(({ action }) => action),
      ["key.revoke", "key.create"],
    );
  });

  describe("rotate", () => {
    it("adds a secret and ends the older ones, no later than they already would", async (t) => {
      const { keys } = await open(t);
      await keys.create([newKey(1)], changeAt(1));
      const ends = async () =>
        Promise.all([1, 2, 3].map(async (n) => (await keys.findBySecret(sha256Of(n)))?.replacedAt));
      assert.equal((await keys.rotate("key_1", newKey(2).secret, 5000, changeAt(2)))?.prefix, "sk-2");
      assert.deepEqual(await ends(), [5000, null, undefined]);
      await keys.rotate("key_1", newKey(3).secret, 9000, changeAt(2));
      assert.deepEqual(await ends(), [5000, 9000, null]);
      await keys.rotate("key_1", newKey(4).secret, 3000, changeAt(3));
      assert.deepEqual(await ends(), [3000, 3000, 3000]);
      assert.equal((await keys.list()).length, 1);
    });

    it("names prefixes in the audit, and never a hash", async (t) => {
      const { keys, audit } = await open(t);
      await keys.create([newKey(1)], changeAt(1));
      await keys.rotate("key_1", newKey(2).secret, 1000, changeAt(2));
      const entries = await audit.list({ limit: 10 });
      assert.deepEqual(entries[0]?.changes, {
        prefix: { from: "sk-1", to: "sk-2" },
        old_secret_ends_at: { from: null, to: "1970-01-01T00:00:01.000Z" },
      });
      assert.deepEqual(entries[1]?.changes.prefix, { from: null, to: "sk-1" });
      assert.doesNotMatch(JSON.stringify(entries), /0000000000[12]"/);
    });

    it("refuses a secret that is another key's, and changes nothing", async (t) => {
      const { keys } = await open(t);
      await keys.create([newKey(1), newKey(2)], changeAt(1));
      await assert.rejects(keys.rotate("key_1", newKey(2).secret, 1, changeAt(2)), StoreConflict);
      assert.equal((await keys.findBySecret(sha256Of(1)))?.replacedAt, null);
      assert.equal((await keys.findBySecret(sha256Of(2)))?.key.id, "key_2");
    });
  });

  it("remember their last use, which never moves back", async (t) => {
    const { keys, audit } = await open(t);
    await keys.create([newKey(1)], changeAt(1));
    for (const at of [2000, 1000]) await keys.touch("key_1", at);
    assert.equal((await keys.get("key_1"))?.lastUsedAt, 2000);
    assert.equal((await audit.list({ limit: 10 })).length, 1);
  });
});
