/** Timers that pass when a test says so. Node's own mock timers can't be refreshed. */
import type { TestContext } from "node:test";

export function fakeTimers(t: TestContext) {
  const timers = new Set<{ due: number }>();
  const fire = new Map<object, () => void>();
  let now = 0;
  const set = <A extends unknown[]>(callback: (...given: A) => void, ms: number, ...given: A) => {
    const timer = {
      due: now + ms,
      unref: () => timer,
      refresh() {
        timer.due = now + ms;
        timers.add(timer);
        return timer;
      },
    };
    timers.add(timer);
    fire.set(timer, () => callback(...given));
    return timer;
  };
  const { setTimeout: realSet, clearTimeout: realClear } = globalThis;
  Object.assign(globalThis, { setTimeout: set, clearTimeout: (timer: { due: number }) => timers.delete(timer) });
  t.after(() => Object.assign(globalThis, { setTimeout: realSet, clearTimeout: realClear }));
  return {
    get running() {
      return timers.size;
    },
    pass(ms: number) {
      now += ms;
      for (const timer of [...timers].filter(({ due }) => due <= now)) {
        timers.delete(timer);
        fire.get(timer)?.();
      }
    },
  };
}
