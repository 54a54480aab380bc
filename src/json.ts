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

/** Parses `text`; throws SyntaxError as JSON.parse does. Long numbers come back as raw JSON values, see above. */
export function parseJson(text: string): unknown {
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

function keepLongNumbers(_key: string, value: unknown, context?: { source?: string }): unknown {
  const source = context?.source;
  if (typeof value !== "number" || source === undefined || String(value) === source) return value;
  return LONG_NUMBER.test(source) ? JSON_RAW.rawJSON(source) : value;
}
