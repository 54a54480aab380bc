/**
 * What one call costs, by the price of its model, region and start: for a call that ends, for one that is closed in its
 * process's place and for one that AWS's own numbers correct. And what it may cost at most, before it goes out.
 */
import type { ConverseRequest } from "../bedrock/converse.ts";
import type { Call, TokenUsage } from "../store/store.ts";
import { costOf } from "./cost.ts";
import { DEFAULT_TIER, type Prices } from "./prices.ts";

/** What its price is looked up by. */
export type CostedCall = Pick<Call, "modelInvoked" | "region" | "startedAt"> & {
  readonly foundationModel?: string | undefined;
};

/** What a row can hold. */
const MAX_COST = 2n ** 63n - 1n;

/** Counted on for an answer whose request sets no limit. */
export const DEFAULT_MAX_TOKENS = 4_096;

/** Pico-dollars. Undefined: unpriced. A call that used nothing costs nothing, whatever its model. */
export function costOfCall(
  prices: Prices,
  call: CostedCall,
  usage: TokenUsage,
  tier: string | undefined,
): bigint | undefined {
  const { modelInvoked: modelId, foundationModel, region, startedAt: at } = call;
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = usage;
  if (inputTokens + outputTokens + cacheReadTokens + cacheWriteTokens === 0) return 0n;
  const price = prices.priceOf({ modelId, foundationModel, region, at });
  const cost = price && costOf(usage, price, { serviceTier: tier });
  return cost !== undefined && cost <= MAX_COST ? cost : undefined;
}

/** The tier whose rates count: Bedrock charges for optimized latency in its own way, whatever the tier. */
export function chargedTier(serviceTier: string | undefined, latency: string | undefined): string | undefined {
  return latency === "optimized" ? latency : serviceTier;
}

/**
 * Pico-dollars that the call may cost at most, as far as its prompt's estimate holds: all of it written to the prompt
 * cache, where that is dearer, and the longest answer. 0 where there is no price.
 */
export function reservationOf(
  prices: Prices,
  call: CostedCall,
  request: ConverseRequest,
  inputEstimate: number,
): bigint {
  const outputTokens = request.inferenceConfig?.maxTokens ?? DEFAULT_MAX_TOKENS;
  const tier = chargedTier(request.serviceTier?.type, request.performanceConfig?.latency);
  const read = { inputTokens: inputEstimate, outputTokens, cacheReadTokens: 0, cacheWriteTokens: 0 };
  const written = { ...read, inputTokens: 0, cacheWriteTokens: inputEstimate };
  const costs = [read, written].map(
    (usage) => costOfCall(prices, call, usage, tier) ?? costOfCall(prices, call, usage, DEFAULT_TIER) ?? 0n,
  );
  return costs.reduce((most, cost) => (cost > most ? cost : most), 0n);
}
