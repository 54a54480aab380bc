/**
 * SQLite writes, grouped: what one turn of the event loop asks for, or a few milliseconds under load, is one transaction.
 *
 * A commit costs about as much as several row writes, so under load grouping is most of the ledger's speed. A lone write
 * waits only for the turn it was asked in (setImmediate); one that follows closely on a transaction waits for company. One
 * that throws is undone and rejects its own promise alone: the transaction is run once more, each write in a savepoint,
 * which would cost as much as the writes if it were done from the start. While another process holds the write lock the
 * queue tries again instead of blocking the event loop.
 */
import type { DatabaseSync } from "node:sqlite";
import { isBusy, sqliteError } from "./sqlite-errors.ts";
import type { ConnectionLock } from "./sqlite-lock.ts";
import { StoreUnavailable } from "./store.ts";

export interface WriteQueue {
  /** Runs `write` in the next transaction, perhaps twice; resolves with its result once that is committed. */
  run<T>(write: () => T): Promise<T>;
  /** Resolves when nothing is left to write. */
  drained(): Promise<void>;
}

export interface WriteQueueOptions {
  /** How long a batch tries to get the write lock before its writes fail. */
  readonly lockTimeoutMs?: number;
  /** The least time between two transactions, from the one's end to the other's begin. */
  readonly gatherMs?: number;
  /** Writes that wait at once; more are refused, because the disk can't keep up. */
  readonly maxWaiting?: number;
  /** Throws when what is written would be lost. */
  readonly assertWritable?: (() => void) | undefined;
  /** Of transactions that use the same connection for more than one turn: the queue waits for them. */
  readonly lock?: ConnectionLock;
}

interface Waiting {
  /** Runs the write inside the open transaction. */
  execute(): void;
  /** The same in a savepoint: throws only when the whole transaction is lost. Afterwards `settle` tells its caller. */
  executeAlone(): void;
  settle(): void;
  fail(error: unknown): void;
}

const RETRY_MS = 10;

export function createWriteQueue(db: DatabaseSync, options: WriteQueueOptions = {}): WriteQueue {
  const { lockTimeoutMs = 5000, gatherMs = 5, maxWaiting = 100_000, assertWritable = () => {}, lock } = options;
  const savepoint = db.prepare("SAVEPOINT write");
  const release = db.prepare("RELEASE write");
  const begin = db.prepare("BEGIN IMMEDIATE");
  const commit = db.prepare("COMMIT");
  let waiting: Waiting[] = [];
  let scheduled = false;
  let flushedAt = Number.NEGATIVE_INFINITY;
  let busySince: number | undefined;
  let onDrained: (() => void)[] = [];

  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    const wait = flushedAt + gatherMs - performance.now();
    if (wait > 0) setTimeout(flush, wait);
    else setImmediate(flush);
  }

  function flush(): void {
    if (lock?.owner !== undefined) {
      lock.free().then(flush);
      return;
    }
    try {
      assertWritable();
      begin.run();
    } catch (error) {
      busySince ??= performance.now();
      if (isBusy(error) && performance.now() - busySince < lockTimeoutMs) {
        setTimeout(flush, RETRY_MS);
        return;
      }
      finish((write) => write.fail(error));
      return;
    }
    try {
      for (const write of waiting) write.execute();
      commit.run();
    } catch {
      if (db.isTransaction) db.exec("ROLLBACK");
      flushOneByOne();
      return;
    }
    finish((write) => write.settle());
  }

  function flushOneByOne(): void {
    try {
      begin.run();
      for (const write of waiting) write.executeAlone();
      commit.run();
    } catch (error) {
      // A full disk or a failed commit: none of the batch is kept, and each caller must hear so.
      if (db.isTransaction) db.exec("ROLLBACK");
      finish((write) => write.fail(error));
      return;
    }
    finish((write) => write.settle());
  }

  function finish(tell: (write: Waiting) => void): void {
    const batch = waiting;
    waiting = [];
    scheduled = false;
    busySince = undefined;
    flushedAt = performance.now();
    for (const write of batch) tell(write);
    for (const resolve of onDrained) resolve();
    onDrained = [];
  }

  function guarded<T>(write: () => T): { readonly value: T } | { readonly error: unknown } {
    savepoint.run();
    try {
      const value = write();
      release.run();
      return { value };
    } catch (error) {
      // Some failures (disk full) make SQLite drop the whole transaction: then the batch fails as one.
      if (!db.isTransaction) throw error;
      db.exec("ROLLBACK TO write; RELEASE write");
      return { error };
    }
  }

  return {
    run<T>(write: () => T): Promise<T> {
      if (waiting.length >= maxWaiting) {
        return Promise.reject(new StoreUnavailable(`the database is too slow: ${maxWaiting} writes are waiting`));
      }
      const { promise, resolve, reject } = Promise.withResolvers<T>();
      let outcome: ReturnType<typeof guarded<T>> | undefined;
      waiting.push({
        execute: () => {
          outcome = { value: write() };
        },
        executeAlone: () => {
          outcome = guarded(write);
        },
        settle: () => {
          if (outcome !== undefined && "value" in outcome) resolve(outcome.value);
          else reject(sqliteError(outcome?.error));
        },
        fail: (error) => reject(sqliteError(error)),
      });
      schedule();
      return promise;
    },
    async drained() {
      while (waiting.length > 0) await new Promise<void>((resolve) => onDrained.push(resolve));
    },
  };
}
