/**
 * Tool call arguments as an object, which Converse insists on, from what clients keep in their histories: JSON text, no text
 * at all, text that was cut off, or a value that is not an object. Long integers keep their digits.
 */
import { isJsonObject, type JsonObject, parseJson } from "../json.ts";

export function toolInput(args: unknown): JsonObject {
  if (args === undefined || args === null) return {};
  if (isJsonObject(args)) return args;
  if (typeof args !== "string") return wrap("value", args);
  if (args.trim() === "") return {};
  try {
    const parsed = parseJson(args);
    return isJsonObject(parsed) ? parsed : wrap("value", parsed);
  } catch {
    return { invalid_json: args.toWellFormed() };
  }
}

function wrap(key: string, value: unknown): JsonObject {
  const wrapped: unknown = { [key]: value };
  return isJsonObject(wrapped) ? wrapped : {};
}
