/** A tool's parameters as the APIs spell them, with the top-level `type: "object"` that Converse insists on. */
import type { JsonObject } from "../json.ts";
import type { Field } from "./fields.ts";
import { readSchema } from "./intent-fields.ts";

export function readToolSchema(parameters: Field): JsonObject {
  if (parameters.absent) return { type: "object" };
  const schema = readSchema(parameters);
  if (schema.type === "object") return schema;
  const optional = Array.isArray(schema.type) && schema.type.includes("object");
  if (schema.type !== undefined && schema.type !== null && !optional)
    throw parameters.at("type").mustBeOneOf(["object"]);
  const { type: _type, ...rest } = schema;
  return { type: "object", ...rest };
}
