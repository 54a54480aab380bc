/**
 * A plausible value for a JSON Schema: the arguments of a simulated tool call, the body of a structured answer.
 *
 * Knows what tool schemas commonly hold: types, enum, const, default, anyOf, oneOf, allOf, internal $ref, formats.
 * Patterns and lengths are left out. The same schema always gives the same value.
 */
import { isJsonObject, type JsonObject, type JsonValue } from "../json.ts";

const MAX_DEPTH = 8;
/** Deeper down only required properties are filled: a recursive schema would grow without end. */
const FULL_DEPTH = 4;

const BY_FORMAT: Readonly<Record<string, string>> = {
  date: "2026-01-15",
  "date-time": "2026-01-15T12:00:00Z",
  time: "12:00:00Z",
  duration: "PT1H",
  email: "user@example.com",
  hostname: "example.com",
  ipv4: "192.0.2.1",
  ipv6: "2001:db8::1",
  uri: "https://example.com/",
  uuid: "00000000-0000-4000-8000-000000000000",
};

const BY_NAME: readonly (readonly [RegExp, string])[] = [
  [/city|location|place/i, "Paris"],
  [/country/i, "France"],
  [/path|file/i, "README.md"],
  [/url|link/i, "https://example.com/"],
  [/email/i, "user@example.com"],
  [/command|cmd/i, "ls"],
  [/date|day/i, "2026-01-15"],
  [/lang/i, "en"],
];

/** A value that fits `schema`; `text` (the user's words) fills a string that is named query, text or the like. */
export function sampleValue(schema: JsonValue | undefined, text: string): JsonValue {
  return value(schema, { name: "value", depth: 0, root: schema, text });
}

interface Place {
  readonly name: string;
  readonly depth: number;
  readonly root: JsonValue | undefined;
  readonly text: string;
}

function value(schema: JsonValue | undefined, at: Place): JsonValue {
  if (!isJsonObject(schema) || at.depth > MAX_DEPTH) return null;
  const deeper = { ...at, depth: at.depth + 1 };
  for (const fixed of [schema.const, schema.default]) if (fixed !== undefined) return fixed;
  const [first] = list(schema.enum);
  if (first !== undefined) return first;
  if (typeof schema.$ref === "string") return value(resolve(at.root, schema.$ref), deeper);
  const [choice] = [...list(schema.anyOf), ...list(schema.oneOf)];
  if (choice !== undefined) return value(choice, deeper);
  const parts = list(schema.allOf);
  if (parts.length > 0) return Object.assign({}, ...parts.map((part) => value(part, deeper)));
  return ofType(schema, deeper);
}

function ofType(schema: JsonObject, at: Place): JsonValue {
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === "string") return string(schema, at);
  if (type === "integer") return number(schema.minimum, 1);
  if (type === "number") return number(schema.minimum, 1.5);
  if (type === "boolean") return true;
  if (type === "null") return null;
  if (type === "array") {
    const length = Math.min(Math.max(1, number(schema.minItems, 1)), 10);
    return Array.from({ length }, () => value(schema.items, at));
  }
  return object(schema, at);
}

function object(schema: JsonObject, at: Place): JsonObject {
  const { properties } = schema;
  if (!isJsonObject(properties)) return {};
  const required = list(schema.required);
  const result: Record<string, JsonValue> = {};
  for (const [name, property] of Object.entries(properties))
    if (at.depth <= FULL_DEPTH || required.includes(name)) result[name] = value(property, { ...at, name });
  return result;
}

function string(schema: JsonObject, at: Place): string {
  const format = schema.format;
  if (typeof format === "string" && BY_FORMAT[format] !== undefined) return BY_FORMAT[format];
  if (/query|text|question|message|prompt|input/i.test(at.name) && at.text !== "") return at.text.slice(0, 100);
  return BY_NAME.find(([name]) => name.test(at.name))?.[1] ?? `example ${at.name}`;
}

function resolve(root: JsonValue | undefined, ref: string): JsonValue | undefined {
  if (!ref.startsWith("#")) return undefined;
  let at = root;
  for (const part of ref.split("/").slice(1)) at = isJsonObject(at) ? at[part] : undefined;
  return at;
}

function list(value: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(value) ? value : [];
}

function number(value: JsonValue | undefined, otherwise: number): number {
  return typeof value === "number" ? value : otherwise;
}
