/**
 * What one call costs, by the price of its model, region and start: for a call that ends, for one that is closed in its
 * process's place and for one that AWS's own numbers correct. And what it may cost at most, before it goes out.
 */
import type { ConverseRequest } from "../bedrock/converse.ts";
import type { Call, TokenUsage } from "../store/store.ts";
import { costOf } from "./cost.ts";
import { DEFAULT_TIER, type Price, type Prices } from "./prices.ts";

/** What its price is looked up by. */
export type CostedCall = Pick<Call, "modelInvoked" | "region" | "startedAt"> & {
  readonly foundationModel?: string | undefined;
};

export type PricedRequest = Pick<ConverseRequest, "inferenceConfig" | "serviceTier" | "performanceConfig">;

/** What a row can hold. */
const MAX_COST = 2n ** 63n - 1n;

const RESERVED_TIER = "reserved";

/** Counted on for an answer whose request sets no limit. */
export const DEFAULT_MAX_TOKENS = 4_096;

export function priceOfCall(prices: Prices, call: CostedCall): Price | undefined {
  const { modelInvoked: modelId, foundationModel, region, startedAt: at } = call;
  return prices.priceOf({ modelId, foundationModel, region, at });
}

/** Pico-dollars. Undefined: unpriced. A call that used nothing costs nothing, whatever its model. */
export function costOfCall(
  prices: Prices,
  call: CostedCall,
  usage: TokenUsage,
  tier: string | undefined,
): bigint | undefined {
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = usage;
  if (inputTokens + outputTokens + cacheReadTokens + cacheWriteTokens === 0) return 0n;
  const price = priceOfCall(prices, call);
  const cost = price && costOf(usage, price, { serviceTier: tier });
  return cost !== undefined && cost <= MAX_COST ? cost : undefined;
}

/** The tier whose rates count: Bedrock charges for optimized latency in its own way, whatever the tier. */
export function chargedTier(serviceTier: string | undefined, latency: string | undefined): string | undefined {
  return latency === "optimized" ? latency : serviceTier;
}

/**
 * Pico-dollars that the call may cost at most, as far as its prompt's estimate holds: all of it written to the prompt
 * cache, where that is dearer, and the longest answer; for each of its choices. 0 where there is no price.
 */
export function reservationOf(
  price: Price | undefined,
  request: PricedRequest,
  { inputEstimate, choices = 1 }: { readonly inputEstimate: number; readonly choices?: number },
): bigint {
  if (price === undefined) return 0n;
  const outputTokens = request.inferenceConfig?.maxTokens ?? DEFAULT_MAX_TOKENS;
  const tier = chargedTier(request.serviceTier?.type, request.performanceConfig?.latency);
  const read = { inputTokens: inputEstimate, outputTokens, cacheReadTokens: 0, cacheWriteTokens: 0 };
  const written = { ...read, inputTokens: 0, cacheWriteTokens: inputEstimate };
  const costs = [read, written].map(
    (usage) => costOf(usage, price, { serviceTier: tier }) ?? costOf(usage, price) ?? 0n,
  );
  const most = BigInt(choices) * costs.reduce((most, cost) => (cost > most ? cost : most), 0n);
  return most < MAX_COST ? most : MAX_COST;
}

/**
 * Whether there is a price for the model, on the tier that the request asks for. Capacity that is reserved is paid by the
 * hour, and a token of it costs nothing.
 */
export function isPriced(price: Price | undefined, request: PricedRequest): boolean {
  const tier = chargedTier(request.serviceTier?.type, request.performanceConfig?.latency) ?? DEFAULT_TIER;
  return price !== undefined && (tier === RESERVED_TIER || price.some((set) => set.tier === tier));
}
