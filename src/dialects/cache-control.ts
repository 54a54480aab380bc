/**
 * Anthropic's `cache_control: {type: "ephemeral", ttl?}`, which clients also put on OpenAI messages, parts, tools and tool
 * calls, and OpenAI's own `prompt_cache_breakpoint: {mode: "explicit"}`: a block to put behind what carries it. A lifetime
 * that Bedrock does not know is left to its default.
 */
import type { CachePoint } from "../bedrock/converse.ts";
import type { Field } from "./fields.ts";

export function cachePointOf(holder: Field): { cachePoint: CachePoint }[] {
  const control = holder.at("cache_control");
  if (holder.at("prompt_cache_breakpoint").at("mode").value === "explicit")
    return [{ cachePoint: { type: "default" } }];
  if (control.at("type").value !== "ephemeral") return [];
  const ttl = control.at("ttl").value;
  return [{ cachePoint: { type: "default", ...((ttl === "5m" || ttl === "1h") && { ttl }) } }];
}
