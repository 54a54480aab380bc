/**
 * Keeps the values of a label few: each series costs memory here and in Prometheus, for as long as the process lives.
 */

/** What stands for all values that have no place of their own. */
export const OTHER = "other";

export type BoundLabel = (value: string) => string;

/** The value itself for the first `limit` that `admit` lets in, then `other`. Nothing is remembered of the rest. */
export function boundLabel(limit: number, admit: (value: string) => boolean = () => true): BoundLabel {
  const known = new Set<string>();
  return (value) => {
    if (known.has(value)) return value;
    if (known.size >= limit || !admit(value)) return OTHER;
    known.add(value);
    return value;
  };
}
