/**
 * Counters of one process.
 *
 * rate-limiter-flexible keeps the windows. Its answers come a turn of the microtask queue later, so steps wait for one
 * another: between looking and taking nobody else takes anything. The limit is compared here, not in the library, so
 * that a changed one holds within the running minute.
 */
import { RateLimiterMemory } from "rate-limiter-flexible";
import { type Ask, type Counters, type Held, type Outcome, SAME_WINDOW_MS, WINDOW_MS } from "./counters.ts";

/** A window about to end is corrected no more: by the time of the step it could be the next one. */
const TOO_LATE_MS = 100;

interface Window {
  readonly used: number;
  readonly endsInMs: number;
}

export function createMemoryCounters(): Counters {
  const windows = new RateLimiterMemory({
    points: Number.MAX_SAFE_INTEGER,
    duration: WINDOW_MS / 1000,
    keyPrefix: "",
  });
  const places = new Map<string, number>();
  let turn: Promise<unknown> = Promise.resolve();

  function inTurn<T>(step: () => Promise<T>): Promise<T> {
    const mine = turn.then(step, step);
    turn = mine;
    return mine;
  }

  async function look(name: string): Promise<Window> {
    const found = await windows.get(name);
    // The library forgets an ended window by a timer, which may be late.
    if (found === null || found.msBeforeNext <= 0) return { used: 0, endsInMs: WINDOW_MS };
    return { used: found.consumedPoints, endsInMs: found.msBeforeNext };
  }

  async function add(name: string, amount: number): Promise<Window> {
    const { consumedPoints, msBeforeNext } = await windows.penalty(name, amount);
    return { used: consumedPoints, endsInMs: msBeforeNext };
  }

  async function take(ask: Ask): Promise<Outcome> {
    const found = await Promise.all(ask.windows.map(({ name }) => look(name)));
    const refused = ask.windows.map(({ amount, limit }, index) => (found[index]?.used ?? 0) + amount > limit);
    const full = ask.places.map(({ name, limit }) => (places.get(name) ?? 0) >= limit);
    const passes = !refused.includes(true) && !full.includes(true);
    const now = passes ? await Promise.all(ask.windows.map(({ name, amount }) => add(name, amount))) : found;
    return {
      windows: now.map(({ used, endsInMs }, index) => ({
        used,
        // The library subtracts times of day: after the clock was set back a minute would seem to last for hours.
        endsInMs: Math.min(endsInMs, WINDOW_MS),
        refused: refused[index] ?? false,
      })),
      full,
      held: passes ? hold(ask, now) : undefined,
    };
  }

  function hold(ask: Ask, taken: readonly Window[]): Held {
    const at = Date.now();
    for (const { name } of ask.places) places.set(name, (places.get(name) ?? 0) + 1);
    let released = false;
    return {
      correct(by) {
        taken.forEach(({ endsInMs }, index) => {
          const name = ask.windows[index]?.name ?? "";
          void inTurn(() => correct(name, at + endsInMs, by[index] ?? 0));
        });
      },
      release() {
        if (released) return;
        released = true;
        for (const { name } of ask.places) leave(name);
      },
    };
  }

  async function correct(name: string, endsAt: number, by: number): Promise<void> {
    const { endsInMs } = await look(name);
    const same = Math.abs(Date.now() + endsInMs - endsAt) < SAME_WINDOW_MS;
    if (same && endsInMs > TOO_LATE_MS) await add(name, by);
  }

  function leave(name: string): void {
    const left = (places.get(name) ?? 0) - 1;
    if (left > 0) places.set(name, left);
    else places.delete(name);
  }

  return {
    take: (ask) => inTurn(() => take(ask)),
    async close() {},
  };
}
