/**
 * Keeps the SDK's complaints from flooding the log: a collector that is down fails every batch in the same words.
 */

const QUIET_MS = 60_000;
const MAX_LENGTH = 1_000;

/** Passes on what is new, and the same again after a minute. Takes whatever the SDK's logger is called with. */
export function withoutRepeats(report: (message: string) => void, now: () => number): (...parts: unknown[]) => void {
  let last = "";
  let saidAt = Number.NEGATIVE_INFINITY;
  return (...parts) => {
    const message = parts.join(" ").slice(0, MAX_LENGTH);
    if (message === last && now() - saidAt < QUIET_MS) return;
    last = message;
    saidAt = now();
    report(message);
  };
}
