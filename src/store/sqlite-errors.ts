/** What SQLite's errors mean for who asked: the database can't be used now, a change is forbidden, or a fault of ours. */
import { StoreConflict, StoreUnavailable } from "./store.ts";

/** Primary result codes (https://sqlite.org/rescode.html) after which another attempt, later, may work. */
const UNAVAILABLE: Readonly<Record<number, string>> = {
  5: "another process has held its lock for too long",
  6: "it is locked",
  7: "no memory is left",
  8: "it can't be written to: give the gateway write access to the file and its folder",
  10: "its disk reports an error",
  11: "the file is damaged: restore a backup",
  13: "its disk is full: free some space",
  14: "its file can't be opened",
  26: "the file is no database",
};
const BUSY = 5;
/** Extended codes of constraints: a foreign key, a primary key, a unique index. */
const CONFLICTS: readonly number[] = [787, 1555, 2067];

/** Whether another connection holds a lock (SQLITE_BUSY and its extended codes, https://sqlite.org/rescode.html#busy). */
export function isBusy(error: unknown): boolean {
  return ((resultCode(error) ?? 0) & 255) === BUSY;
}

/** The store's error for one of node:sqlite; every other error as it is. */
export function sqliteError(error: unknown): unknown {
  const code = resultCode(error);
  if (code === undefined || !(error instanceof Error)) return error;
  if (CONFLICTS.includes(code)) return new StoreConflict(error.message, { cause: error });
  const meaning = UNAVAILABLE[code & 255];
  if (meaning === undefined) return error;
  return new StoreUnavailable(`the SQLite database can't be used: ${meaning} (${error.message})`, { cause: error });
}

function resultCode(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode : undefined;
}
