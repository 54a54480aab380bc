/** Chance with a seed: the same seed gives the same values, so that a failure can be looked at again. */

export interface Random {
  /** 0 up to but not including `limit`. */
  int(limit: number): number;
  chance(probability: number): boolean;
  pick<T>(values: readonly T[]): T;
}

export function seeded(seed: number): Random {
  const next = mulberry32(seed);
  const int = (limit: number): number => Math.floor(next() * limit);
  return {
    int,
    chance: (probability) => next() < probability,
    pick<T>(values: readonly T[]): T {
      const index = int(values.length);
      if (index >= values.length) throw new Error("nothing to pick from");
      return values[index] as T;
    },
  };
}

/** A generator with 32 bits of state (mulberry32): good enough for tests. */
function mulberry32(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
