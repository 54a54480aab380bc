/** A promise, for so long: whoever waits goes on, what was waited for does too. */

export const LATE: unique symbol = Symbol("late");

/** Resolves with LATE when `work` has not settled within `ms`. */
export function within<T>(work: Promise<T>, ms: number): Promise<T | typeof LATE> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, Math.max(0, ms), LATE);
    const stop = () => clearTimeout(timer);
    work.then(resolve, reject);
    work.then(stop, stop);
  });
}
