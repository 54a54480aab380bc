/**
 * Tokens as Anthropic counts them: https://docs.anthropic.com/en/api/messages#response-usage.
 *
 * Bedrock counts as Anthropic does: input, cache reads and cache writes are three numbers that do not overlap.
 */
import type { TokenUsage } from "../../bedrock/converse.ts";
import { reasoningTokens } from "../../bedrock/reasoning-tokens.ts";
import type { JsonValue } from "../../json.ts";
import type { DeltaUsage, Usage } from "./types.ts";

/** `fields` are the answer's `additionalModelResponseFields`, `tier` Bedrock's service tier. */
export function usageOf(tokens: TokenUsage, fields: JsonValue | undefined, tier: string | undefined): Usage {
  const written = tokens.cacheWriteInputTokens ?? 0;
  const details = tokens.cacheDetails ?? [];
  const long = details.reduce((sum, { ttl, inputTokens }) => (ttl === "1h" ? sum + inputTokens : sum), 0);
  const hour = Math.min(long, written);
  const thinking = reasoningTokens(fields);
  return {
    input_tokens: tokens.inputTokens,
    cache_creation_input_tokens: written,
    cache_read_input_tokens: tokens.cacheReadInputTokens ?? 0,
    cache_creation: { ephemeral_5m_input_tokens: written - hour, ephemeral_1h_input_tokens: hour },
    output_tokens: tokens.outputTokens,
    output_tokens_details: thinking === undefined ? null : { thinking_tokens: Math.min(thinking, tokens.outputTokens) },
    server_tool_use: null,
    service_tier: serviceTier(tier),
    inference_geo: null,
    speed: null,
  };
}

export function deltaUsage(usage: Usage): DeltaUsage {
  return {
    input_tokens: usage.input_tokens,
    cache_creation_input_tokens: usage.cache_creation_input_tokens,
    cache_read_input_tokens: usage.cache_read_input_tokens,
    output_tokens: usage.output_tokens,
    output_tokens_details: usage.output_tokens_details,
    server_tool_use: null,
  };
}

/** Anthropic has no word for Bedrock's flex and reserved tiers. */
function serviceTier(tier: string | undefined): Usage["service_tier"] {
  if (tier === undefined || tier === "default") return "standard";
  return tier === "priority" ? tier : null;
}
