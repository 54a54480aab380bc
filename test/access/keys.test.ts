import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, it, type TestContext } from "node:test";
import { createKeys, KeyInputError, type KeySettings, type Keys, keyStatus } from "../../src/access/keys.ts";
import type { Store } from "../../src/store/store.ts";
import { openTempStore } from "../store/temp-store.ts";

const NOW = 1_800_000_000_000;

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
    const { key } = await keys.create({ name: "alice" });
    assert.deepEqual(
      { team: key.team, models: key.models, rpm: key.rpm, expiresAt: key.expiresAt, revokedAt: key.revokedAt },
      { team: null, models: [], rpm: null, expiresAt: null, revokedAt: null },
    );
    assert.equal(key.createdAt, NOW);
  });

  it("lists keys in the order they were made", async (t) => {
    const { keys } = await openKeys(t);
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
    const operations = [keys.show("bob"), keys.revoke("bob"), keys.rotate("bob"), keys.update("bob", { rpm: 1 })];
    for (const operation of operations) await assert.rejects(operation, /no key with the id or name "bob"/);
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
  it("is expired from the expiry on, and revoked above all", async (t) => {
    const { keys } = await openKeys(t);
    const { key } = await keys.create({ name: "alice", expiresAt: NOW + 10 });
    assert.equal(keyStatus(key, NOW + 9), "active");
    assert.equal(keyStatus(key, NOW + 10), "expired");
    assert.equal(keyStatus({ ...key, revokedAt: NOW }, NOW + 10), "revoked");
  });
});

async function openKeys(
  t: TestContext,
  options: { now?: () => number; randomBytes?: (size: number) => Uint8Array } = {},
): Promise<{ keys: Keys; store: Store; path: string }> {
  const { store, path } = await openTempStore(t);
  return { keys: createKeys(store, { now: () => NOW, randomBytes, ...options }), store, path };
}
