/**
 * What a call costs: its tokens times their rates, in pico-dollars (10⁻¹² USD), exact.
 */
import type { TokenUsage } from "../store/store.ts";
import { DEFAULT_TIER, type Price, type Rates, type TierRates } from "./prices.ts";

export { formatUsd, parseUsd, showUsd } from "../money.ts";

export interface CostOptions {
  /** The tier that Bedrock served; undefined for the default one. */
  readonly serviceTier?: string | undefined;
}

/**
 * Pico-dollars. Undefined where the price has no rates for the tier. The whole call is charged by the length of its prompt,
 * cached tokens included.
 */
export function costOf(usage: TokenUsage, price: Price, { serviceTier }: CostOptions = {}): bigint | undefined {
  const rates = ratesFor(price, serviceTier ?? DEFAULT_TIER, promptTokens(usage));
  if (rates === undefined) return undefined;
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, cacheWrite1hTokens = 0 } = usage;
  return (
    BigInt(inputTokens) * rates.input +
    BigInt(outputTokens) * rates.output +
    BigInt(cacheReadTokens) * rates.cacheRead +
    BigInt(Math.max(0, cacheWriteTokens - cacheWrite1hTokens)) * rates.cacheWrite5m +
    BigInt(cacheWrite1hTokens) * rates.cacheWrite1h
  );
}

function promptTokens({ inputTokens, cacheReadTokens, cacheWriteTokens }: TokenUsage): number {
  return inputTokens + cacheReadTokens + cacheWriteTokens;
}

/** Those with the highest threshold that the prompt is above. */
function ratesFor(price: Price, tier: string, prompt: number): Rates | undefined {
  let found: TierRates | undefined;
  for (const set of price) {
    if (set.tier !== tier || (set.above > 0 && prompt <= set.above)) continue;
    if (found === undefined || set.above > found.above) found = set;
  }
  return found?.rates;
}
