/**
 * What a call costs: its tokens times their rates, in pico-dollars (10⁻¹² USD), exact. Rounded only where it is shown.
 */
import type { TokenUsage } from "../store/store.ts";
import { DEFAULT_TIER, type Price, type Rates } from "./prices.ts";

export interface CostOptions {
  /** The tier that Bedrock served; undefined for the default one. */
  readonly serviceTier?: string | undefined;
}

const USD_DIGITS = 12;
const SHOWN_DIGITS = 4;

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
  const sets = price.filter((set) => set.tier === tier && (set.above === 0 || prompt > set.above));
  return sets.toSorted((a, b) => b.above - a.above)[0]?.rates;
}

/** Pico-dollars as a decimal in USD with all digits: `0.000123`. */
export function formatUsd(pico: bigint): string {
  const { sign, whole, fraction } = digits(pico, USD_DIGITS);
  const kept = fraction.replace(/0+$/, "");
  return kept === "" ? `${sign}${whole}` : `${sign}${whole}.${kept}`;
}

/** For people: USD to four decimals, rounded half up, `<0.0001` for what is less but not nothing. */
export function showUsd(pico: bigint): string {
  const unit = 10n ** BigInt(USD_DIGITS - SHOWN_DIGITS);
  if (pico > 0n && pico < unit) return `<${formatUsd(unit)}`;
  const { whole, fraction } = digits((pico + unit / 2n) / unit, SHOWN_DIGITS);
  return `${BigInt(whole).toLocaleString("en-US")}.${fraction}`;
}

/** What `formatUsd` wrote. */
export function parseUsd(text: string): bigint {
  const [whole = "", fraction = ""] = text.split(".");
  return BigInt(whole + fraction.padEnd(USD_DIGITS, "0"));
}

function digits(value: bigint, decimals: number) {
  const text = String(value < 0n ? -value : value).padStart(decimals + 1, "0");
  return { sign: value < 0n ? "-" : "", whole: text.slice(0, -decimals), fraction: text.slice(-decimals) };
}
