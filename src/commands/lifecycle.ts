/**
 * How a long-running command ends: drained by the first SIGTERM or Ctrl-C, at once by the second.
 */
import type { Logger } from "../log.ts";

export interface Runnable {
  /** Lets open streams finish, then ends everything. */
  drain(): Promise<void>;
  /** Ends everything now. */
  stop(): Promise<void>;
  /** Rejects when something that has to run has ended by itself. */
  readonly broken: Promise<never>;
}

/** Ctrl-C reaches the whole process group, and npm passes it on once more: signals this close together are one. */
const SAME_SIGNAL_MS = 1_000;

/** Runs until a signal has ended it; rejects when it broke. */
export async function runUntilSignal(runnable: Runnable, log: Logger): Promise<void> {
  const { promise: signalled, resolve, reject } = Promise.withResolvers<void>();
  let first: number | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (first === undefined) {
      first = performance.now();
      log.info({ signal }, "draining: open streams may finish; a second signal ends them");
      runnable.drain().then(resolve, reject);
    } else if (performance.now() - first > SAME_SIGNAL_MS) {
      log.warn({ signal }, "ending at once");
      runnable.stop().then(resolve, reject);
    }
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  try {
    await Promise.race([signalled, runnable.broken]);
  } finally {
    process.off("SIGTERM", onSignal);
    process.off("SIGINT", onSignal);
  }
}
