/**
 * JSON without loss: integers that a double cannot hold keep their digits from `parseJson` to `stringifyJson`.
 *
 * A tool call's arguments may hold a 64-bit id; JSON.parse would round it silently. Node's source text access
 * (https://tc39.es/proposal-json-parse-with-source/) keeps such a number as a raw JSON value. Its reviver is slow, so it
 * runs only on texts that have 16 digits in a row.
 */

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined;
}

const LONG_NUMBER = /\d{16}/;

/**
 * How many brackets and commas a text may hold, those in strings included: they are JSON in JSON when a tool's arguments
 * are read. A body of 32 MiB could otherwise become ten million values, and hold the event loop for 20 s. What fits a
 * model's context has far fewer.
 */
export const MAX_JSON_VALUES = 1_000_000;

/** Parses `text`; throws SyntaxError as JSON.parse does. Long numbers come back as raw JSON values, see above. */
export function parseJson(text: string): unknown {
  if (text.length > MAX_JSON_VALUES && hasTooManyValues(text)) {
    throw new SyntaxError(`it has more than ${MAX_JSON_VALUES} values.`);
  }
  try {
    return LONG_NUMBER.test(text) ? JSON.parse(text, keepLongNumbers) : JSON.parse(text);
  } catch (cause) {
    // The reviver recurses, and its stack is finite.
    if (cause instanceof RangeError) throw new SyntaxError("it is nested too deep.", { cause });
    throw cause;
  }
}

/** Serialises what `parseJson` gave, raw numbers included. */
export function stringifyJson(value: unknown): string {
  return JSON.stringify(value);
}

/** How deep objects and arrays may lie in each other where a client's own JSON is passed on. */
export const MAX_JSON_DEPTH = 100;

/** Whether a value is nested deeper than that: such JSON breaks serialisers that recurse, ours and those behind it. */
export function isTooDeep(value: unknown, depth = MAX_JSON_DEPTH): boolean {
  if (typeof value !== "object" || value === null) return false;
  return depth === 0 || Object.values(value).some((inner) => isTooDeep(inner, depth - 1));
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !JSON_RAW.isRawJSON(value);
}

// TypeScript's library does not know these two yet.
const JSON_RAW = JSON as typeof JSON & { rawJSON(text: string): object; isRawJSON(value: unknown): boolean };

function hasTooManyValues(text: string): boolean {
  let count = 0;
  // By native search: images, which most large bodies consist of, have none of the three.
  for (const mark of [",", "[", "{"]) {
    for (let at = text.indexOf(mark); at >= 0; at = text.indexOf(mark, at + 1)) {
      count += 1;
      if (count > MAX_JSON_VALUES) return true;
    }
  }
  return false;
}

function keepLongNumbers(_key: string, value: unknown, context?: { source?: string }): unknown {
  const source = context?.source;
  if (typeof value !== "number" || source === undefined || String(value) === source) return value;
  return LONG_NUMBER.test(source) ? JSON_RAW.rawJSON(source) : value;
}
