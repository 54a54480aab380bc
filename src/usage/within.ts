/** A promise, for so long: whoever waits goes on, what was waited for does too. */

export const LATE: unique symbol = Symbol("late");

/** Resolves with LATE when `work` has not settled within `ms`. */
export async function within<T>(work: Promise<T>, ms: number): Promise<T | typeof LATE> {
  const { promise, resolve } = Promise.withResolvers<typeof LATE>();
  const timer = setTimeout(resolve, Math.max(0, ms), LATE);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
