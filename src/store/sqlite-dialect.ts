/**
 * Kysely over node:sqlite: one connection, used by single statements and by transactions that have it alone.
 *
 * Transactions begin with BEGIN IMMEDIATE, so that none fails half-way because another process has written. While one
 * does, statements and transactions try again instead of blocking the event loop. Integers are read as bigints; whole
 * numbers are bound as integers, which SQLite would otherwise take for REAL and divide with a fraction.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely";
import { LRUCache } from "lru-cache";
import { draining } from "./drain.ts";
import { isBusy, sqliteError } from "./sqlite-errors.ts";
import type { ConnectionLock } from "./sqlite-lock.ts";

/** How long other processes may hold the write lock before what waits for it fails. */
const LOCK_TIMEOUT_MS = 5000;
const RETRY_MS = 10;
/** Statements that are kept prepared; lists of other lengths in `IN (…)` make new ones. */
const MAX_PREPARED = 200;

/** `assertWritable` throws when what a transaction writes would be lost. */
export function sqliteDialect(db: DatabaseSync, lock: ConnectionLock, assertWritable = () => {}): Dialect {
  return dialectWith(createDriver(db, lock, assertWritable));
}

/** SQLite's SQL, over whatever runs the statements. */
export function dialectWith(driver: Driver): Dialect {
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => draining(driver),
    createIntrospector: (kysely) => new SqliteIntrospector(kysely),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

/** Runs one statement and gives its rows; statements stay prepared. */
export function createRunner(db: DatabaseSync): <R>(sql: string, parameters: readonly unknown[]) => QueryResult<R> {
  const prepared = new LRUCache<string, { statement: StatementSync; hasRows: boolean }>({ max: MAX_PREPARED });

  function prepare(sql: string) {
    const known = prepared.get(sql);
    if (known !== undefined) return known;
    const statement = db.prepare(sql);
    statement.setReadBigInts(true);
    const entry = { statement, hasRows: statement.columns().length > 0 };
    prepared.set(sql, entry);
    return entry;
  }

  return <R>(sql: string, parameters: readonly unknown[]) => {
    const { statement, hasRows } = prepare(sql);
    const values = parameters.map(bound);
    // Kysely's own types vouch for the shape of the rows, as for every driver.
    if (hasRows) return { rows: statement.all(...values) as R[] };
    return { rows: [], numAffectedRows: BigInt(statement.run(...values).changes) };
  };
}

function createDriver(db: DatabaseSync, lock: ConnectionLock, assertWritable: () => void): Driver {
  const run = createRunner(db);

  /** Runs `step` in one turn in which nobody has the connection, again while another process is writing. */
  async function alone<T>(step: () => T): Promise<T> {
    const deadline = performance.now() + LOCK_TIMEOUT_MS;
    for (;;) {
      while (lock.owner !== undefined) await lock.free();
      try {
        return step();
      } catch (error) {
        if (!isBusy(error) || performance.now() > deadline) throw sqliteError(error);
      }
      await sleep(RETRY_MS);
    }
  }

  function connect(): DatabaseConnection {
    const connection: DatabaseConnection = {
      async executeQuery<R>({ sql, parameters }: { sql: string; parameters: readonly unknown[] }) {
        if (lock.owner !== connection) return alone(() => run<R>(sql, parameters));
        try {
          return run<R>(sql, parameters);
        } catch (error) {
          throw sqliteError(error);
        }
      },
      streamQuery: noStreams,
    };
    return connection;
  }

  return {
    init: async () => {},
    acquireConnection: async () => connect(),
    beginTransaction: (connection) =>
      alone(() => {
        assertWritable();
        db.exec("BEGIN IMMEDIATE");
        lock.take(connection);
      }),
    async commitTransaction(connection) {
      try {
        db.exec("COMMIT");
      } catch (error) {
        throw sqliteError(error);
      }
      lock.release(connection);
    },
    async rollbackTransaction(connection) {
      // A full disk, for one, has made SQLite drop the transaction itself.
      if (db.isTransaction) db.exec("ROLLBACK");
      lock.release(connection);
    },
    releaseConnection: async () => {},
    destroy: async () => {},
  };
}

/** For Kysely's streams: a statement that is read slowly would hold its snapshot, and the file's log would grow. */
export function noStreams(): never {
  throw new Error("rows are not streamed: read pages");
}

function bound(value: unknown): SQLInputValue {
  if (typeof value === "number" && Number.isSafeInteger(value)) return BigInt(value);
  if (value === null || typeof value === "string" || typeof value === "bigint" || typeof value === "number")
    return value;
  throw new TypeError(`a ${typeof value} can't be bound to a statement`);
}
