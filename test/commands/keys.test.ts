import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { open as openFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { describe, it, type TestContext } from "node:test";
import { createAuthenticator } from "../../src/access/authenticate.ts";
import { createKeys } from "../../src/access/keys.ts";
import { openStore } from "../../src/store/open.ts";
import { postgresMissing, sharedPostgres } from "../servers/postgres.ts";
import { openTempStore, tempDir } from "../store/temp-store.ts";
import { type CommandResult, runCommands, runProgram } from "./run-commands.ts";

const DAY_MS = 86_400_000;

describe("keys", () => {
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
    const created = await runProgram(url, ["keys", "create", "--name", "alice", "--json"]);
    assert.equal(created.code, 0);
    const { key: secret, ...settings } = JSON.parse(created.stdout);
    assert.match(secret, /^sk-[A-Za-z0-9_-]{43}$/);
    const store = await openStore(url);
    t.after(() => store.close());
    assert.equal((await createAuthenticator({ store, now: Date.now }).authenticate(secret)).key.id, settings.id);
    assert.deepEqual(JSON.parse((await keys("show", settings.id, "--json")).stdout).name, "alice");
  });

  it("prints one JSON object with the settings, the key in it, and nothing else on stdout", async (t) => {
    const { keys } = open(t);
    const before = Date.now();
    const { stdout, stderr } = await keys(
      ...["create", "--name", "alice", "--owner", "alice@example.com", "--team", "core", "--tags", "web, prod"],
      ...["--note", 'said "hi"', "--models", "anthropic.*, amazon.nova-lite-v1:0", "--rpm", "5", "--tpm", "1000"],
      ...["--parallel", "3", "--budget", "50", "--soft-budget", "40.5", "--budget-period", "day"],
      ...["--expires", "30d", "--json"],
    );
    const { id, prefix, expires_at, created_at, created_by, key, ...rest } = JSON.parse(stdout);
    assert.deepEqual(rest, {
      ...{ name: "alice", status: "active", owner: "alice@example.com", team: "core", tags: ["web", "prod"] },
      ...{ note: 'said "hi"', models: ["anthropic.*", "amazon.nova-lite-v1:0"], rpm: 5, tpm: 1000, parallel: 3 },
      ...{ budget_usd: "50", soft_budget_usd: "40.5", budget_period: "day" },
      ...{ blocked_at: null, revoked_at: null, last_used_at: null },
    });
    assert.match(id, /^key_/);
    assert.ok(key.startsWith(prefix));
    assert.ok(Math.abs(Date.parse(expires_at) - Date.parse(created_at) - 30 * DAY_MS) < 1000);
    assert.ok(Date.parse(created_at) >= before);
    assert.equal(created_by, `cli:${userInfo().username}`);
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

  it("lists keys as a table of at most 100 columns and as an array, all or those that are asked for", async (t) => {
    const { keys } = open(t);
    const long = "a name that goes on and on, ".repeat(3).trim();
    await keys("create", "--name", "alice", "--rpm", "5", "--team", "core", "--tags", "web", "--expires", "2099-12-31");
    await keys("create", "--name", long, "--team", long, "--models", "x".repeat(300));
    await keys("create", "--name", "bob");
    await keys("revoke", "bob");
    const [heading, alice, cut, bob] = (await keys("list")).stdout.split("\n");
    assert.match(heading ?? "", /^ID +NAME +TEAM +PREFIX +STATUS +LAST USED \(UTC\)$/);
    assert.match(alice ?? "", /^key_\w+ +alice +core +sk-\S{5} +active +never$/);
    assert.match(cut ?? "", /^key_\w+ +a name that goes on… {2}a name that g… {2}sk-\S{5} +active +never$/);
    assert.match(bob ?? "", /^key_\w+ +bob +- +sk-\S{5} +revoked +never$/);
    assert.ok(Math.max(...[heading, alice, cut, bob].map((line) => line?.length ?? 0)) <= 100);
    const names = async (...filter: string[]) =>
      JSON.parse((await keys("list", "--json", ...filter)).stdout).map((key: { name: string }) => key.name);
    assert.deepEqual(await names(), ["alice", long, "bob"]);
    assert.deepEqual(await names("--team", "core"), ["alice"]);
    assert.deepEqual(await names("--tag", "web", "--status", "active"), ["alice"]);
    assert.deepEqual(await names("--status", "revoked"), ["bob"]);
    const none = await keys("list", "--team", "nobody");
    assert.deepEqual([none.stdout, none.stderr], ["", "No such keys.\n"]);
  });

  it("prints an empty array when there are no keys", async (t) => {
    const { keys } = open(t);
    assert.deepEqual(await keys("list", "--json"), { code: 0, stdout: "[]\n", stderr: "" });
    assert.equal((await keys("list")).stdout, "");
  });

  it("changes and clears settings", async (t) => {
    const { keys } = open(t);
    const settings = {
      ...{ "--owner": "a", "--team": "core", "--tags": "x,y", "--note": "n", "--models": "a,b", "--rpm": "5" },
      ...{ "--tpm": "6", "--parallel": "7", "--budget": "50", "--soft-budget": "40", "--expires": "1h" },
    };
    const created = await keys("create", "--name", "alice", ...Object.entries(settings).flat(), "--json");
    const { id, prefix, created_at, created_by } = JSON.parse(created.stdout);
    const clearing = Object.keys(settings).flatMap((option) => [option, "none"]);
    assert.deepEqual(JSON.parse((await keys("update", "alice", ...clearing, "--json")).stdout), {
      ...{ id, name: "alice", prefix, status: "active", owner: null, team: null, tags: [], note: null, models: [] },
      ...{ rpm: null, tpm: null, parallel: null, budget_usd: null, soft_budget_usd: null, budget_period: "month" },
      ...{ expires_at: null, created_at, created_by, blocked_at: null, revoked_at: null, last_used_at: null },
    });
    const set = await keys("update", "alice", "--rpm", "7", "--name", "alicia", "--expires", "2099-12-31", "--json");
    const key = JSON.parse(set.stdout);
    assert.deepEqual([key.rpm, key.name, key.expires_at], [7, "alicia", "2099-12-31T23:59:59.999Z"]);
  });

  it("blocks and unblocks a key", async (t) => {
    const { keys } = open(t);
    await keys("create", "--name", "alice");
    const blocked = JSON.parse((await keys("block", "alice", "--json")).stdout);
    assert.equal(blocked.status, "blocked");
    assert.ok(Math.abs(Date.parse(blocked.blocked_at) - Date.now()) < 60_000);
    assert.match((await keys("show", "alice")).stdout, /^status +blocked since \d{4}-/m);
    const unblocked = JSON.parse((await keys("unblock", "alice", "--json")).stdout);
    assert.deepEqual([unblocked.status, unblocked.blocked_at], ["active", null]);
  });

  it("shows what a key has spent in the running period of its budget", async (t) => {
    const { store, url } = await openTempStore(t);
    const keys = createKeys(store, { now: Date.now, randomBytes, by: "test" });
    const { key } = await keys.create({ name: "alice", budget: 50n * 10n ** 12n });
    await keys.create({ name: "bob" });
    const startedAt = Date.now();
    await store.calls.open({
      ...{ id: "call", keyId: key.id, team: null, instance: "here", dialect: "openai-chat", modelRequested: "nova" },
      ...{ modelInvoked: "nova", region: "us-east-1", stream: false, startedAt, inputEstimate: 1, reserved: 0n },
      budgets: [],
    });
    const usage = { inputTokens: 1, outputTokens: 1, cacheReadTokens: 0, cacheWriteTokens: 0 };
    const closing = { status: "ok", httpStatus: 200, usage, estimated: false, finishedAt: startedAt + 1 } as const;
    await store.calls.close("call", { ...closing, cost: 1_250_000_000_001n });
    const show = async (name: string) => JSON.parse((await runCommands(url, ["keys", "show", name, "--json"])).stdout);
    assert.equal((await show("alice")).spent_usd, "1.250000000001");
    assert.equal((await show("bob")).spent_usd, null);
    const { stdout } = await runCommands(url, ["keys", "show", "alice"]);
    assert.match(stdout, /^budget +50 USD a month$/m);
    assert.match(stdout, /^spent +1\.250000000001 USD$/m);
  });

  it("says who changed what, newest first, of all or of one", async (t) => {
    const { keys, url } = open(t);
    assert.deepEqual((await keys("audit", "--json")).stdout, "[]\n");
    const { id } = JSON.parse((await keys("create", "--name", "alice", "--rpm", "5", "--json")).stdout);
    await keys("create", "--name", "bob", "--note", "n".repeat(1000));
    await keys("update", "alice", "--rpm", "7");
    await runCommands(url, ["teams", "set", "core", "--budget", "5"]);
    const entries = JSON.parse((await keys("audit", "--json")).stdout);
    const actions = (list: { action: string }[]) => list.map(({ action }) => action);
    assert.deepEqual(actions(entries), ["team.set", "key.update", "key.create", "key.create"]);
    assert.deepEqual(entries[1].changes, { rpm: { from: 5, to: 7 } });
    assert.deepEqual([entries[1].subject, entries[1].by], [id, `cli:${userInfo().username}`]);
    assert.ok(Math.abs(Date.parse(entries[1].at) - Date.now()) < 60_000);
    assert.deepEqual(actions(JSON.parse((await keys("audit", "alice", "--json")).stdout)), [
      "key.update",
      "key.create",
    ]);
    assert.deepEqual(actions(JSON.parse((await keys("audit", "--team", "core", "--json")).stdout)), ["team.set"]);
    assert.deepEqual(actions(JSON.parse((await keys("audit", "--limit", "1", "--json")).stdout)), ["team.set"]);
    const { stdout } = await keys("audit");
    assert.ok(Math.max(...stdout.split("\n").map((line) => line.length)) <= 100);
    assert.match((await keys("audit", "alice")).stdout, /^\d{4}-\S+ \d\d:\d\d {2}cli:\S+ +key\.update {2}rpm: 5 → 7$/m);
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
    [["create", "--name", "x", "--rpm", "many"], /--rpm: "many".*whole number/],
    [["create", "--name", "x", "--rpm", "0"], /--rpm: "0".*whole number/],
    [["create", "--name", "x", "--tpm", "1.5"], /--tpm: "1\.5".*whole number/],
    [["create", "--name", "x", "--parallel", "-1"], /--parallel: "-1".*whole number/],
    [["create", "--name", "x", "--budget", "a lot"], /--budget: "a lot".*0\.25/],
    [["create", "--name", "x", "--budget", "0.0000001"], /--budget: /],
    [["create", "--name", "x", "--budget", "9000001"], /--budget: .*at most 9000000 USD/],
    [["create", "--name", "x", "--budget", "0"], /--budget: .*more than 0/],
    [["create", "--name", "x", "--budget", "5", "--soft-budget", "6"], /--soft-budget: .*\(6 USD\).*\(5 USD\)/],
    [["create", "--name", "x", "--tags", ","], /--tags: /],
    [["create", "--name", "x", "--note", ""], /--note: /],
    [["create", "--name", "x", "--rpm", "x", "--note", " "], /--rpm: .*\n--note: /],
    [["create", "--name", "a\u202eb"], /--name: .*printable/],
    [["update", "good", "--soft-budget", "6"], /--soft-budget: .*\(5 USD\)/],
    [["block", "nobody"], /nobody.*keys list/],
    [["rotate", "good", "--grace", "366d"], /--grace: .*365 days/],
    [["audit", "nobody"], /nobody.*keys list/],
    [["audit", "good", "--team", "core"], /not both/],
    [["audit", "--limit", "0"], /--limit "0"/],
    [["import", "nowhere.csv"], /nowhere\.csv can't be read: ENOENT/],
    [["import", "-"], /stdin has 1 problem, and no key was made:\n {2}line 1: /],
    [["create", "--name", "x", "--rpm", "9999999999"], /--rpm: .*whole number/],
    [["create", "--name", "x", "--expires", "2026-02-31"], /--expires: "2026-02-31".*30d/],
    [["create", "--name", "x", "--expires", "2020-01-01"], /--expires: .*future/],
    [["create", "--name", "x", "--expires", "0d"], /--expires: .*future/],
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
      await createKeys(store, { now: Date.now, randomBytes, by: "test" }).create({
        name: "good",
        budget: 5n * 10n ** 12n,
      });
      const before = await store.keys.list();
      const { code, stdout, stderr } = await runCommands(url, ["keys", ...args]);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /\n +at /);
      assert.deepEqual(await store.keys.list(), before);
    });
  }

  for (const args of [
    [],
    ["create"],
    ["make"],
    ["create", "--name", "x", "--colour", "red"],
    ["show"],
    ["list", "--status", "gone"],
    ["import", "-", "--csv", "--json"],
  ]) {
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

  it("does the same over PostgreSQL", { skip: postgresMissing() }, async (t) => {
    const server = await sharedPostgres();
    const url = await server.createDatabase();
    const keys = (...args: string[]) => runCommands(url, ["keys", ...args]);
    const created = await keys(
      "create",
      "--name",
      "alice",
      "--team",
      "core",
      "--tags",
      "a,日本",
      "--budget",
      "50",
      "--json",
    );
    const { key: secret, id } = JSON.parse(created.stdout);
    assert.equal((await runCommands(url, ["keys", "import", "-"], "name,budget\nbob,9000000\n=x,\n")).code, 0);
    await keys("update", "alice", "--rpm", "5");
    await keys("block", "alice");
    await runCommands(url, ["teams", "set", "core", "--budget", "0.000001"]);
    const shown = JSON.parse((await keys("show", "alice", "--json")).stdout);
    assert.deepEqual(
      [shown.status, shown.rpm, shown.tags, shown.budget_usd, shown.spent_usd],
      ["blocked", 5, ["a", "日本"], "50", "0"],
    );
    await keys("unblock", "alice");
    const names = JSON.parse((await keys("list", "--json")).stdout).map(({ name }: { name: string }) => name);
    assert.deepEqual(names.toSorted(), ["=x", "alice", "bob"]);
    const actions = JSON.parse((await keys("audit", "alice", "--json")).stdout).map(
      (row: { action: string }) => row.action,
    );
    assert.deepEqual(actions, ["key.unblock", "key.block", "key.update", "key.create"]);
    const team = JSON.parse((await runCommands(url, ["teams", "show", "core", "--json"])).stdout);
    assert.deepEqual([team.keys, team.budget_usd, team.spent_usd], [1, "0.000001", "0"]);
    const store = await openStore(url);
    t.after(() => store.close());
    const caller = await createAuthenticator({ store, now: Date.now }).authenticate(secret);
    assert.deepEqual([caller.key.id, caller.team?.budget], [id, 1_000_000n]);
  });

  it("says in one line that PostgreSQL can't be reached", async () => {
    const { code, stdout, stderr } = await runCommands("postgres://u:secret@127.0.0.1:1/gateway", ["keys", "list"]);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /^error: DATABASE_URL: [^\n]+\n$/);
    assert.doesNotMatch(stderr, /secret/);
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
