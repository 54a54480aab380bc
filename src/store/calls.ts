/** The ledger. */
import type { Database } from "./database.ts";
import type { SqliteDatabase } from "./sqlite.ts";
import type { CallStore } from "./store.ts";

export function createCalls(_opened: Database | SqliteDatabase): CallStore {
  const missing = () => Promise.reject(new Error("the ledger is not there yet"));
  return {
    open: missing,
    close: missing,
    abandon: missing,
    amend: missing,
    get: missing,
    list: missing,
    orphans: missing,
    budgets: missing,
    byBedrockRequest: () => {
      throw new Error("the ledger is not there yet");
    },
    prune: missing,
  };
}
