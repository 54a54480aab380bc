/** Work that is done again and again, one run after the other. */

export interface Repeated {
  /** Starts no other run and waits for the one that is under way. */
  close(): Promise<void>;
}

export interface RepeatOptions {
  readonly everyMs: number;
  /** Until the first run; `everyMs` by default. */
  readonly firstMs?: number;
  readonly work: () => Promise<unknown>;
  readonly onFault: (error: unknown) => void;
}

/** A run that takes longer than `everyMs` delays the next. Keeps no process alive. */
export function repeat({ everyMs, firstMs = everyMs, work, onFault }: RepeatOptions): Repeated {
  let running = Promise.resolve();
  let closed = false;
  let timer = start(firstMs);

  function start(ms: number): NodeJS.Timeout {
    return setTimeout(() => {
      running = run();
    }, ms).unref();
  }

  async function run(): Promise<void> {
    const began = performance.now();
    try {
      await work();
    } catch (error) {
      onFault(error);
    }
    if (!closed) timer = start(Math.max(0, everyMs - (performance.now() - began)));
  }

  return {
    close() {
      closed = true;
      clearTimeout(timer);
      return running;
    },
  };
}
