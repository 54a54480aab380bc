/**
 * Stream machines: synchronous, without I/O, none to many outputs for each input.
 *
 * Framing, meaning and rendering are three of them, chained. Whoever does the I/O (the ext_proc exchange, a test) pushes
 * bytes in at one end and writes what comes out of the other.
 */

export interface Transform<I, O> {
  push(input: I): Iterable<O>;
  /** The input is complete: flush what is held, or throw when it stopped half-way. */
  end(): Iterable<O>;
}

export function chain<A, B, C>(first: Transform<A, B>, second: Transform<B, C>): Transform<A, C>;
export function chain<A, B, C, D>(
  first: Transform<A, B>,
  second: Transform<B, C>,
  third: Transform<C, D>,
): Transform<A, D>;
export function chain<A, B, C, D, E>(
  first: Transform<A, B>,
  second: Transform<B, C>,
  third: Transform<C, D>,
  fourth: Transform<D, E>,
): Transform<A, E>;
export function chain<A, B, C, D, E, F>(
  first: Transform<A, B>,
  second: Transform<B, C>,
  third: Transform<C, D>,
  fourth: Transform<D, E>,
  fifth: Transform<E, F>,
): Transform<A, F>;
export function chain(...stages: Transform<unknown, unknown>[]): Transform<unknown, unknown> {
  return stages.reduceRight((rest, stage) => pair(stage, rest));
}

function pair<A, B, C>(first: Transform<A, B>, second: Transform<B, C>): Transform<A, C> {
  return {
    push(input) {
      const values = first.push(input);
      // Most stages make one of one: a generator for each of them would cost more than their work.
      return Array.isArray(values) && values.length === 1 ? second.push(values[0]) : pushAll(values, second);
    },
    *end() {
      for (const value of first.end()) yield* second.push(value);
      yield* second.end();
    },
  };
}

function* pushAll<B, C>(values: Iterable<B>, stage: Transform<B, C>): Iterable<C> {
  for (const value of values) yield* stage.push(value);
}
