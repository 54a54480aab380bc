/**
 * Names that have to be unique within a request: a double gets a number.
 *
 * The next number of each base is remembered, so that a hundred thousand doubles cost no more than as many names.
 */
export class TakenNames {
  readonly #taken = new Set<string>();
  readonly #next = new Map<string, number>();

  /** `name`, or the first of `numbered(base, 2)`, `numbered(base, 3)` … that is not taken; it then is. */
  unique(name: string, base: string, numbered: (base: string, n: number) => string): string {
    let unique = name;
    if (this.#taken.has(name)) {
      let n = this.#next.get(base) ?? 2;
      while (this.#taken.has(numbered(base, n))) n += 1;
      unique = numbered(base, n);
      this.#next.set(base, n + 1);
    }
    this.#taken.add(unique);
    return unique;
  }
}
