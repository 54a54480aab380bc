/**
 * Removes what is older than the operator wants to keep: rows of calls, totals by the hour, and stored answers, which know
 * themselves when they expire. Totals outlive the rows.
 *
 * In small pieces with pauses, so that calls are not held up. Several processes may do it at once.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { AnswerStore, CallStore, ReportStore } from "../store/store.ts";

/** Milliseconds; undefined: for ever. */
export interface RetentionPeriods {
  readonly calls?: number | undefined;
  readonly totals?: number | undefined;
}

export interface RetentionOptions {
  readonly store: {
    readonly calls: Pick<CallStore, "prune">;
    readonly reports: Pick<ReportStore, "prune">;
    readonly answers: Pick<AnswerStore, "prune">;
  };
  readonly keep: RetentionPeriods;
  readonly now: () => number;
  readonly pauseMs?: number;
}

export interface Removed {
  readonly calls: number;
  readonly totals: number;
  readonly answers: number;
}

export interface Retention {
  /** Resolves with how much was removed. An aborted run ends after the piece that it is at. */
  run(signal?: AbortSignal): Promise<Removed>;
}

export const RETENTION_EVERY_MS = 3_600_000;

const BATCH = 1_000;
/** Each may be of 4 MiB. */
const ANSWERS_BATCH = 50;
const PAUSE_MS = 100;

export function createRetention({ store, keep, now, pauseMs = PAUSE_MS }: RetentionOptions): Retention {
  async function inBatches(
    from: { prune(before: number, limit: number): Promise<number> },
    before: number,
    batch: number,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    let total = 0;
    for (;;) {
      const removed = await from.prune(before, batch);
      total += removed;
      if (removed < batch || signal?.aborted) return total;
      await sleep(pauseMs);
    }
  }

  return {
    async run(signal) {
      const calls = keep.calls === undefined ? 0 : await inBatches(store.calls, now() - keep.calls, BATCH, signal);
      const totals = keep.totals === undefined || signal?.aborted ? 0 : await store.reports.prune(now() - keep.totals);
      const answers = signal?.aborted ? 0 : await inBatches(store.answers, now(), ANSWERS_BATCH, signal);
      return { calls, totals, answers };
    },
  };
}
