/**
 * A JSON Schema in the subset that structured output and strict tools take.
 *
 * https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html. Objects are closed; a keyword that is not
 * taken becomes a sentence of the description, so that the model still reads it. A schema whose meaning would be lost that
 * way (free-form objects, recursion, references to elsewhere) has no such form.
 */
import { isJsonObject, type JsonObject, type JsonValue, stringifyJson } from "../json.ts";

const FORMATS: ReadonlySet<string> = new Set(
  "date-time time date duration email hostname uri ipv4 ipv6 uuid".split(" "),
);
const KEPT: ReadonlySet<string> = new Set(["type", "enum", "const", "title", "required", "$ref"]);
const NAMED_SCHEMAS: ReadonlySet<string> = new Set(["properties", "$defs", "definitions"]);
const SCHEMA_LISTS: ReadonlyMap<string, string> = new Map([
  ["anyOf", "anyOf"],
  ["allOf", "allOf"],
  ["oneOf", "anyOf"],
]);
const SILENT: ReadonlySet<string> = new Set(["$schema", "$id", "$comment", "description", "additionalProperties"]);
const MAX_DEPTH = 64;

/** Undefined when the subset can't say what `schema` says. */
export function supportedSchema(schema: JsonObject): JsonObject | undefined {
  try {
    const supported = convert(schema, 0);
    return isRecursive(supported) ? undefined : supported;
  } catch (error) {
    if (error instanceof Inexpressible) return undefined;
    throw error;
  }
}

class Inexpressible extends Error {}

function convert(schema: JsonValue | undefined, depth: number): JsonObject {
  if (!isJsonObject(schema) || depth > MAX_DEPTH) throw new Inexpressible();
  const result: Record<string, JsonValue> = {};
  const moved: string[] = [];
  for (const [key, value] of Object.entries(schema)) {
    const list = SCHEMA_LISTS.get(key);
    if (value === undefined || SILENT.has(key)) continue;
    if (KEPT.has(key)) result[key] = value;
    else if (NAMED_SCHEMAS.has(key)) result[key] = convertNamed(value, depth);
    else if (key === "items") result[key] = convert(value, depth + 1);
    else if (list !== undefined && result[list] === undefined) result[list] = convertList(value, depth);
    else if (key === "format" && typeof value === "string" && FORMATS.has(value)) result[key] = value;
    else if (key === "minItems" && (value === 0 || value === 1)) result[key] = value;
    else moved.push(`${key}: ${stringifyJson(value)}`);
  }
  checkReference(schema);
  if (isObjectSchema(schema)) {
    if (!isJsonObject(schema.properties) || (schema.additionalProperties ?? false) !== false) throw new Inexpressible();
    result.additionalProperties = false;
  }
  const description = [typeof schema.description === "string" ? schema.description : "", moved.join(", ")];
  const text = description.filter((part) => part !== "").join("\n");
  return text === "" ? result : { ...result, description: text };
}

function isObjectSchema({ type, properties }: JsonObject): boolean {
  return type === "object" || (Array.isArray(type) && type.includes("object")) || properties !== undefined;
}

function convertNamed(schemas: JsonValue, depth: number): JsonObject {
  if (!isJsonObject(schemas)) throw new Inexpressible();
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, convert(schema, depth + 1)]));
}

function convertList(schemas: JsonValue, depth: number): JsonValue[] {
  if (!Array.isArray(schemas) || schemas.length === 0) throw new Inexpressible();
  return schemas.map((schema) => convert(schema, depth + 1));
}

function checkReference({ $ref }: JsonObject): void {
  if ($ref !== undefined && !(typeof $ref === "string" && $ref.startsWith("#/"))) throw new Inexpressible();
}

/** A reference that leads back to itself, or nowhere, or through more others than anybody means. */
function isRecursive(root: JsonObject): boolean {
  const open = new Set<string>();
  const done = new Set<string>();
  const visit = (value: JsonValue | undefined): boolean => {
    if (Array.isArray(value)) return value.some(visit);
    if (!isJsonObject(value)) return false;
    const { $ref } = value;
    if (typeof $ref === "string" && !done.has($ref)) {
      if (open.has($ref) || open.size >= MAX_DEPTH) return true;
      const target = resolve(root, $ref);
      if (target === undefined) return true;
      open.add($ref);
      if (visit(target)) return true;
      open.delete($ref);
      done.add($ref);
    }
    return Object.entries(value).some(([key, inner]) => key !== "enum" && key !== "const" && visit(inner));
  };
  return visit(root);
}

function resolve(root: JsonObject, reference: string): JsonObject | undefined {
  let value: JsonValue | undefined = root;
  for (const part of reference.slice(2).split("/")) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    value = isJsonObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
  }
  return isJsonObject(value) ? value : undefined;
}
