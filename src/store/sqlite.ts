/**
 * The store in one SQLite file, by Node's own node:sqlite.
 *
 * WAL with synchronous NORMAL: readers and the one writer do not wait for each other, and a committed row survives the
 * death of the process; only a loss of power may take the last moments. Several processes may share the file (a gateway
 * and the command line); a network file system may not, as WAL needs shared memory.
 */
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { migrate } from "./migrations.ts";
import { createSqliteCalls } from "./sqlite-calls.ts";
import { createSqliteKeys } from "./sqlite-keys.ts";
import type { Store } from "./store.ts";
import { createWriteQueue, isBusy } from "./write-queue.ts";

/** How long one statement may block the event loop for another process's lock; the write queue tries again after it. */
const BUSY_TIMEOUT_MS = 50;
/** How long starting waits for another process that is just creating or migrating the same file. */
const START_TIMEOUT_MS = 10_000;

/** Opens `path`, creating and migrating it as needed. `:memory:` is a private database that ends with the process. */
export async function openSqlite(path: string): Promise<Store> {
  if (path !== ":memory:") createFile(path);
  const db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true });
  try {
    await whileBusy(() => db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"));
    await whileBusy(() => migrate(db));
    const writes = createWriteQueue(db);
    return {
      keys: createSqliteKeys(db, writes),
      calls: createSqliteCalls(db, writes),
      async close() {
        await writes.drained();
        if (db.isOpen) db.close();
      },
    };
  } catch (error) {
    db.close();
    throw error;
  }
}

/** SQLite would make the file readable for others; its WAL files take over the mode of this one. */
function createFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  closeSync(openSync(path, "a", 0o600));
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
