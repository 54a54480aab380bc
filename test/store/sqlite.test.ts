import assert from "node:assert/strict";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { DatabaseSync } from "node:sqlite";
import { describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type RawBuilder, sql } from "kysely";
import { createKeys } from "../../src/store/keys.ts";
import { openSqlite, type SqliteDatabase } from "../../src/store/sqlite.ts";
import { StoreUnavailable } from "../../src/store/store.ts";
import { changeAt, newKey } from "./contract/stores.ts";
import { tempDir } from "./temp-store.ts";

describe("a SQLite file that is removed or replaced while it is in use", () => {
  it("takes no writes that would be lost with it, and takes them again when it is back", async (t) => {
    const { database, connection, writes, path } = await openTemp(t);
    const grouped = (name: string) =>
      writes.run(() =>
        connection.prepare("INSERT INTO teams (name, budget_period, created_at) VALUES (?, '', 1)").run(name),
      );
    const whole = (name: string) =>
      database.write((transaction) => transaction.insertInto("teams").values(team(name)).execute());
    renameSync(path, `${path}.away`);
    const gone = { name: "StoreUnavailable", message: /was removed or replaced/ };
    for (const write of [grouped, whole]) await assert.rejects(write("lost"), gone);
    writeFileSync(path, "");
    for (const write of [grouped, whole]) await assert.rejects(write("lost"), gone);
    renameSync(`${path}.away`, path);
    await grouped("a");
    await whole("b");
    assert.deepEqual(await names(database), ["a", "b"]);
  });
});

describe("a transaction in SQLite", () => {
  it("keeps grouped writes and other statements out of it, and leaves them when it is undone", async (t) => {
    const { database, connection, writes } = await openTemp(t);
    const order: string[] = [];
    const entered = Promise.withResolvers<void>();
    const undone = database.write(async (transaction) => {
      await transaction.insertInto("teams").values(team("undone")).execute();
      entered.resolve();
      await sleep(50);
      order.push("transaction");
      throw new Error("not this one");
    });
    await entered.promise;
    const others = [
      writes
        .run(() => connection.prepare("INSERT INTO teams (name, budget_period, created_at) VALUES ('a', '', 1)").run())
        .then(() => order.push("grouped")),
      database.query
        .insertInto("teams")
        .values(team("b"))
        .execute()
        .then(() => order.push("single")),
      database.query
        .selectFrom("teams")
        .select("name")
        .execute()
        .then((rows) => {
          assert.ok(!rows.some(({ name }) => name === "undone"));
          order.push("read");
        }),
      database.write((transaction) => transaction.insertInto("teams").values(team("c")).execute()),
    ];
    await assert.rejects(undone, /not this one/);
    await Promise.all(others);
    assert.equal(order[0], "transaction");
    assert.deepEqual(await names(database), ["a", "b", "c"]);
  });

  it("waits for another process without holding up this one", async (t) => {
    const { database, path } = await openTemp(t);
    const other = new DatabaseSync(path);
    t.after(() => other.close());
    other.exec("BEGIN IMMEDIATE");
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const written = database.write((transaction) => transaction.insertInto("teams").values(team("a")).execute());
    const single = database.query.insertInto("teams").values(team("b")).execute();
    await sleep(400);
    assert.deepEqual(await names(database), [], "reads wait for nobody");
    other.exec("COMMIT");
    await Promise.all([written, single]);
    delay.disable();
    // Two that wait, 50 ms each; the rest is the machine's.
    assert.ok(delay.max / 1e6 < 250, `${delay.max / 1e6} ms`);
    assert.deepEqual(await names(database), ["a", "b"]);
  });

  it("gives up on a process that keeps its lock", async (t) => {
    const { database, path } = await openTemp(t);
    const other = new DatabaseSync(path);
    t.after(() => other.close());
    other.exec("BEGIN IMMEDIATE");
    const write = database.write((transaction) => transaction.insertInto("teams").values(team("a")).execute());
    await assert.rejects(write, (error) => error instanceof StoreUnavailable && /lock/.test(error.message));
    other.exec("ROLLBACK");
    await database.write((transaction) => transaction.insertInto("teams").values(team("b")).execute());
    assert.deepEqual(await names(database), ["b"]);
  });
});

describe("a SQLite database whose disk is full", () => {
  it("says so, keeps nothing half-written, and goes on when there is space again", async (t) => {
    const { database, connection, writes } = await openTemp(t);
    const keys = createKeys(database);
    await keys.create([newKey(1)], changeAt(1));
    const pages = Number(connection.prepare("PRAGMA page_count").get()?.page_count);
    connection.exec(`PRAGMA max_page_count = ${pages}`);
    const isFull = (error: unknown) => error instanceof StoreUnavailable && /disk is full/.test(error.message);
    const many = Array.from({ length: 400 }, (_, n) => newKey(n + 2));
    await assert.rejects(keys.create(many, changeAt(2)), isFull);
    const fill = connection.prepare("INSERT INTO teams (name, budget_period, created_at) VALUES (?, '', 1)");
    await assert.rejects(
      writes.run(() => fill.run("x".repeat(100_000))),
      isFull,
    );
    assert.deepEqual(
      (await keys.list()).map(({ id }) => id),
      ["key_1"],
    );
    const audit = await database.query.selectFrom("audit").select("subject").execute();
    assert.deepEqual(
      audit.map(({ subject }) => subject),
      ["key_1"],
    );

    connection.exec("PRAGMA max_page_count = 100000");
    await keys.create(many, changeAt(3));
    assert.equal((await keys.list()).length, 401);
  });
});

describe("reports from SQLite", () => {
  it("see what is committed, as bigints", async (t) => {
    const { database } = await openTemp(t);
    await database.query.insertInto("teams").values(team("a")).execute();
    const rows = await database.reports.selectFrom("teams").select(["name", "created_at"]).execute();
    assert.deepEqual(rows, [{ name: "a", created_at: 1n }]);
  });

  it("do not hold up the event loop", async (t) => {
    const { database } = await openTemp(t);
    await sql`SELECT 1`.execute(database.reports);
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const started = performance.now();
    assert.deepEqual((await COUNT.execute(database.reports)).rows, [{ n: 3_000_000n }]);
    const took = performance.now() - started;
    delay.disable();
    assert.ok(delay.max / 1e6 < took / 2, `${delay.max / 1e6} of ${took} ms`);
  });

  it("can't write, and fail alone", async (t) => {
    const { database } = await openTemp(t);
    const write = database.reports.insertInto("teams").values(team("a")).execute();
    await assert.rejects(write, StoreUnavailable);
    await assert.rejects(sql`SELECT * FROM missing`.execute(database.reports), /no such table: missing/);
    assert.deepEqual((await sql`SELECT 1 AS n`.execute(database.reports)).rows, [{ n: 1n }]);
  });

  it("are there for a database in memory too", async (t) => {
    const { database } = await openSqlite(":memory:");
    t.after(() => database.close());
    await database.query.insertInto("teams").values(team("a")).execute();
    assert.equal((await database.reports.selectFrom("teams").selectAll().execute()).length, 1);
  });
});

it("binds whole numbers as integers", async (t) => {
  const { database } = await openTemp(t);
  const { rows } = await sql<{ n: bigint }>`SELECT ${7} / ${2} AS n`.execute(database.query);
  assert.equal(rows[0]?.n, 3n);
});

/** About a second of work. */
const COUNT: RawBuilder<{ n: bigint }> = sql`
  WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 3000000)
  SELECT count(*) AS n FROM numbers`;

async function openTemp(t: TestContext): Promise<SqliteDatabase & { readonly path: string }> {
  const path = join(tempDir(t), "gateway.db");
  const opened = await openSqlite(path);
  t.after(() => opened.database.close());
  return { ...opened, path };
}

function team(name: string) {
  return { name, budget_period: "month", created_at: 1 };
}

async function names(database: SqliteDatabase["database"]): Promise<string[]> {
  return (await database.query.selectFrom("teams").select("name").orderBy("name").execute()).map(({ name }) => name);
}
