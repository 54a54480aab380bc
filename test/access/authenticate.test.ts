import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Authenticator, createAuthenticator } from "../../src/access/authenticate.ts";
import { createKeys, type Keys } from "../../src/access/keys.ts";
import { createTeams, type Teams } from "../../src/access/teams.ts";
import { GatewayError } from "../../src/errors.ts";
import type { KeyStore } from "../../src/store/store.ts";
import { exitCode, openTempStore, spawnWithStore } from "../store/temp-store.ts";

const NOW = 1_800_000_000_000;

describe("createAuthenticator", () => {
  it("knows a key by its secret", async (t) => {
    const { keys, authenticator } = await open(t);
    const { key, secret } = await keys.create({ name: "alice", rpm: 7 });
    const caller = await authenticator.authenticate(secret);
    assert.deepEqual([caller.key, caller.team], [key, null]);
    assert.equal(await authenticator.authenticate(secret), caller);
  });

  it("brings the limits of the key's team, as they are within a second", async (t) => {
    const { keys, teams, authenticator, clock } = await open(t);
    const { secret } = await keys.create({ name: "alice", team: "core" });
    assert.equal((await authenticator.authenticate(secret)).team, null);
    await teams.set("core", { rpm: 600 });
    await teams.set("other", { rpm: 1 });
    clock.now += 1000;
    const { team } = await authenticator.authenticate(secret);
    assert.deepEqual([team?.name, team?.rpm, team?.tpm], ["core", 600, null]);
    await keys.update("alice", { team: null });
    clock.now += 1000;
    assert.equal((await authenticator.authenticate(secret)).team, null);
  });

  it("refuses a blocked key within a second, with all its secrets, and lets it in again", async (t) => {
    const { keys, authenticator, clock } = await open(t);
    const first = await keys.create({ name: "alice", expiresAt: NOW + 60_000 });
    const second = await keys.rotate("alice", { graceMs: 60_000 });
    for (const { secret } of [first, second]) await authenticator.authenticate(secret);
    await keys.block("alice");
    clock.now += 1000;
    for (const { secret } of [first, second]) await refused(authenticator, secret, /sk-.{5}… has been blocked\.$/);
    await keys.unblock("alice");
    clock.now += 1000;
    for (const { secret } of [first, second]) await authenticator.authenticate(secret);
  });

  it("asks again for what it read before the clock was set back", async (t) => {
    const { keys, authenticator, clock } = await open(t);
    const { secret } = await keys.create({ name: "alice" });
    await authenticator.authenticate(secret);
    clock.now -= 3_600_000;
    await keys.revoke("alice");
    await refused(authenticator, secret, /revoked/);
  });

  it("tells a missing, a malformed and an unknown key apart", async (t) => {
    const { authenticator } = await open(t);
    for (const secret of [undefined, ""]) await refused(authenticator, secret, /No API key was given/);
    for (const secret of ["sk-", "hello", `sk-${"a".repeat(42)}`, `sk-${"a".repeat(44)}`, `sk-${"a".repeat(42)}!`]) {
      await refused(authenticator, secret, /malformed/);
    }
    await refused(authenticator, `sk-${"a".repeat(43)}`, /sk-aaaaa….*not known/);
  });

  it("refuses a revoked, an expired and a replaced key, each with its reason", async (t) => {
    const { keys, authenticator, clock } = await open(t);
    const revoked = await keys.create({ name: "revoked" });
    const expired = await keys.create({ name: "expired", expiresAt: NOW + 1000 });
    const replaced = await keys.create({ name: "replaced" });
    await keys.revoke("revoked");
    await keys.rotate("replaced");
    clock.now += 1000;
    await refused(authenticator, revoked.secret, /revoked/);
    await refused(authenticator, expired.secret, /expired on 2027-01-15T08:00:01/);
    await refused(authenticator, replaced.secret, /replaced/);
  });

  it("never repeats more of a secret than its display prefix", async (t) => {
    const { keys, authenticator } = await open(t);
    const { key, secret } = await keys.create({ name: "alice" });
    await keys.revoke(key.id);
    for (const wrong of [secret, `sk-${"Q".repeat(43)}`, `sk-${"Q".repeat(30)}`, "QQQQQQQQQ"]) {
      const error = await authenticator.authenticate(wrong).catch((thrown: unknown) => thrown);
      assert.ok(error instanceof GatewayError);
      assert.ok(!error.message.includes(wrong.slice(0, 9)), error.message);
    }
  });

  it("lets an expiry hold to the millisecond, cached or not", async (t) => {
    const { keys, authenticator, clock } = await open(t);
    const { secret } = await keys.create({ name: "alice", expiresAt: NOW + 100 });
    clock.now += 99;
    await authenticator.authenticate(secret);
    clock.now += 1;
    await refused(authenticator, secret, /expired/);
  });

  it("accepts the old secret until the grace of a rotation ends, and the new one at once", async (t) => {
    const { keys, authenticator, clock } = await open(t);
    const old = await keys.create({ name: "alice" });
    await authenticator.authenticate(old.secret);
    const rotated = await keys.rotate("alice", { graceMs: 60_000 });
    clock.now += 59_999;
    assert.equal((await authenticator.authenticate(old.secret)).key.id, old.key.id);
    assert.equal((await authenticator.authenticate(rotated.secret)).key.id, old.key.id);
    clock.now += 1;
    await refused(authenticator, old.secret, /replaced/);
    await authenticator.authenticate(rotated.secret);
  });

  it("lets a second rotation shorten an earlier grace, never lengthen it", async (t) => {
    const { keys, authenticator, clock } = await open(t);
    const first = await keys.create({ name: "alice" });
    const second = await keys.rotate("alice", { graceMs: 1000 });
    const third = await keys.rotate("alice", { graceMs: 60_000 });
    clock.now += 1000;
    await refused(authenticator, first.secret, /replaced/);
    await authenticator.authenticate(second.secret);
    await keys.rotate("alice");
    clock.now += 1000;
    for (const { secret } of [second, third]) await refused(authenticator, secret, /replaced/);
  });

  it("ends every secret of a revoked key", async (t) => {
    const { keys, authenticator } = await open(t);
    const first = await keys.create({ name: "alice" });
    const second = await keys.rotate("alice", { graceMs: 60_000 });
    await keys.revoke("alice");
    for (const { secret } of [first, second]) await refused(authenticator, secret, /revoked/);
  });

  for (const change of ["revoke", "block"] as const) {
    it(`sees that another process did ${change} a key within 2 seconds, on a key in constant use`, async (t) => {
      const { store, url } = await openTempStore(t);
      const keys = createKeys(store, { now: Date.now, randomBytes, by: "test" });
      const { key, secret } = await keys.create({ name: "alice" });
      const authenticator = createAuthenticator({ store, now: Date.now });
      await authenticator.authenticate(secret);
      const changer = spawnWithStore(
        t,
        url,
        `const store = await openStore(url);
         await createKeys(store, { now: Date.now, randomBytes, by: "test" }).${change}(${JSON.stringify(key.id)});
         await store.close();`,
      );
      const exited = exitCode(changer);
      let changedAt = Number.POSITIVE_INFINITY;
      exited.then(() => {
        changedAt = performance.now();
      });
      while (
        await authenticator.authenticate(secret).then(
          () => true,
          () => false,
        )
      ) {
        assert.ok(performance.now() - changedAt < 2000, "still accepted");
        await sleep(5);
      }
      assert.equal(await exited, 0);
      await refused(authenticator, secret, change === "revoke" ? /revoked/ : /blocked/);
    });
  }

  it("asks the store once for many requests at once, and once in a second afterwards", async (t) => {
    const { keys, store, authenticator, clock } = await open(t);
    const { secret } = await keys.create({ name: "alice" });
    await Promise.all(Array.from({ length: 50 }, () => authenticator.authenticate(secret)));
    assert.equal(store.lookups, 1);
    clock.now += 999;
    await authenticator.authenticate(secret);
    assert.equal(store.lookups, 1);
    clock.now += 1;
    await authenticator.authenticate(secret);
    assert.equal(store.lookups, 2);
  });

  it("accepts a key that was refused before it was made", async (t) => {
    const { keys, authenticator } = await open(t, { randomBytes: (size) => new Uint8Array(size) });
    const secret = `sk-${"A".repeat(43)}`;
    await refused(authenticator, secret, /not known/);
    await keys.create({ name: "alice" });
    await authenticator.authenticate(secret);
  });

  it("keeps a bounded number of keys, and guesses push none of them out", async (t) => {
    const { keys, store, authenticator } = await open(t, { maxCachedKeys: 2 });
    const issued = [
      await keys.create({ name: "a" }),
      await keys.create({ name: "b" }),
      await keys.create({ name: "c" }),
    ];
    for (const { secret } of issued) await authenticator.authenticate(secret);
    for (let n = 10; n < 30; n++) await refused(authenticator, `sk-${String(n).padEnd(43, "x")}`, /not known/);
    store.lookups = 0;
    for (const { secret } of issued.slice(1)) await authenticator.authenticate(secret);
    assert.equal(store.lookups, 0);
    await authenticator.authenticate(issued[0]?.secret);
    assert.equal(store.lookups, 1);
  });

  it("answers 503 when the store cannot be read, and recovers", async (t) => {
    const { keys, store, authenticator } = await open(t);
    const { secret } = await keys.create({ name: "alice" });
    store.failing = true;
    await assert.rejects(authenticator.authenticate(secret), (error: unknown) => {
      assert.ok(error instanceof GatewayError);
      assert.equal(error.status, 503);
      assert.doesNotMatch(error.message, /disk/);
      return true;
    });
    store.failing = false;
    await authenticator.authenticate(secret);
  });

  it("notes the time of last use, at most once a minute", async (t) => {
    const { keys, store, authenticator, clock } = await open(t);
    const { secret } = await keys.create({ name: "alice" });
    const use = async (): Promise<number | null> => {
      await authenticator.authenticate(secret);
      await store.touched;
      return (await keys.show("alice")).lastUsedAt;
    };
    assert.equal(await use(), NOW);
    clock.now += 59_999;
    assert.equal(await use(), NOW);
    clock.now += 1;
    assert.equal(await use(), NOW + 60_000);
  });

  it("does not note the use of a key that it refuses", async (t) => {
    const { keys, authenticator } = await open(t);
    const { secret } = await keys.create({ name: "alice" });
    await keys.revoke("alice");
    await refused(authenticator, secret, /revoked/);
    assert.equal((await keys.show("alice")).lastUsedAt, null);
  });

  it("lets a request pass when the time of last use cannot be written", async (t) => {
    const errors: unknown[] = [];
    const { keys, store, authenticator } = await open(t, { onTouchError: (error) => errors.push(error) });
    const { secret } = await keys.create({ name: "alice" });
    store.touchFails = true;
    await authenticator.authenticate(secret);
    await store.touched;
    assert.equal(errors.length, 1);
  });
});

/** The real store's keys, watched, and broken on demand. */
interface WatchedKeys {
  readonly keys: KeyStore;
  lookups: number;
  failing: boolean;
  touchFails: boolean;
  touched: Promise<void>;
}

interface Opened {
  readonly keys: Keys;
  readonly teams: Teams;
  readonly store: WatchedKeys;
  readonly authenticator: Authenticator;
  readonly clock: { now: number };
}

async function open(
  t: TestContext,
  options: {
    randomBytes?: (size: number) => Uint8Array;
    maxCachedKeys?: number;
    onTouchError?: (error: unknown) => void;
  } = {},
): Promise<Opened> {
  const { store } = await openTempStore(t);
  const clock = { now: NOW };
  const now = () => clock.now;
  const watched: WatchedKeys = {
    lookups: 0,
    failing: false,
    touchFails: false,
    touched: Promise.resolve(),
    keys: {
      ...store.keys,
      findBySecret(sha256) {
        watched.lookups++;
        return watched.failing ? Promise.reject(new Error("disk I/O error")) : store.keys.findBySecret(sha256);
      },
      touch(id, at) {
        const written = watched.touchFails ? Promise.reject(new Error("disk full")) : store.keys.touch(id, at);
        watched.touched = written.catch(() => {});
        return written;
      },
    },
  };
  const keys = createKeys(store, { now, randomBytes: options.randomBytes ?? randomBytes, by: "test" });
  const teams = createTeams(store, { now, by: "test" });
  return {
    keys,
    teams,
    store: watched,
    authenticator: createAuthenticator({ store: watched, now, ...options }),
    clock,
  };
}

async function refused(authenticator: Authenticator, secret: string | undefined, message: RegExp): Promise<void> {
  await assert.rejects(authenticator.authenticate(secret), (error: unknown) => {
    assert.ok(error instanceof GatewayError);
    assert.equal(error.code, "invalid_api_key");
    assert.match(error.message, message);
    return true;
  });
}
