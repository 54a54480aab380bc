/**
 * Removes what is older than the operator wants to keep: rows of calls, and totals by the hour. Totals outlive the rows.
 *
 * In small pieces with pauses, so that calls are not held up. Several processes may do it at once.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { CallStore, ReportStore } from "../store/store.ts";

/** Milliseconds; undefined: for ever. */
export interface RetentionPeriods {
  readonly calls?: number | undefined;
  readonly totals?: number | undefined;
}

export interface RetentionOptions {
  readonly store: { readonly calls: Pick<CallStore, "prune">; readonly reports: Pick<ReportStore, "prune"> };
  readonly keep: RetentionPeriods;
  readonly now: () => number;
  readonly pauseMs?: number;
}

export interface Retention {
  /** Resolves with how much was removed. An aborted run ends after the piece that it is at. */
  run(signal?: AbortSignal): Promise<{ readonly calls: number; readonly totals: number }>;
}

export const RETENTION_EVERY_MS = 3_600_000;

const BATCH = 1_000;
const PAUSE_MS = 100;

export function createRetention({ store, keep, now, pauseMs = PAUSE_MS }: RetentionOptions): Retention {
  async function pruneCalls(age: number, signal: AbortSignal | undefined): Promise<number> {
    const before = now() - age;
    let total = 0;
    for (;;) {
      const removed = await store.calls.prune(before, BATCH);
      total += removed;
      if (removed < BATCH || signal?.aborted) return total;
      await sleep(pauseMs);
    }
  }

  return {
    async run(signal) {
      const calls = keep.calls === undefined ? 0 : await pruneCalls(keep.calls, signal);
      const totals = keep.totals === undefined || signal?.aborted ? 0 : await store.reports.prune(now() - keep.totals);
      return { calls, totals };
    },
  };
}
