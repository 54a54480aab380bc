/**
 * The ledger's operations, gathered: what one turn of the event loop asks for is one batch and one transaction.
 *
 * A batch that fails is tried again in halves, down to the one operation that can't be written, which fails alone. When
 * the database itself is at fault, all fail at once and each caller hears so.
 */
import type { LedgerOperation, Settlement } from "./ledger-batch.ts";
import { StoreUnavailable } from "./store.ts";

export interface LedgerQueue {
  /** Resolves or rejects `operation` once its transaction has ended. */
  add(operation: LedgerOperation): void;
  /** Resolves when none is waiting. */
  drained(): Promise<void>;
}

/** Operations that wait at once; more are refused, because the database can't keep up. */
export const MAX_WAITING = 100_000;

/** Runs a batch to its end with `write`, one transaction, and tells the callers. */
export async function runBatch(
  operations: readonly LedgerOperation[],
  write: (operations: readonly LedgerOperation[]) => Promise<Settlement[]>,
): Promise<void> {
  let settled: Settlement[];
  try {
    settled = await write(operations);
  } catch (error) {
    if (operations.length === 1 || error instanceof StoreUnavailable) {
      for (const { reject } of operations) reject(error);
      return;
    }
    const half = operations.length >> 1;
    await runBatch(operations.slice(0, half), write);
    await runBatch(operations.slice(half), write);
    return;
  }
  for (const tell of settled) tell();
}

export function refuse({ reject }: LedgerOperation): void {
  reject(new StoreUnavailable(`the database is too slow: ${MAX_WAITING} of the ledger's operations are waiting`));
}
