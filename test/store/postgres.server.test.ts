import assert from "node:assert/strict";
import { createServer } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { sql } from "kysely";
import pg from "pg";
import { openStore } from "../../src/store/open.ts";
import { openPostgres } from "../../src/store/postgres.ts";
import { type Store, StoreConflict, StoreUnavailable } from "../../src/store/store.ts";
import { type PostgresServer, postgresMissing, sharedPostgres, startPostgres } from "../servers/postgres.ts";
import { changeAt, newKey } from "./contract/stores.ts";

const missing = postgresMissing();
const options = missing === undefined ? {} : { skip: missing };

describe("opening a store in PostgreSQL", options, () => {
  const failures: readonly (readonly [what: string, url: (server: PostgresServer) => string, message: RegExp])[] = [
    [
      "says when the password is wrong",
      (server) => server.url("postgres", "locked:hunter2%21"),
      /password authentication failed for user "locked"; check the user and the password/,
    ],
    ["says when there is no such user", (server) => server.url("postgres", "nobody"), /role "nobody" does not exist/],
    [
      "says when there is no such database",
      (server) => server.url("missing", "postgres:hunter2!"),
      /"missing" does not exist; create the database first/,
    ],
    [
      "says when nobody listens there",
      () => "postgres://root:hunter2!@127.0.0.1:1/gateway",
      /ECONNREFUSED.*check the host and the port/,
    ],
    [
      "says when the host has no address",
      () => "postgresql://root:hunter2!@db.invalid/gateway",
      /(ENOTFOUND|EAI_AGAIN).*check the host/,
    ],
    ["says when the URL names several hosts", () => "postgres://root:hunter2!@one:1,two:2/gateway", /several hosts/],
    ["says when the URL can't be read", () => "postgres://root:hun/ter2!@db:x/gateway", /percent-encoded/],
    [
      "says when the server has no TLS",
      () => "postgres://root:hunter2!@127.0.0.1:1/gateway?sslmode=verify-ca",
      /sslrootcert/,
    ],
  ];
  for (const [what, url, message] of failures) {
    it(`${what}, naming DATABASE_URL and no password`, async () => {
      const server = await sharedPostgres();
      await server.run(
        "DO $$ BEGIN CREATE ROLE locked LOGIN PASSWORD 'right'; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
      );
      await assert.rejects(openStore(url(server)), (error: Error) => {
        assert.match(error.message, /^DATABASE_URL: cannot open the PostgreSQL database: /);
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /hunter2|hun\/ter2/);
        return true;
      });
    });
  }

  it("gives up on a host that is silent", async (t) => {
    const silent = createServer().listen(0, "127.0.0.1");
    t.after(() => silent.close());
    await new Promise((resolve) => silent.once("listening", resolve));
    const address = silent.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const started = performance.now();
    await assert.rejects(
      openStore(`postgres://root@127.0.0.1:${port}/gateway?connect_timeout=1`),
      /DATABASE_URL.*time/,
    );
    assert.ok(performance.now() - started < 4000);
  });

  it("takes the parameters of the URL, and says who it is", async (t) => {
    const server = await sharedPostgres();
    const url = await server.createDatabase();
    await server.run("CREATE SCHEMA other", new URL(url).pathname.slice(1));
    const database = await openPostgres(`${url}&options=-csearch_path%3Dother`);
    t.after(() => database.close());
    const { rows } = await sql`
      SELECT current_setting('application_name') AS name, to_regclass('other.keys')::text AS keys,
        to_regclass('public.keys')::text AS public_keys, 7::int2 AS small, sum(1::int8) AS sum`.execute(database.query);
    assert.deepEqual(rows, [{ name: "bedrock-gateway", keys: "keys", public_keys: null, small: 7n, sum: 1n }]);
    assert.equal(pg.types.getTypeParser(20)("1"), "1", "other users of the library keep their types");
  });
});

describe("a store in PostgreSQL", options, () => {
  it("survives a restart of the server, and keeps nothing half-written", async (t) => {
    const server = await startPostgres();
    const store = await openOn(t, server);
    await store.keys.create([newKey(0)], changeAt(1));
    await store.reports.total({});

    const made: number[] = [];
    const failed: unknown[] = [];
    let n = 0;
    const writer = async () => {
      while (n < 2000 && failed.length < 40) {
        const id = ++n;
        await store.keys.create([newKey(id)], changeAt(id)).then(
          () => made.push(id),
          (error) => failed.push(error),
        );
        await sleep(5);
      }
    };
    const writers = [writer(), writer(), writer(), writer()];
    await sleep(200);
    await server.stop();
    await Promise.all(writers);
    assert.ok(made.length > 0 && failed.length > 0);
    assert.deepEqual(
      failed.filter((error) => !(error instanceof StoreUnavailable)),
      [],
    );
    await assert.rejects(store.keys.list(), StoreUnavailable);

    await server.start();
    const keys = (await store.keys.list()).map(({ id }) => id);
    const missed = made.filter((id) => !keys.includes(`key_${id}`));
    assert.deepEqual(missed, []);
    // The server may have committed what it could not answer any more.
    assert.ok(keys.length - 1 - made.length <= 4);
    const audited = (await store.audit.list({ limit: 5000 })).map(({ subject }) => subject);
    assert.deepEqual(audited.sort(), keys.sort());
    await store.keys.create([newKey(5000)], changeAt(1));
    await store.reports.total({});
    await store.close();
    await server.stop();
  });

  it("does not notice that connections were cut while nobody used them", async (t) => {
    const server = await sharedPostgres();
    const store = await openOn(t, server);
    await Promise.all(Array.from({ length: 5 }, (_, n) => store.keys.create([newKey(n)], changeAt(1))));
    for (const work of [
      () => store.keys.list(),
      () => store.keys.create([newKey(9)], changeAt(1)),
      () => store.reports.total({}),
    ]) {
      await cutAll(server);
      await work();
    }
    assert.equal((await store.keys.list()).length, 6);
  });

  it("reads once more what it lost the connection of", async (t) => {
    const server = await sharedPostgres();
    const database = await openPostgres(await server.createDatabase());
    t.after(() => database.close());
    const read = sql`SELECT 1 AS n, pg_sleep(0.3)::text`.execute(database.query);
    await sleep(100);
    await cutAll(server);
    assert.equal((await read).rows.length, 1);
  });

  it("orders texts by their bytes, whatever the server's language", async (t) => {
    const database = await openPostgres(await (await sharedPostgres()).createDatabase());
    t.after(() => database.close());
    const { rows } = await sql`
      SELECT table_name, column_name FROM information_schema.columns
      WHERE table_schema = 'public' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'`.execute(
      database.query,
    );
    assert.deepEqual(rows, []);
  });

  it("rolls back what it lost the connection of, and frees the connection", async (t) => {
    const server = await sharedPostgres();
    const database = await openPostgres(await server.createDatabase());
    t.after(() => database.close());
    // More often than there are connections.
    for (let n = 0; n < 11; n++) {
      const work = database.write(async (transaction) => {
        await transaction
          .insertInto("teams")
          .values({ name: `${n}`, budget_period: "day", created_at: 1 })
          .execute();
        await Promise.all([sql`SELECT pg_sleep(5)`.execute(transaction), sleep(20).then(() => cutAll(server))]);
      });
      await assert.rejects(work, (error) => error instanceof StoreUnavailable && /terminating/.test(error.message));
    }
    assert.deepEqual(await database.query.selectFrom("teams").selectAll().execute(), []);
  });

  it("leaves a server that has become read-only for the next one", async (t) => {
    const server = await sharedPostgres();
    const url = await server.createDatabase();
    const name = new URL(url).pathname.slice(1);
    const store = await openStore(url);
    t.after(() => store.close());
    await Promise.all(Array.from({ length: 5 }, (_, n) => store.keys.create([newKey(n)], changeAt(1))));
    await server.run(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
    await cutAll(server);
    await assert.rejects(store.keys.create([newKey(8)], changeAt(1)), (error: Error) => {
      assert.ok(error instanceof StoreUnavailable);
      return /read-only/.test(error.message);
    });
    assert.equal((await store.keys.list()).length, 5);
    await server.run(`ALTER DATABASE ${name} RESET default_transaction_read_only`);
    // Connections that were made meanwhile read only, and the first one to write says so at the latest.
    await store.keys.create([newKey(9)], changeAt(1)).catch(() => {});
    await store.keys.create([newKey(10)], changeAt(1));
  });

  it("runs a transaction again that was given up for another one", async (t) => {
    const server = await sharedPostgres();
    const database = await openPostgres(await server.createDatabase());
    t.after(() => database.close());
    const teams = ["a", "b"].map((name) => ({ name, budget_period: "day", created_at: 1 }));
    await database.query.insertInto("teams").values(teams).execute();
    let runs = 0;
    const bothBegan = Promise.withResolvers<void>();
    const inOrder = (...order: readonly [string, string]) =>
      database.write(async (transaction) => {
        const note = order.join("");
        await transaction.updateTable("teams").set({ note }).where("name", "=", order[0]).execute();
        if (++runs === 2) bothBegan.resolve();
        await bothBegan.promise;
        await transaction.updateTable("teams").set({ note }).where("name", "=", order[1]).execute();
      });
    await Promise.all([inOrder("a", "b"), inOrder("b", "a")]);
    assert.equal(runs, 3);
    const notes = await database.query.selectFrom("teams").select("note").distinct().execute();
    assert.equal(notes.length, 1);
  });

  it("tells a forbidden change from a database that is away", async (t) => {
    const store = await openOn(t, await sharedPostgres());
    await store.keys.create([newKey(1)], changeAt(1));
    await assert.rejects(store.keys.create([newKey(1)], changeAt(1)), StoreConflict);
  });
});

async function openOn(t: TestContext, server: PostgresServer): Promise<Store> {
  const store = await openStore(await server.createDatabase());
  t.after(() => store.close());
  return store;
}

/** Ends every connection but the one that says so. */
async function cutAll(server: PostgresServer): Promise<void> {
  await server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'bedrock-gateway'");
}
