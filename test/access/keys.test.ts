import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, it, type TestContext } from "node:test";
import {
  createKeys,
  KeyInputError,
  KeyNotFoundError,
  type KeySettings,
  type Keys,
  keyStatus,
} from "../../src/access/keys.ts";
import type { Store } from "../../src/store/store.ts";
import { openTempStore } from "../store/temp-store.ts";

const NOW = 1_800_000_000_000;
const MICRO = 1_000_000n;
const USD = 1_000_000n * MICRO;

describe("createKeys", () => {
  it("makes a secret of sk- and the given random bytes, shown by a short prefix", async (t) => {
    const { keys } = await openKeys(t, { randomBytes: (size) => new Uint8Array(size).fill(255) });
    const { key, secret } = await keys.create({ name: "alice" });
    assert.equal(secret, `sk-${"_".repeat(42)}8`);
    assert.equal(key.prefix, "sk-_____");
    assert.equal(key.id, `key_${"ff".repeat(10)}`);
  });

  it("stores the secret only as its SHA-256", async (t) => {
    const { keys, store, path } = await openKeys(t);
    const { key, secret } = await keys.create({ name: "alice" });
    const sha256 = createHash("sha256").update(secret).digest("hex");
    assert.equal((await store.keys.findBySecret(sha256))?.key.id, key.id);
    await store.close();
    const file = readFileSync(path);
    assert.ok(file.includes(sha256));
    assert.ok(!file.includes(secret.slice(3)));
  });

  it("gives a key without settings every model, no limit and no end", async (t) => {
    const { keys } = await openKeys(t);
    const { id, prefix, ...key } = (await keys.create({ name: "alice" })).key;
    assert.deepEqual(key, {
      ...{ name: "alice", owner: null, team: null, tags: [], note: null, models: [], expiresAt: null },
      ...{ rpm: null, tpm: null, parallel: null, budget: null, softBudget: null, budgetPeriod: "month" },
      ...{ blockedAt: null, createdAt: NOW, createdBy: "cli:tester", revokedAt: null, lastUsedAt: null },
    });
  });

  it("keeps every setting as it was given, tags and models once", async (t) => {
    const { keys } = await openKeys(t);
    const settings = {
      ...{ name: "alice", owner: "alice@example.com", team: "core", tags: ["web", "prod"], note: "a note, 日本語" },
      ...{ models: ["amazon.*", "gpt-4o"], expiresAt: NOW + 1, rpm: 1, tpm: 1_000_000_000, parallel: 2 },
      ...{ budget: 9_000_000n * USD, softBudget: MICRO, budgetPeriod: "total" as const },
    };
    const { key } = await keys.create({ ...settings, tags: ["web", "prod", "web"] });
    assert.deepEqual({ ...key, ...settings }, key);
    assert.deepEqual(await keys.show(key.id), key);
  });

  it("makes many keys in the order given, or none of them", async (t) => {
    const { keys } = await openKeys(t);
    const names = Array.from({ length: 300 }, (_, n) => `user ${n}`);
    const issued = await keys.createMany(names.map((name) => ({ name })));
    assert.deepEqual(
      issued.map(({ key }) => key.name),
      names,
    );
    assert.equal(new Set(issued.map(({ secret }) => secret)).size, 300);
    assert.deepEqual(new Set((await keys.list()).map(({ id }) => id)), new Set(issued.map(({ key }) => key.id)));
    await assert.rejects(keys.createMany([{ name: "good" }, { name: "bad", rpm: 0 }]), KeyInputError);
    assert.equal((await keys.list()).length, 300);
  });

  it("lists the keys of a team, with a tag, in a state", async (t) => {
    const { keys } = await openKeys(t);
    await keys.create({ name: "a", team: "core", tags: ["web"] });
    await keys.create({ name: "b", team: "core", tags: ["webb"] });
    await keys.create({ name: "c", tags: ["web"] });
    await keys.block("b");
    const named = async (filter: Parameters<Keys["list"]>[0]) => (await keys.list(filter)).map(({ name }) => name);
    assert.deepEqual(await named({ team: "core" }), ["a", "b"]);
    assert.deepEqual(await named({ tag: "web" }), ["a", "c"]);
    assert.deepEqual(await named({ status: "active", team: "core" }), ["a"]);
    assert.deepEqual(await named({ status: "blocked" }), ["b"]);
  });

  it("lists keys in the order they were made", async (t) => {
    const clock = { now: NOW };
    const { keys } = await openKeys(t, { now: () => clock.now++ });
    for (const name of ["zoe", "alice", "mia"]) await keys.create({ name });
    assert.deepEqual(
      (await keys.list()).map(({ name }) => name),
      ["zoe", "alice", "mia"],
    );
  });

  it("changes only the settings that it is given, and clears with null", async (t) => {
    const { keys } = await openKeys(t);
    const { key } = await keys.create({ name: "alice", rpm: 5, team: "core", models: ["anthropic.*"] });
    const updated = await keys.update(key.id, { rpm: null, models: ["amazon.nova-lite-v1:0"] });
    assert.deepEqual(updated, { ...key, rpm: null, models: ["amazon.nova-lite-v1:0"] });
    assert.deepEqual(await keys.show(key.id), updated);
  });

  it("finds a key by a name that only one key has", async (t) => {
    const { keys } = await openKeys(t);
    const { key } = await keys.create({ name: "alice" });
    assert.equal((await keys.show("alice")).id, key.id);
  });

  it("asks for the id when several keys have the name, and names them", async (t) => {
    const { keys } = await openKeys(t);
    const first = await keys.create({ name: "alice" });
    const second = await keys.create({ name: "alice" });
    await assert.rejects(keys.revoke("alice"), (error: Error) => {
      assert.ok(error instanceof KeyInputError);
      return error.message.includes(first.key.id) && error.message.includes(second.key.id);
    });
    assert.equal((await keys.show(first.key.id)).revokedAt, null);
  });

  it("means the key that still works when the others of its name are revoked", async (t) => {
    const { keys } = await openKeys(t);
    const first = await keys.create({ name: "alice" });
    await keys.revoke(first.key.id);
    const second = await keys.create({ name: "alice" });
    assert.equal((await keys.show("alice")).id, second.key.id);
  });

  it("says that a key is unknown, for every operation", async (t) => {
    const { keys } = await openKeys(t);
    const operations = [
      ...[keys.show("bob"), keys.revoke("bob"), keys.rotate("bob"), keys.update("bob", { rpm: 1 })],
      ...[keys.block("bob"), keys.unblock("bob"), keys.show("key_0123"), keys.show("bob\0")],
    ];
    for (const operation of operations) {
      await assert.rejects(operation, (error: unknown) => {
        assert.ok(error instanceof KeyNotFoundError && error instanceof KeyInputError);
        return /no key with the id or name "(bob|key_0123|bob\\u0000)"/.test(error.message);
      });
    }
  });

  it("blocks a key and lets it in again, and says since when", async (t) => {
    const clock = { now: NOW };
    const { keys } = await openKeys(t, { now: () => clock.now });
    const { key } = await keys.create({ name: "alice" });
    assert.deepEqual(await keys.block("alice"), { ...key, blockedAt: NOW });
    clock.now += 1000;
    assert.equal((await keys.block("alice")).blockedAt, NOW);
    assert.deepEqual(await keys.unblock("alice"), key);
    assert.deepEqual(await keys.unblock("alice"), key);
  });

  it("neither blocks nor unblocks a revoked key", async (t) => {
    const { keys } = await openKeys(t);
    await keys.create({ name: "alice" });
    await keys.block("alice");
    await keys.revoke("alice");
    await assert.rejects(keys.block("alice"), /revoked for good/);
    await assert.rejects(keys.unblock("alice"), /revoked for good/);
  });

  it("gives a blocked key a new secret and leaves it blocked", async (t) => {
    const { keys } = await openKeys(t);
    await keys.create({ name: "alice" });
    await keys.block("alice");
    assert.equal((await keys.rotate("alice")).key.blockedAt, NOW);
  });

  it("notes who changed what, and nothing where nothing changed", async (t) => {
    const { keys, store } = await openKeys(t, { by: "cli:zoe" });
    const { key } = await keys.create({ name: "alice", rpm: 5 });
    await keys.update("alice", { rpm: 7, budget: 50n * USD });
    await keys.update("alice", { rpm: 7 });
    await keys.block("alice");
    await keys.unblock("alice");
    await keys.rotate("alice");
    await keys.revoke("alice");
    await keys.revoke("alice");
    const entries = await store.audit.list({ subject: key.id, limit: 100 });
    const actions = ["revoke", "rotate", "unblock", "block", "update", "create"].map((action) => `key.${action}`);
    assert.deepEqual(
      entries.map(({ action }) => action),
      actions,
    );
    assert.ok(entries.every(({ by, at }) => by === "cli:zoe" && at === NOW));
    assert.deepEqual(entries[4]?.changes, { rpm: { from: 5, to: 7 }, budget_usd: { from: null, to: "50" } });
  });

  it("holds a changed budget against the one that stays", async (t) => {
    const { keys } = await openKeys(t);
    await keys.create({ name: "alice", budget: 50n * USD, softBudget: 40n * USD });
    const tooHigh = (error: unknown) => error instanceof KeyInputError && error.setting === "softBudget";
    await assert.rejects(keys.update("alice", { softBudget: 51n * USD }), tooHigh);
    await assert.rejects(keys.update("alice", { budget: 39n * USD }), tooHigh);
    await keys.update("alice", { budget: 40n * USD });
    await keys.update("alice", { budget: null, softBudget: 100n * USD });
  });

  it("changes an expired key without being asked for its expiry", async (t) => {
    const clock = { now: NOW };
    const { keys } = await openKeys(t, { now: () => clock.now });
    await keys.create({ name: "alice", expiresAt: NOW + 1 });
    clock.now += 10;
    assert.equal((await keys.update("alice", { note: "gone" })).note, "gone");
  });

  it("says everything that is wrong at once", async (t) => {
    const { keys } = await openKeys(t);
    await assert.rejects(keys.create({ name: "", rpm: 0, budget: 0n, expiresAt: 1 }), (error: unknown) => {
      assert.ok(error instanceof KeyInputError);
      assert.deepEqual(
        error.problems.map(({ setting }) => setting),
        ["name", "rpm", "budget", "expiresAt"],
      );
      return error.problems.every(({ message }) => error.message.includes(message));
    });
  });

  it("lets an old secret work for at most a year more", async (t) => {
    const { keys } = await openKeys(t);
    await keys.create({ name: "alice" });
    for (const graceMs of [-1, 0.5, 366 * 86_400_000, Number.NaN]) {
      await assert.rejects(keys.rotate("alice", { graceMs }), /365 days/);
    }
  });

  it("keeps the time of the first revocation", async (t) => {
    const clock = { now: NOW };
    const { keys } = await openKeys(t, { now: () => clock.now });
    await keys.create({ name: "alice" });
    await keys.revoke("alice");
    clock.now += 1000;
    assert.equal((await keys.revoke("alice")).revokedAt, NOW);
  });

  it("shows the prefix of the newest secret after a rotation", async (t) => {
    const { keys } = await openKeys(t);
    const before = await keys.create({ name: "alice" });
    const after = await keys.rotate("alice");
    assert.equal(after.key.id, before.key.id);
    assert.notEqual(after.secret, before.secret);
    assert.equal((await keys.show("alice")).prefix, after.secret.slice(0, 8));
  });

  it("rotates neither a revoked nor an expired key", async (t) => {
    const clock = { now: NOW };
    const { keys } = await openKeys(t, { now: () => clock.now });
    await keys.create({ name: "alice", expiresAt: NOW + 1000 });
    await keys.create({ name: "bob" });
    await keys.revoke("bob");
    clock.now += 1000;
    await assert.rejects(keys.rotate("alice"), /expired/);
    await assert.rejects(keys.rotate("bob"), /revoked/);
  });

  const wrong: [string, Partial<KeySettings>][] = [
    ["an empty name", { name: "" }],
    ["a name with a line break", { name: "a\nb" }],
    ["a name that looks like an id", { name: "key_1" }],
    ["a name of 101 characters", { name: "a".repeat(101) }],
    ["a blank team", { team: " " }],
    ["a name with an invisible mark that turns text around", { name: "a\u202eb" }],
    ["a name with a line separator", { name: "a\u2028b" }],
    ["a name with half a character", { name: "a\ud800" }],
    ["a name with a terminal's control character", { name: "a\x9bb" }],
    ["a name with a space behind it", { name: "a " }],
    ["a blank owner", { owner: "" }],
    ["an owner of 201 characters", { owner: "a".repeat(201) }],
    ["a note with a line break", { note: "a\nb" }],
    ["a note of 1001 characters", { note: "a".repeat(1001) }],
    ["a tag with a comma", { tags: ["a,b"] }],
    ["an empty tag", { tags: [""] }],
    ["21 tags", { tags: Array.from({ length: 21 }, (_, n) => `t${n}`) }],
    ["no token per minute", { tpm: 0 }],
    ["more tokens per minute than are counted", { tpm: 1_000_000_001 }],
    ["no request at once", { parallel: 0 }],
    ["no budget to spend", { budget: 0n }],
    ["a negative budget", { budget: -USD }],
    ["a budget below a micro-dollar", { budget: USD + 1n }],
    ["a budget of more than 9 million", { budget: 9_000_000n * USD + MICRO }],
    ["a soft budget below a micro-dollar", { softBudget: 1n }],
    ["an expiry that no calendar has", { expiresAt: Number.MAX_SAFE_INTEGER }],
    ["no request per minute", { rpm: 0 }],
    ["half a request per minute", { rpm: 1.5 }],
    ["a model with a space", { models: ["a b"] }],
    ["an empty model", { models: [""] }],
    ["201 models", { models: Array.from({ length: 201 }, (_, n) => `m${n}`) }],
    ["an expiry that is now", { expiresAt: NOW }],
  ];
  for (const [title, settings] of wrong) {
    it(`refuses ${title}, and writes nothing`, async (t) => {
      const { keys } = await openKeys(t);
      const setting = Object.keys(settings)[0];
      const { key } = await keys.create({ name: "good" });
      const isClear = (error: unknown) => error instanceof KeyInputError && error.setting === setting;
      await assert.rejects(keys.create({ name: "alice", ...settings }), isClear);
      await assert.rejects(keys.update("good", settings), isClear);
      assert.deepEqual(await keys.list(), [key]);
    });
  }
});

describe("keyStatus", () => {
  it("is expired from the expiry on, blocked above that, and revoked above all", async (t) => {
    const { keys } = await openKeys(t);
    const { key } = await keys.create({ name: "alice", expiresAt: NOW + 10 });
    assert.equal(keyStatus(key, NOW + 9), "active");
    assert.equal(keyStatus(key, NOW + 10), "expired");
    assert.equal(keyStatus({ ...key, blockedAt: NOW }, NOW), "blocked");
    assert.equal(keyStatus({ ...key, blockedAt: NOW }, NOW + 10), "blocked");
    assert.equal(keyStatus({ ...key, blockedAt: NOW, revokedAt: NOW }, NOW + 10), "revoked");
  });
});

async function openKeys(
  t: TestContext,
  options: { now?: () => number; randomBytes?: (size: number) => Uint8Array; by?: string } = {},
): Promise<{ keys: Keys; store: Store; path: string }> {
  const { store, path } = await openTempStore(t);
  return { keys: createKeys(store, { now: () => NOW, randomBytes, by: "cli:tester", ...options }), store, path };
}
