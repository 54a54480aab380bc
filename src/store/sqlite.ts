/**
 * A database in one SQLite file, by Node's own node:sqlite.
 *
 * WAL with synchronous NORMAL: readers and the one writer do not wait for each other, and a committed row survives the
 * death of the process; only a loss of power may take the last moments. Several processes may share the file (a gateway
 * and the command line); a network file system may not, as WAL needs shared memory.
 */
import { closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { Kysely } from "kysely";
import type { Database, Tables } from "./database.ts";
import { begin } from "./drain.ts";
import { migrate } from "./migrations.ts";
import { sqliteDialect } from "./sqlite-dialect.ts";
import { isBusy } from "./sqlite-errors.ts";
import { createConnectionLock } from "./sqlite-lock.ts";
import { sqliteReportsDialect } from "./sqlite-reports.ts";
import { StoreUnavailable } from "./store.ts";
import { createWriteQueue, type WriteQueue } from "./write-queue.ts";

/** What the ledger's hot path needs besides: its statements, prepared on the one connection, run in the write queue. */
export interface SqliteDatabase {
  readonly database: Database;
  readonly connection: DatabaseSync;
  readonly writes: WriteQueue;
}

/** How long one statement may block the event loop for another process's lock; who waits tries again after it. */
const BUSY_TIMEOUT_MS = 50;
/** How long starting waits for another process that is just creating or migrating the same file. */
const START_TIMEOUT_MS = 10_000;
const IN_MEMORY = ":memory:";
/** Of 4 kB each. The pages that every transaction writes are copied into the file once for all of them. */
const PAGES_BETWEEN_CHECKPOINTS = 4000;
const PRAGMAS = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  PRAGMA wal_autocheckpoint = ${PAGES_BETWEEN_CHECKPOINTS};
`;

/** Opens `path`, creating and migrating it as needed. `:memory:` is a private database that ends with the process. */
export async function openSqlite(path: string): Promise<SqliteDatabase> {
  if (path !== IN_MEMORY) createFile(path);
  const connection = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true });
  try {
    await whileBusy(() => connection.exec(PRAGMAS));
    await whileBusy(() => migrate(connection));
  } catch (error) {
    connection.close();
    throw error;
  }
  const lock = createConnectionLock();
  const assertWritable = path === IN_MEMORY ? undefined : sameFile(path);
  const writes = createWriteQueue(connection, { lock, assertWritable });
  const query = new Kysely<Tables>({ dialect: sqliteDialect(connection, lock, assertWritable) });
  await begin(query);
  const reports = path === IN_MEMORY ? query : new Kysely<Tables>({ dialect: sqliteReportsDialect(path) });
  const database: Database = {
    kind: "sqlite",
    query,
    reports,
    write: (work) => query.transaction().execute(work),
    async close() {
      await query.destroy();
      await writes.drained();
      await reports.destroy();
      if (connection.isOpen) connection.close();
    },
  };
  return { database, connection, writes };
}

/** SQLite would make the file readable for others; its WAL files take over the mode of this one. */
function createFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  closeSync(openSync(path, "a", 0o600));
}

/**
 * A file that was removed, or replaced by a backup, can still be written to as long as it is open: rows that nobody will
 * read again, and keys that nobody can revoke.
 */
function sameFile(path: string): () => void {
  const opened = statSync(path);
  return () => {
    const now = statSync(path, { throwIfNoEntry: false });
    if (now?.ino === opened.ino && now.dev === opened.dev) return;
    throw new StoreUnavailable(
      `${path} was removed or replaced while it was in use: put it back, or restart the gateway`,
    );
  };
}

/** The change to WAL does not wait for a lock by itself, so both steps of a start are tried again here. */
async function whileBusy(step: () => void): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      step();
      return;
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error;
    }
    await sleep(10 + Math.random() * 20);
  }
}
