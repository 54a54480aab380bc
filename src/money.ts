/** Money: pico-dollars (10⁻¹² USD) as bigint, exact. Rounded only where it is shown. */

const USD_DIGITS = 12;
const SHOWN_DIGITS = 4;

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

/** What `formatUsd` wrote, or a person in the same form, already checked. */
export function parseUsd(text: string): bigint {
  const [whole = "", fraction = ""] = text.split(".");
  return BigInt(whole + fraction.padEnd(USD_DIGITS, "0"));
}

function digits(value: bigint, decimals: number) {
  const text = String(value < 0n ? -value : value).padStart(decimals + 1, "0");
  return { sign: value < 0n ? "-" : "", whole: text.slice(0, -decimals), fraction: text.slice(-decimals) };
}
