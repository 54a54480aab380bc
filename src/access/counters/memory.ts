/**
 * Counters of one process.
 *
 * A step looks and takes without a break, so nobody comes between. That is why the windows are kept here: a library that
 * answers by promise has to be asked twice a step, with all others waiting, which costs more than the counting.
 */
import { type Ask, type Counters, type Held, type Outcome, WINDOW_MS } from "./counters.ts";

export interface MemoryCountersOptions {
  /** Milliseconds since any moment, never set back. */
  readonly now?: () => number;
}

interface Window {
  used: number;
  readonly endsAt: number;
}

export function createMemoryCounters({ now = () => performance.now() }: MemoryCountersOptions = {}): Counters {
  /** In the order in which they end. */
  const windows = new Map<string, Window>();
  const places = new Map<string, number>();

  /** One that runs, or one to begin with. */
  function windowOf(name: string, at: number): Window {
    const running = windows.get(name);
    return running !== undefined && running.endsAt > at ? running : { used: 0, endsAt: at + WINDOW_MS };
  }

  function begin(name: string, window: Window, at: number): void {
    for (const [ended, { endsAt }] of windows) {
      if (endsAt > at) break;
      windows.delete(ended);
    }
    windows.set(name, window);
  }

  function take(ask: Ask): Outcome {
    const at = now();
    const asked = ask.windows.map(({ name }) => windowOf(name, at));
    const refused = ask.windows.map(({ amount, limit }, index) => (asked[index]?.used ?? 0) + amount > limit);
    const full = ask.places.map(({ name, limit }) => (places.get(name) ?? 0) >= limit);
    const passes = !refused.includes(true) && !full.includes(true);
    if (passes) {
      asked.forEach((window, index) => {
        const { name = "", amount = 0 } = ask.windows[index] ?? {};
        if (window.used === 0) begin(name, window, at);
        window.used += amount;
      });
      for (const { name } of ask.places) places.set(name, (places.get(name) ?? 0) + 1);
    }
    return {
      windows: asked.map(({ used, endsAt }, index) => ({
        used,
        endsInMs: endsAt - at,
        refused: refused[index] ?? false,
      })),
      full,
      held: passes ? hold(ask, asked) : undefined,
    };
  }

  function hold(ask: Ask, taken: readonly Window[]): Held {
    let released = false;
    return {
      // That of an ended minute is nobody's any more.
      correct(by) {
        taken.forEach((window, index) => {
          window.used += by[index] ?? 0;
        });
      },
      release() {
        if (released) return;
        released = true;
        for (const { name } of ask.places) leave(name);
      },
    };
  }

  function leave(name: string): void {
    const left = (places.get(name) ?? 0) - 1;
    if (left > 0) places.set(name, left);
    else places.delete(name);
  }

  return {
    take: (ask) => Promise.resolve(take(ask)),
    async close() {},
  };
}
