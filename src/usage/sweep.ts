/**
 * Closes the calls of processes that are gone: killed, or on a machine that was.
 *
 * A process is gone when it has given no sign of life for `LOST_AFTER_MS`. One that ran on this host before this process
 * started is known to be gone at once when nothing runs under its pid, or this process itself does (in a container that was
 * restarted); but not when it has given a sign since, because two hosts may have one name. What such a call used nobody
 * knows: it is charged its prompt, as an estimate. Should its process live after all, its own closing takes the place of ours.
 * Any number of processes may sweep at once: a row is closed once.
 */
import type { Call, CallClosing, CallStore, Instance, InstanceStore } from "../store/store.ts";
import { costOfCall } from "./call-cost.ts";
import { NO_USAGE } from "./meter.ts";
import type { Prices } from "./prices.ts";

export interface SweepOptions {
  readonly store: { readonly calls: CallStore; readonly instances: InstanceStore };
  readonly prices: Prices;
  /** This process. */
  readonly self: Omit<Instance, "seenAt">;
  readonly now: () => number;
  /** Whether a process of this host runs. */
  readonly isAlive: (pid: number) => boolean;
  readonly onFault: (error: unknown, callId: string) => void;
}

export interface Sweep {
  /** Closes what there is. Resolves with how many calls. */
  run(): Promise<number>;
}

export const SWEEP_EVERY_MS = 10_000;
export const GATEWAY_LOST = "gateway_lost";

const LOST_AFTER_MS = 20_000;
const PAGE = 100;

export function createSweep({ store, prices, self, now, isAlive, onFault }: SweepOptions): Sweep {
  const { calls, instances } = store;

  function lives({ id, host, pid, seenAt }: Instance, at: number): boolean {
    if (id === self.id) return true;
    if (at - seenAt > LOST_AFTER_MS) return false;
    if (host !== self.host || seenAt >= self.startedAt) return true;
    return pid !== self.pid && isAlive(pid);
  }

  /** False when somebody else has closed it, or it failed. */
  async function abandon(call: Call): Promise<boolean> {
    try {
      return await calls.abandon(call.id, closingOf(call));
    } catch (error) {
      onFault(error, call.id);
      return false;
    }
  }

  function closingOf(call: Call): CallClosing {
    const usage = { ...NO_USAGE, inputTokens: call.inputEstimate };
    const cost = costOfCall(prices, call, usage, undefined);
    return {
      status: "interrupted",
      httpStatus: 0,
      errorCode: GATEWAY_LOST,
      usage,
      estimated: true,
      ...(cost !== undefined && { cost }),
      finishedAt: now(),
    };
  }

  async function sweepOrphans(living: readonly string[], before: number): Promise<number> {
    let closed = 0;
    for (;;) {
      const page = await calls.orphans(living, PAGE);
      // A process that has come since `living` was read may have opened the youngest.
      const orphans = page.filter(({ startedAt }) => startedAt < before);
      const outcomes = await Promise.all(orphans.map(abandon));
      const swept = outcomes.filter(Boolean).length;
      closed += swept;
      if (page.length < PAGE || swept === 0) return closed;
    }
  }

  return {
    async run() {
      const at = now();
      const known = await instances.list();
      const living = known.filter((instance) => lives(instance, at)).map(({ id }) => id);
      const closed = await sweepOrphans([...new Set([self.id, ...living])], at);
      // Not those that only their pid gives away: their next sign would prove that wrong.
      const lost = known.filter(({ id, seenAt }) => id !== self.id && at - seenAt > LOST_AFTER_MS);
      for (const { id } of lost) await instances.remove(id);
      return closed;
    },
  };
}
