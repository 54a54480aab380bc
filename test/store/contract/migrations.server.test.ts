import assert from "node:assert/strict";
import { it } from "node:test";
import { MIGRATIONS } from "../../../src/store/migrations.ts";
import { openStore } from "../../../src/store/open.ts";
import { changeAt, describeStores, newKey } from "./stores.ts";

/** Released with version 0.1. */
const FIRST_RELEASE = MIGRATIONS.slice(0, 3);

const at = (iso: string) => Date.parse(iso);
const DECEMBER = at("2026-12-01T00:30:00Z");

interface OldCall {
  readonly id: string;
  readonly key?: string;
  readonly team?: string;
  readonly attemptOf?: string;
  readonly model?: string;
  readonly at?: number;
  /** Undefined: still open. */
  readonly status?: string;
  readonly tokens?: number;
  readonly estimated?: boolean;
  readonly cost?: bigint;
}

function insertCall(call: OldCall): string {
  const { id, key = "key_1", team, attemptOf, model = "m", at = DECEMBER, status, tokens = 0, cost } = call;
  const text = (value: string | undefined) => (value === undefined ? "NULL" : `'${value}'`);
  return `INSERT INTO calls (id, key_id, team, dialect, model_requested, model_invoked, region, stream, started_at, status,
      http_status, input_tokens, estimated, finished_at, call_id, cost)
    VALUES ('${id}', '${key}', ${text(team)}, 'openai-chat', 'm', '${model}', 'us-east-1', 0, ${at}, ${text(status)},
      ${status === undefined ? "NULL, 0, 0, NULL" : `200, ${tokens}, ${Number(call.estimated ?? false)}, ${at + 5}`},
      ${text(attemptOf)}, ${cost ?? "NULL"});`;
}

const OLD_KEYS = `
  INSERT INTO keys (id, name, team, models, created_at) VALUES ('key_1', 'alice', 'red', '["m"]', 1);
  INSERT INTO keys (id, name, models, created_at) VALUES ('key_2', 'bob', '[]', 2);
  INSERT INTO secrets (sha256, key_id, prefix, created_at, replaced_at) VALUES ('a', 'key_1', 'sk-a', 1, 9000);
  INSERT INTO secrets (sha256, key_id, prefix, created_at) VALUES ('b', 'key_1', 'sk-b', 1), ('c', 'key_2', 'sk-c', 2);`;

describeStores("an older database", ({ kind, open, createDatabase, createOlder, run }) => {
  it("keeps its keys, which are unlimited in what is new", async (t) => {
    const url = await createOlder(t, FIRST_RELEASE);
    await run(url, OLD_KEYS);
    const { keys } = await open(t, url);
    const [alice, bob] = await keys.list();
    assert.deepEqual(
      [alice?.name, alice?.prefix, alice?.models, alice?.tags, alice?.budget, alice?.budgetPeriod, alice?.createdBy],
      ["alice", "sk-b", ["m"], [], null, "month", null],
    );
    assert.equal(bob?.prefix, "sk-c");
    assert.equal((await keys.findBySecret("a"))?.replacedAt, 9000);
    assert.equal((await keys.update("key_1", { tpm: 5 }, changeAt(5)))?.tpm, 5);
  });

  it("has its calls in the totals, as they were counted then", async (t) => {
    const url = await createOlder(t, FIRST_RELEASE);
    const calls: OldCall[] = [
      // More than 64 bits of pico-dollars altogether.
      { id: "1", team: "red", status: "ok", tokens: 10, cost: 9_000_000_000_000_000_001n },
      { id: "2", team: "red", status: "ok", tokens: 20, cost: 9_000_000_000_000_999_999n },
      { id: "3", status: "error" },
      { id: "4", status: "interrupted", tokens: 5, estimated: true, cost: 7n },
      // One request in three rows, two of which are estimated and unpriced.
      { id: "5", status: "ok", tokens: 1, cost: 1n },
      { id: "5a", attemptOf: "5", model: "n", at: DECEMBER + 1, status: "ok", tokens: 2, estimated: true },
      { id: "5b", attemptOf: "5", model: "o", at: DECEMBER + 2, status: "error", tokens: 4, estimated: true },
      { id: "6", key: "key_2" },
      { id: "7", key: "key_2", at: at("2025-02-28T23:59:59.999Z"), status: "ok", tokens: 3 },
    ];
    await run(url, OLD_KEYS + calls.map(insertCall).join(""));
    const { reports, calls: ledger } = await open(t, url);

    const totals = await reports.totals({ by: "model" });
    assert.deepEqual(
      totals.map((row) => [row.group, row.requests, row.errors, row.interrupted, row.inputTokens, row.cost]),
      [
        ["m", 7, 1, 1, 39, 18_000_000_000_001_000_008n],
        ["n", 0, 0, 0, 2, null],
        ["o", 0, 0, 0, 4, null],
      ],
    );
    assert.deepEqual(
      totals.map((row) => [row.group, row.estimatedRequests, row.unpricedRequests]),
      [
        ["m", 1, 1],
        ["n", 1, 1],
        ["o", 0, 0],
      ],
    );
    assert.deepEqual(
      (await reports.totals({ by: "day" })).map((row) => [row.group, row.requests]),
      [
        ["2025-02-28", 1],
        ["2026-12-01", 6],
      ],
    );
    assert.deepEqual(
      (await reports.totals({ by: "team" })).map((row) => [row.group, row.inputTokens]),
      [
        ["red", 30],
        [null, 15],
      ],
    );
    assert.equal((await ledger.get("6"))?.closing, undefined);
    assert.equal((await ledger.get("2"))?.closing?.cost, 9_000_000_000_000_999_999n);
  });

  it("knows what each key and team has spent in the newest day and month, and in all time", async (t) => {
    const url = await createOlder(t, FIRST_RELEASE);
    const priced = { team: "red", status: "ok", tokens: 1 };
    const leapDay = at("2024-02-29T12:00:00Z");
    const calls: OldCall[] = [
      { id: "1", ...priced, at: at("2024-01-31T23:59:59.999Z"), cost: 1_000_001n },
      { id: "2", ...priced, at: at("2024-02-01T00:00:00Z"), cost: 10_999_999n },
      { id: "3", ...priced, at: leapDay, cost: 100_000_000n },
      { id: "4", ...priced, at: leapDay + 1, cost: 5n },
      { id: "5", key: "key_2", status: "ok", cost: 3n },
      { id: "6", key: "key_2", status: "ok", cost: 0n, at: DECEMBER + 86_400_000 },
    ];
    await run(url, OLD_KEYS + calls.map(insertCall).join(""));
    const { calls: ledger } = await open(t, url);
    const spent = async (subject: "key:key_1" | "key:key_2" | "team:red", now: number) => {
      const budgets = (["day", "month", "total"] as const).map((period) => ({ subject, period, limit: undefined }));
      return (await ledger.budgets(budgets, now)).map((state) => state.spent);
    };
    for (const subject of ["key:key_1", "team:red"] as const) {
      assert.deepEqual(await spent(subject, leapDay), [100_000_005n, 111_000_004n, 112_000_005n]);
    }
    assert.deepEqual(await spent("key:key_1", at("2024-03-01T00:00:00Z")), [0n, 0n, 112_000_005n]);
    assert.deepEqual(await spent("key:key_2", DECEMBER), [3n, 3n, 3n]);
    assert.deepEqual(await spent("key:key_2", DECEMBER - 3_600_000), [3n, 3n, 3n]);
  });

  it("goes through every step from the first", async (t) => {
    for (let known = 1; known <= MIGRATIONS.length; known++) {
      const { keys } = await open(t, await createOlder(t, MIGRATIONS.slice(0, known)));
      assert.equal((await keys.create([newKey(1)], changeAt(1))).length, 1);
    }
  });

  it("stays as it is when a step fails", async (t) => {
    const url = await createOlder(t, FIRST_RELEASE);
    // What a later step would make is there already.
    await run(url, "CREATE TABLE usage_hours (x TEXT)");
    await assert.rejects(openStore(url), /DATABASE_URL.*usage_hours/);
    await run(url, "DROP TABLE usage_hours");
    await (await open(t, url)).keys.list();
  });

  it("is refused when it is newer than the gateway", async (t) => {
    const url = await createDatabase(t);
    await (await openStore(url)).close();
    const newer = MIGRATIONS.length + 1;
    await run(
      url,
      kind === "sqlite" ? `PRAGMA user_version = ${newer}` : `UPDATE gateway_schema SET version = ${newer}`,
    );
    await assert.rejects(openStore(url), /DATABASE_URL.*newer version of the gateway/);
  });

  it("is refused, and left alone, when it is another program's", async (t) => {
    const url = await createDatabase(t);
    await run(url, "CREATE TABLE keys (door TEXT); INSERT INTO keys VALUES ('front')");
    await assert.rejects(openStore(url), /DATABASE_URL.*another program/);
    // Fails where there is no such column.
    await run(url, "INSERT INTO keys (door) SELECT door FROM keys");
  });
});
