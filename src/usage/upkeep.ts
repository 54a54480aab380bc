/**
 * What keeps the ledger in order while the gateway runs: this process's sign of life, the calls of processes that are gone,
 * and what is older than the operator wants to keep.
 */
import type { Instance, Store } from "../store/store.ts";
import { startPresence } from "./presence.ts";
import type { Prices } from "./prices.ts";
import { repeat } from "./repeat.ts";
import { createRetention, RETENTION_EVERY_MS, type RetentionPeriods } from "./retention.ts";
import { createSweep, SWEEP_EVERY_MS } from "./sweep.ts";

export interface UpkeepOptions {
  readonly store: Pick<Store, "calls" | "instances" | "reports" | "answers">;
  readonly prices: Prices;
  /** This process. */
  readonly self: Omit<Instance, "seenAt">;
  readonly keep: RetentionPeriods;
  readonly now: () => number;
  /** Whether a process of this host runs. */
  readonly isAlive: (pid: number) => boolean;
  /** Calls of processes that were gone have been closed. */
  readonly onSwept: (calls: number) => void;
  readonly onFault: (what: string, error: unknown) => void;
}

export interface Upkeep {
  /** Ends the work and takes this process off the list: to be called when its calls are closed. */
  close(): Promise<void>;
}

/** The first sweep begins at once: what a killed gateway left open is closed when the next one starts. */
const FIRST_RETENTION_MS = 60_000;

/** Resolves when other processes can see that this one lives; rejects when the database can't be written. */
export async function startUpkeep(options: UpkeepOptions): Promise<Upkeep> {
  const { store, prices, self, keep, now, isAlive, onSwept, onFault } = options;
  const fault = (what: string) => (error: unknown) => onFault(what, error);
  const presence = await startPresence({
    instances: store.instances,
    self,
    now,
    onFault: fault("the sign of life was not written"),
  });
  const sweep = createSweep({ store, prices, self, now, isAlive, onFault: fault("a lost call was not closed") });
  const sweeping = repeat({
    everyMs: SWEEP_EVERY_MS,
    firstMs: 0,
    async work() {
      const closed = await sweep.run();
      if (closed > 0) onSwept(closed);
    },
    onFault: fault("lost calls were not looked for"),
  });
  const retention = createRetention({ store, keep, now });
  const stop = new AbortController();
  const pruning = repeat({
    everyMs: RETENTION_EVERY_MS,
    firstMs: FIRST_RETENTION_MS,
    work: () => retention.run(stop.signal),
    onFault: fault("old rows were not removed"),
  });
  return {
    async close() {
      stop.abort();
      await Promise.all([sweeping.close(), pruning.close()]);
      await presence.close();
    },
  };
}
