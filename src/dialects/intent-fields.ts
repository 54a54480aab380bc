/**
 * Wishes that depend on the model, as the APIs spell them: how hard to think and the answer's form.
 *
 * https://platform.openai.com/docs/guides/structured-outputs, https://platform.openai.com/docs/guides/reasoning and
 * https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking.
 */
import { type AnswerFormat, EFFORTS, type Effort, type Thinking } from "../bedrock/intent.ts";
import { isTooDeep, type JsonObject, MAX_JSON_DEPTH } from "../json.ts";
import type { Field } from "./fields.ts";

const FORMATS = ["text", "json_object", "json_schema"] as const;
const FORMAT_NAME = /^[a-zA-Z0-9_-]{1,64}$/;
const THINKING_TYPES = ["enabled", "adaptive", "disabled"] as const;

/** Undefined for the first field that is absent or null. */
export function readEffort(...fields: Field[]): Effort | undefined {
  return fields.find((field) => !field.absent)?.oneOf(EFFORTS);
}

/** Anthropic's `thinking`. Without a budget, as other servers know it, the model finds its own. */
export function readThinkingMode(thinking: Field): Thinking | undefined {
  if (thinking.absent) return undefined;
  thinking.object();
  const type = thinking.at("type").oneOf(THINKING_TYPES);
  if (type === "disabled") return { type };
  const budget = thinking.at("budget_tokens");
  if (type === "enabled" && !budget.absent) return { type, budgetTokens: budget.integer(1) };
  const effort = readEffort(thinking.at("effort"));
  return { type: "adaptive", ...(effort !== undefined && { effort }) };
}

/**
 * `{type: "json_schema", json_schema: {name, description?, schema, strict?}}`, or with these members beside the type as
 * Responses has it. Undefined for text.
 */
export function readAnswerFormat(format: Field): AnswerFormat | undefined {
  if (format.absent) return undefined;
  format.object();
  const type = format.at("type").oneOf(FORMATS);
  if (type === "text") return undefined;
  const definition = format.at("json_schema").absent ? format : format.at("json_schema");
  const schema = definition.at("schema");
  if (schema.absent) {
    if (type === "json_object") return { type };
    throw schema.mustBe("a JSON schema object");
  }
  return { type: "json_schema", schema: readSchema(schema), ...aboutFormat(definition) };
}

/** A JSON schema as the client wrote it. */
export function readSchema(field: Field): JsonObject {
  const schema = field.object("a JSON schema object");
  if (isTooDeep(schema)) throw field.error(`must not be nested more than ${MAX_JSON_DEPTH} levels deep`);
  return schema;
}

function aboutFormat(definition: Field): { name?: string; description?: string; strict?: boolean } {
  const name = definition.at("name");
  const description = definition.at("description").absent ? "" : definition.at("description").string();
  const strict = definition.at("strict");
  if (!name.absent && !FORMAT_NAME.test(name.string()))
    throw name.error("must be 1 to 64 letters, digits, underscores or dashes");
  return {
    ...(!name.absent && { name: name.string() }),
    ...(description.trim() !== "" && { description: description.toWellFormed() }),
    ...(!strict.absent && { strict: strict.boolean() }),
  };
}
