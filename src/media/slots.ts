/**
 * A fixed number of places for work that goes on at once, and a line of limited length in front of them.
 */

export interface Slots {
  /** Resolves with the function that gives the place back. Rejects with the signal's reason, or LineFull at once. */
  take(signal: AbortSignal): Promise<() => void>;
}

export class LineFull extends Error {
  override readonly name = "LineFull";
}

export function createSlots({ places, line }: { places: number; line: number }): Slots {
  let free = places;
  const waiting = new Set<() => void>();

  function release(): () => void {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const [next] = waiting;
      if (next === undefined) free += 1;
      else next();
    };
  }

  return {
    async take(signal) {
      signal.throwIfAborted();
      if (free > 0) {
        free -= 1;
        return release();
      }
      if (waiting.size >= line) throw new LineFull("too many are waiting");
      const { promise, resolve, reject } = Promise.withResolvers<() => void>();
      const admit = () => {
        leave();
        resolve(release());
      };
      const giveUp = () => {
        leave();
        reject(signal.reason);
      };
      const leave = () => {
        waiting.delete(admit);
        signal.removeEventListener("abort", giveUp);
      };
      waiting.add(admit);
      signal.addEventListener("abort", giveUp, { once: true });
      return promise;
    },
  };
}
