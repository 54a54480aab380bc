/**
 * Changes JSON values at random places: members and items go, come, double, swap, or become something else.
 *
 * New values and names come mostly from a corpus of real ones, so that a mutation is often nearly right, which is where
 * readers go wrong.
 */
import type { Random } from "./random.ts";

type Holder = unknown[] | Record<string, unknown>;

/** Values of a corpus, to graft from: all that lie inside them, and all member names. */
export interface Corpus {
  readonly values: readonly unknown[];
  readonly names: readonly string[];
}

export function corpusOf(roots: readonly unknown[]): Corpus {
  const values: unknown[] = [];
  const names = new Set<string>(["__proto__", "constructor", "length", "0", "", "toString"]);
  const collect = (value: unknown): void => {
    values.push(value);
    if (typeof value !== "object" || value === null) return;
    for (const [name, inner] of Object.entries(value)) {
      if (!Array.isArray(value)) names.add(name);
      collect(inner);
    }
  };
  for (const root of roots) collect(root);
  return { values, names: [...names] };
}

/** A changed copy. */
export function mutate(value: unknown, corpus: Corpus, random: Random): unknown {
  let root: unknown = structuredClone(value);
  for (let n = 1 + random.int(random.chance(0.2) ? 12 : 3); n > 0; n -= 1) {
    const holders = holdersOf(root);
    if (holders.length === 0 || random.chance(0.01)) root = anything(corpus, random);
    else change(random.pick(holders), corpus, random);
  }
  return root;
}

export function anything(corpus: Corpus, random: Random): unknown {
  if (random.chance(0.4)) return structuredClone(random.pick(corpus.values));
  switch (random.int(9)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
      return random.pick([0, -1, 1, 2, 0.5, 1e21, -0, 2 ** 53, 1e308]);
    case 3:
      return [];
    case 4:
      return {};
    case 5:
      return nested(random.pick([3, 50, 99, 100, 101, 300]), random.chance(0.5));
    case 6:
      return Array.from({ length: random.int(40) }, () => structuredClone(random.pick(corpus.values)));
    case 7:
      return { [random.pick(corpus.names)]: structuredClone(random.pick(corpus.values)) };
    default:
      return text(random);
  }
}

const TEXTS = [
  "",
  " ",
  "\n\t",
  "\u2028\u0000\u007f",
  "\ud800",
  "\udc00x",
  "e\u0301\ufeff",
  "👩‍👩‍👧",
  "data:image/png;base64,",
  "data:;base64,AAAA",
  "s3://bucket/key.png",
  "s3://",
  "https://example.com/a.png",
  "http://[",
  '{"a":',
  '{"a":12345678901234567890}',
  "__proto__",
  "1e999",
  "auto",
  "none",
  "user",
  "assistant",
  "ephemeral",
];

function text(random: Random): string {
  const base = random.pick(TEXTS);
  return random.chance(0.2) ? base.repeat(1 + random.int(3000)) : base;
}

function nested(depth: number, asArray: boolean): unknown {
  let value: unknown = 1;
  for (let n = 0; n < depth; n += 1) value = asArray ? [value] : { a: value };
  return value;
}

function change(holder: Holder, corpus: Corpus, random: Random): void {
  const keys = Object.keys(holder);
  const key = keys.length === 0 ? undefined : random.pick(keys);
  const value = key === undefined ? undefined : Reflect.get(holder, key);
  switch (random.int(8)) {
    case 0:
      if (Array.isArray(holder)) holder.splice(random.int(holder.length + 1), random.int(3));
      else if (key !== undefined) delete holder[key];
      return;
    case 1:
    case 2:
      if (Array.isArray(holder)) holder.splice(random.int(holder.length + 1), 0, anything(corpus, random));
      else define(holder, random.pick(corpus.names), anything(corpus, random));
      return;
    case 3:
      if (Array.isArray(holder) && holder.length < 500) holder.push(...structuredClone(holder));
      else if (key !== undefined) define(holder, random.pick(corpus.names), structuredClone(value));
      return;
    case 4:
      if (key !== undefined) define(holder, key, random.chance(0.5) ? [value] : { [random.pick(corpus.names)]: value });
      return;
    case 5:
      if (key === undefined || typeof value !== "string") return;
      define(holder, key, value.slice(0, random.int(value.length + 1)) + text(random));
      return;
    case 6:
      if (Array.isArray(holder)) holder.sort(() => random.int(3) - 1);
      return;
    default:
      if (key !== undefined) define(holder, key, anything(corpus, random));
  }
}

/** As JSON.parse does it: `__proto__` is a member like any other. */
function define(holder: Holder, key: string, value: unknown): void {
  Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
}

/** All arrays and objects inside a value. Not by recursion: mutations nest deep. */
function holdersOf(root: unknown): Holder[] {
  const found: Holder[] = [];
  const open: unknown[] = [root];
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value !== "object" || value === null) continue;
    found.push(value as Holder);
    for (const inner of Object.values(value)) open.push(inner);
  }
  return found;
}
