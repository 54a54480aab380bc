/**
 * Where limits are counted: minutes that hold an amount, and places that are held for a while.
 *
 * A counter is told the limit with every step and remembers none, so a changed limit holds at once. A window begins with
 * the first amount that is taken from it and ends a minute later. Names are the counter's keys, the same in a process and
 * in Valkey; they carry a hash tag, so that all names of one step are on one node of a cluster.
 */

export const WINDOW_MS = 60_000;
/** Two windows of one name end a minute apart, so ends this close are of the same one, however they were measured. */
export const SAME_WINDOW_MS = 1000;

/** An amount wanted from a minute's allowance. */
export interface WindowAsk {
  readonly name: string;
  readonly limit: number;
  readonly amount: number;
}

/** One of `limit` places wanted. */
export interface PlaceAsk {
  readonly name: string;
  readonly limit: number;
}

export interface Ask {
  readonly windows: readonly WindowAsk[];
  readonly places: readonly PlaceAsk[];
}

export interface WindowState {
  /** What is taken of it now, with what was just given. */
  readonly used: number;
  readonly endsInMs: number;
  /** It had less left than was asked for. */
  readonly refused: boolean;
}

/** The answer to an `Ask`, in its order. */
export interface Outcome {
  readonly windows: readonly WindowState[];
  /** True where no place was free. */
  readonly full: readonly boolean[];
  /** What was taken: all, or undefined when anything of it was refused, and then nothing. */
  readonly held: Held | undefined;
}

export interface Held {
  /** Adds to what each window was given, or takes it back, as far as its minute still runs. */
  correct(by: readonly number[]): void;
  /** Gives the places back. Only the first call counts. */
  release(): void;
}

export interface Counters {
  /** All or nothing, in one step: what others ask for at the same time comes before or after it. */
  take(ask: Ask): Promise<Outcome>;
  close(): Promise<void>;
}
