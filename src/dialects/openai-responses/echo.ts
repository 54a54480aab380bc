/**
 * What an answer repeats of its request: https://platform.openai.com/docs/api-reference/responses/object.
 *
 * Members that are odd are left at OpenAI's defaults: an answer must not fail over what it only repeats.
 */
import { isJsonObject, isTooDeep, type JsonObject, type JsonValue } from "../../json.ts";
import type { Field } from "../fields.ts";
import type { Echo } from "./types.ts";

export function echoOf(body: Field, model: string, store: boolean): Echo {
  const reasoning = body.at("reasoning");
  const text = objectOf(body.at("text"));
  const tools = body.at("tools");
  return {
    background: false,
    conversation: null,
    instructions: plain(body.at("instructions")) ?? null,
    max_output_tokens: numberOf(body.at("max_output_tokens")),
    max_tool_calls: numberOf(body.at("max_tool_calls")),
    metadata: objectOf(body.at("metadata")),
    model,
    parallel_tool_calls: body.at("parallel_tool_calls").value !== false,
    previous_response_id: textOf(body.at("previous_response_id")),
    prompt_cache_key: textOf(body.at("prompt_cache_key")),
    reasoning: { effort: textOf(reasoning.at("effort")), summary: textOf(reasoning.at("summary")) },
    safety_identifier: textOf(body.at("safety_identifier")),
    service_tier: textOf(body.at("service_tier")) ?? "auto",
    store,
    temperature: numberOf(body.at("temperature")),
    text: { ...text, format: text.format ?? { type: "text" } },
    tool_choice: plain(body.at("tool_choice")) ?? "auto",
    tools: Array.isArray(tools.value) ? tools.items().flatMap((tool) => plain(tool) ?? []) : [],
    top_logprobs: 0,
    top_p: numberOf(body.at("top_p")),
    truncation: body.at("truncation").value === "auto" ? "auto" : "disabled",
    user: textOf(body.at("user")),
  };
}

/** JSON as it came; undefined where it is absent or too deep to be written again. */
function plain({ value }: Field): JsonValue | undefined {
  return isJsonValue(value) && !isTooDeep(value) ? value : undefined;
}

/** What has been parsed from JSON is JSON. */
function isJsonValue(value: unknown): value is JsonValue {
  return value !== undefined;
}

function objectOf(field: Field): JsonObject {
  const value = plain(field);
  return isJsonObject(value) ? value : {};
}

function textOf({ value }: Field): string | null {
  return typeof value === "string" ? value : null;
}

function numberOf({ value }: Field): number | null {
  return typeof value === "number" ? value : null;
}
