import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { open as openFile } from "node:fs/promises";
import { describe, it, type TestContext } from "node:test";
import { createAuthenticator } from "../../src/access/authenticate.ts";
import { createKeys } from "../../src/access/keys.ts";
import { openStore } from "../../src/store/open.ts";
import { openTempStore, tempDir } from "../store/temp-store.ts";
import { type CommandResult, runCommands } from "./run-commands.ts";

const DAY_MS = 86_400_000;

describe("keys", { concurrency: 2 }, () => {
  it("says in one line that the database is damaged", async (t) => {
    const { keys, url } = open(t);
    await keys("create", "--name", "alice");
    const file = await openFile(url.slice("sqlite:".length), "r+");
    const { size } = await file.stat();
    // All but the first page, which says that it is a database and of which version.
    await file.write(Buffer.alloc(size - 4096, 0xff), 0, size - 4096, 4096);
    await file.close();
    for (const args of [["list"], ["create", "--name", "bob"]]) {
      const { code, stdout, stderr } = await keys(...args);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, /^error: DATABASE_URL: [^\n]+malformed\n$/);
    }
  });

  it("creates the database and a key that works, before any gateway has started", async (t) => {
    const { keys, url } = open(t);
    const created = await keys("create", "--name", "alice", "--json");
    assert.equal(created.code, 0);
    const { key: secret, ...settings } = JSON.parse(created.stdout);
    assert.match(secret, /^sk-[A-Za-z0-9_-]{43}$/);
    const store = await openStore(url);
    t.after(() => store.close());
    assert.equal((await createAuthenticator({ store, now: Date.now }).authenticate(secret)).id, settings.id);
    assert.deepEqual(JSON.parse((await keys("show", settings.id, "--json")).stdout).name, "alice");
  });

  it("prints one JSON object with the settings, the key in it, and nothing else on stdout", async (t) => {
    const { keys } = open(t);
    const before = Date.now();
    const { stdout, stderr } = await keys(
      ...[
        "create",
        "--name",
        "alice",
        "--team",
        "core",
        "--rpm",
        "5",
        "--models",
        "anthropic.*, amazon.nova-lite-v1:0",
      ],
      ...["--expires", "30d", "--json"],
    );
    const { id, prefix, expires_at, created_at, key, ...rest } = JSON.parse(stdout);
    assert.deepEqual(rest, {
      name: "alice",
      team: "core",
      status: "active",
      models: ["anthropic.*", "amazon.nova-lite-v1:0"],
      rpm: 5,
      revoked_at: null,
      last_used_at: null,
    });
    assert.match(id, /^key_/);
    assert.ok(key.startsWith(prefix));
    assert.ok(Math.abs(Date.parse(expires_at) - Date.parse(created_at) - 30 * DAY_MS) < 1000);
    assert.ok(Date.parse(created_at) >= before);
    assert.match(stderr, /only time/);
  });

  it("shows the key to people once, with a warning, and never again", async (t) => {
    const { keys } = open(t);
    const created = await keys("create", "--name", "alice");
    const secret = /^key +(sk-\S+)$/m.exec(created.stdout)?.[1];
    assert.ok(secret);
    assert.match(created.stderr, /only time the key is shown/);
    for (const args of [["list"], ["show", "alice"], ["list", "--json"], ["show", "alice", "--json"]]) {
      const { stdout, stderr } = await keys(...args);
      assert.ok(stdout.includes(secret.slice(0, 8)));
      assert.ok(!(stdout + stderr).includes(secret));
    }
  });

  it("lists keys as a table and as an array", async (t) => {
    const { keys } = open(t);
    await keys("create", "--name", "alice", "--rpm", "5", "--team", "core", "--expires", "2099-12-31");
    await keys("create", "--name", "bob");
    await keys("revoke", "bob");
    const [heading, alice, bob] = (await keys("list")).stdout.split("\n");
    assert.match(heading ?? "", /^ID +NAME +TEAM +PREFIX +STATUS +RPM +MODELS +EXPIRES \(UTC\) +LAST USED \(UTC\)$/);
    assert.match(alice ?? "", /^key_\w+ +alice +core +sk-\S{5} +active +5 +all +2099-12-31 23:59 +never$/);
    assert.match(bob ?? "", /^key_\w+ +bob +- +sk-\S{5} +revoked +- +all +never +never$/);
    const names = JSON.parse((await keys("list", "--json")).stdout).map((key: { name: string }) => key.name);
    assert.deepEqual(names, ["alice", "bob"]);
  });

  it("prints an empty array when there are no keys", async (t) => {
    const { keys } = open(t);
    assert.deepEqual(await keys("list", "--json"), { code: 0, stdout: "[]\n", stderr: "" });
    assert.equal((await keys("list")).stdout, "");
  });

  it("changes and clears settings", async (t) => {
    const { keys } = open(t);
    await keys("create", "--name", "alice", "--rpm", "5", "--models", "a,b", "--team", "core", "--expires", "1h");
    const cleared = await keys(
      ...["update", "alice", "--rpm", "none", "--models", "none", "--team", "none", "--expires", "none", "--json"],
    );
    const { rpm, models, team, expires_at } = JSON.parse(cleared.stdout);
    assert.deepEqual({ rpm, models, team, expires_at }, { rpm: null, models: [], team: null, expires_at: null });
    const set = await keys("update", "alice", "--rpm", "7", "--name", "alicia", "--expires", "2099-12-31", "--json");
    const key = JSON.parse(set.stdout);
    assert.deepEqual([key.rpm, key.name, key.expires_at], [7, "alicia", "2099-12-31T23:59:59.999Z"]);
  });

  it("revokes and rotates by id or name, and prints the new key", async (t) => {
    const { keys } = open(t);
    const first = JSON.parse((await keys("create", "--name", "alice", "--json")).stdout);
    const second = JSON.parse((await keys("rotate", "alice", "--grace", "1h", "--json")).stdout);
    assert.equal(second.id, first.id);
    assert.notEqual(second.key, first.key);
    const revoked = JSON.parse((await keys("revoke", first.id, "--json")).stdout);
    assert.equal(revoked.status, "revoked");
    assert.ok(Math.abs(Date.parse(revoked.revoked_at) - Date.now()) < 60_000);
    assert.equal(revoked.key, undefined);
  });

  const wrong: [string[], RegExp][] = [
    [["create", "--name", "x", "--rpm", "many"], /--rpm "many".*whole number/],
    [["create", "--name", "x", "--rpm", "0"], /--rpm "0".*whole number/],
    [["create", "--name", "x", "--rpm", "9999999999"], /--rpm: .*whole number/],
    [["create", "--name", "x", "--expires", "2026-02-31"], /--expires "2026-02-31".*30d/],
    [["create", "--name", "x", "--expires", "2020-01-01"], /--expires "2020-01-01".*future/],
    [["create", "--name", "x", "--expires", "0d"], /--expires "0d".*future/],
    [["create", "--name", "x", "--models", " ,"], /--models.*ids/],
    [["create", "--name", "x", "--models", "a b"], /--models: "a b"/],
    [["create", "--name", ""], /--name: /],
    [["update", "good"], /--rpm/],
    [["rotate", "good", "--grace", "soon"], /--grace "soon".*1h/],
    [["show", "nobody"], /nobody.*keys list/],
  ];
  for (const [args, message] of wrong) {
    it(`refuses keys ${args.join(" ")} with exit code 1 and writes nothing`, async (t) => {
      const { store, url } = await openTempStore(t);
      await createKeys(store, { now: Date.now, randomBytes }).create({ name: "good" });
      const before = await store.keys.list();
      const { code, stdout, stderr } = await runCommands(url, ["keys", ...args]);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /\n +at /);
      assert.deepEqual(await store.keys.list(), before);
    });
  }

  for (const args of [[], ["create"], ["make"], ["create", "--name", "x", "--colour", "red"], ["show"]]) {
    it(`refuses "${["keys", ...args].join(" ")}" as a usage error, exit code 2`, async (t) => {
      const { code, stdout, stderr } = await open(t).keys(...args);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.notEqual(stderr, "");
    });
  }

  it("names DATABASE_URL when it cannot be used", async () => {
    const { code, stderr } = await runCommands("mysql://db/gateway", ["keys", "list"]);
    assert.equal(code, 1);
    assert.match(stderr, /DATABASE_URL.*sqlite:PATH/);
  });

  it("prints its help on stdout", async (t) => {
    const { code, stdout } = await open(t).keys("create", "--help");
    assert.equal(code, 0);
    assert.match(stdout, /--rpm <number>/);
  });
});

function open(t: TestContext): { url: string; keys: (...args: string[]) => Promise<CommandResult> } {
  const url = `sqlite:${tempDir(t)}/data/gateway.db`;
  return { url, keys: (...args) => runCommands(url, ["keys", ...args]) };
}
