/**
 * Reasoning tokens: a part of the output tokens, which only some models tell, each in fields of its own.
 *
 * They are asked for with `additionalModelResponseFieldPaths` and come in `additionalModelResponseFields`. Where a model
 * does not say, no number is made up.
 */
import { isJsonObject, type JsonValue } from "../json.ts";

const DETAIL_NAMES = ["thinking_tokens", "reasoning_tokens"];

/**
 * Claude's `/usage/output_tokens_details`, which Bedrock gives under the last part of the path or under all of it, and
 * the same object by OpenAI's names.
 */
export function reasoningTokens(fields: JsonValue | undefined): number | undefined {
  const usage = member(fields, "usage");
  const details = [fields, usage].flatMap((holder) => [
    member(holder, "output_tokens_details"),
    member(holder, "completion_tokens_details"),
  ]);
  for (const detail of details) {
    for (const name of DETAIL_NAMES) {
      const tokens = member(detail, name);
      if (typeof tokens === "number" && Number.isSafeInteger(tokens) && tokens >= 0) return tokens;
    }
  }
  return undefined;
}

function member(value: JsonValue | undefined, key: string): JsonValue | undefined {
  return isJsonObject(value) ? value[key] : undefined;
}
