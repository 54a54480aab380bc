/**
 * The `response` object and its parts: https://platform.openai.com/docs/api-reference/responses/object.
 */
import type { TokenUsage } from "../../bedrock/converse.ts";
import { reasoningTokens } from "../../bedrock/reasoning-tokens.ts";
import type { ToolNames } from "../../bedrock/tool-names.ts";
import type { GatewayError } from "../../errors.ts";
import type { JsonValue } from "../../json.ts";
import type { SpecialTools } from "../openai-tools.ts";
import type { Echo, Response, Usage } from "./types.ts";

/** What all objects of an answer have in common, and how the client's tools are called. */
export interface Rendering {
  /** Unique, for the ids of the answer and its items. */
  readonly id: string;
  readonly created: number;
  readonly echo: Echo;
  readonly names: ToolNames;
  readonly special: SpecialTools;
  /** The request asked for its guardrail's trace. A prompt router's trace comes unasked, and stays here. */
  readonly withTrace: boolean;
}

export function emptyResponse({ id, created, echo }: Rendering): Response {
  return {
    id: `resp_${id}`,
    object: "response",
    created_at: created,
    status: "in_progress",
    error: null,
    incomplete_details: null,
    output: [],
    usage: null,
    ...echo,
  };
}

export type End = Pick<Response, "status" | "incomplete_details" | "native_finish_reason">;

/** Why an answer ended. Where OpenAI has no word for it, such as a malformed call, it is complete, with Bedrock's word. */
export function endOf(stopReason: string): End {
  switch (stopReason) {
    case "end_turn":
    case "tool_use":
    case "stop_sequence":
      return { status: "completed", incomplete_details: null };
    case "max_tokens":
    case "model_context_window_exceeded":
      return { status: "incomplete", incomplete_details: { reason: "max_output_tokens" } };
    case "guardrail_intervened":
    case "content_filtered":
      return { status: "incomplete", incomplete_details: { reason: "content_filter" } };
    default:
      return {
        status: "completed",
        incomplete_details: null,
        ...(stopReason !== "" && { native_finish_reason: stopReason }),
      };
  }
}

/** `fields` are the answer's `additionalModelResponseFields`. */
export function usageOf(tokens: TokenUsage, fields: JsonValue | undefined): Usage {
  const { inputTokens, outputTokens, cacheReadInputTokens: read = 0, cacheWriteInputTokens: written = 0 } = tokens;
  const input = inputTokens + read + written;
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: read, cache_write_tokens: written },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: Math.min(reasoningTokens(fields) ?? 0, outputTokens) },
    total_tokens: input + outputTokens,
  };
}

/** What clients look at to decide whether to try again; everything else is one word. */
const FAILURE_CODES: ReadonlySet<string | null> = new Set([
  "rate_limit_exceeded",
  "insufficient_quota",
  "context_length_exceeded",
]);

export function failureOf({ kind, message }: GatewayError): { code: string; message: string } {
  const { code } = kind;
  return { code: code !== null && FAILURE_CODES.has(code) ? code : "server_error", message };
}
