/**
 * Token limits, sampling and stop sequences within what a model takes.
 *
 * A limit is always sent: without one Bedrock reserves quota for the longest answer the model could give. A thinking budget
 * is part of the limit: it shrinks to half of what the client allows, and only when even the smallest does not fit, the
 * limit grows by it.
 */
import type { InferenceConfig } from "../bedrock/converse.ts";
import type { JsonObject } from "../json.ts";
import type { Capabilities } from "./capabilities.ts";
import type { ThinkingPlan } from "./reasoning.ts";

export interface Inference {
  readonly inferenceConfig: InferenceConfig;
  /** For additionalModelRequestFields. */
  readonly fields: JsonObject;
}

export interface InferenceWish extends InferenceConfig {
  readonly topK?: number | undefined;
}

export function adaptInference(
  wish: InferenceWish,
  plan: ThinkingPlan,
  capabilities: Capabilities,
  warn: (warning: string) => void,
): Inference {
  const stopSequences = fitStopSequences(wish.stopSequences ?? [], capabilities, warn);
  const stops = stopSequences.length > 0 && { stopSequences };
  if (plan.bare) {
    if ([wish.maxTokens, wish.temperature, wish.topP, wish.topK].some((value) => value !== undefined))
      warn("this model takes no token limit and no sampling settings with this effort; they were left out");
    return { inferenceConfig: { ...stops }, fields: {} };
  }
  const { maxTokens, budget } = fitTokens(wish.maxTokens, plan, capabilities, warn);
  const { sampling, fields } = fitSampling(wish, plan, capabilities, warn);
  return {
    inferenceConfig: { maxTokens, ...sampling, ...stops },
    fields: {
      ...(budget !== undefined && { thinking: { type: "enabled", budget_tokens: budget } }),
      ...fields,
    },
  };
}

function fitTokens(
  asked: number | undefined,
  { on, budget }: ThinkingPlan,
  { minTokens, defaultTokens, maxTokens: limit = Number.MAX_SAFE_INTEGER }: Capabilities,
  warn: (warning: string) => void,
): { maxTokens: number; budget?: number } {
  const limited = asked === undefined ? undefined : Math.min(Math.max(asked, minTokens), limit);
  if (asked !== limited) warn(`max_tokens was set to ${limited}, the nearest that this model takes`);
  if (budget === undefined) {
    return { maxTokens: limited ?? Math.min(on ? 2 * defaultTokens : defaultTokens, limit) };
  }
  const { wanted, min, exact } = budget;
  const allowed = limited ?? Math.min(wanted + Math.max(wanted, defaultTokens), limit);
  const half = Math.floor(allowed / 2);
  if (wanted <= half || (exact && wanted < allowed)) return { maxTokens: allowed, budget: wanted };
  if (half >= min) {
    if (exact) warn(`the thinking budget was lowered to ${half}: it must be smaller than max_tokens`);
    return { maxTokens: allowed, budget: half };
  }
  const total = Math.min(allowed + min, limit);
  if (total <= min) {
    warn("this model's answers are too short to think");
    return { maxTokens: allowed };
  }
  warn(`max_tokens was raised to ${total}: ${min} are the least for thinking`);
  return { maxTokens: total, budget: min };
}

function fitSampling(
  { temperature, topP, topK }: InferenceWish,
  { withoutSampling }: ThinkingPlan,
  capabilities: Capabilities,
  warn: (warning: string) => void,
): { sampling: Pick<InferenceConfig, "temperature" | "topP">; fields: JsonObject } {
  // 1 changes nothing: it goes without a word where it may not be sent.
  const telling = (value: number | undefined): boolean => value !== undefined && value !== 1;
  if (withoutSampling || capabilities.sampling === "none") {
    if (telling(temperature) || telling(topP) || topK !== undefined)
      warn(`this model takes no sampling settings${withoutSampling ? " while it thinks" : ""}; they were left out`);
    return { sampling: {}, fields: {} };
  }
  const sampling = {
    ...(temperature !== undefined && { temperature: Math.min(Math.max(temperature, 0), 1) }),
    ...(topP !== undefined && { topP: Math.min(Math.max(topP, 0), 1) }),
  };
  if (capabilities.sampling === "one" && temperature !== undefined && topP !== undefined) {
    if (temperature === 1 && topP !== 1) delete sampling.temperature;
    else {
      delete sampling.topP;
      if (topP !== 1) warn("this model does not take temperature and top_p together; top_p was left out");
    }
  }
  return { sampling, fields: topKField(topK, capabilities, warn) };
}

function topKField(topK: number | undefined, capabilities: Capabilities, warn: (warning: string) => void): JsonObject {
  if (topK === undefined) return {};
  if (capabilities.topK === "top_k") return { top_k: topK };
  if (capabilities.topK === "inferenceConfig.topK") return { inferenceConfig: { topK } };
  warn("this model takes no top_k; it was left out");
  return {};
}

function fitStopSequences(
  stopSequences: readonly string[],
  capabilities: Capabilities,
  warn: (warning: string) => void,
): string[] {
  if (capabilities.stopSequences === "all") return [...stopSequences];
  const kept = capabilities.stopSequences === "none" ? [] : stopSequences.filter((text) => text.trim() !== "");
  if (kept.length < stopSequences.length) {
    const which = kept.length === 0 && capabilities.stopSequences === "none" ? "" : " of white space";
    warn(`this model takes no stop sequences${which}; they were left out`);
  }
  return kept;
}
