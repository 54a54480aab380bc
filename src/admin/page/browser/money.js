/**
 * Money as the API writes it: decimals in USD with all their digits. Added up exactly, as pico-dollars (10⁻¹² USD);
 * rounded only where it is shown.
 */

const PICO_DIGITS = 12;
const PICO = 10n ** BigInt(PICO_DIGITS);

/**
 * @param {string} text  `12`, `0.000000012`, `-3.5`
 * @returns {bigint}  Pico-dollars
 */
export function parseUsd(text) {
  const match = /^(-?)(\d+)(?:\.(\d{1,12}))?$/.exec(text);
  if (match === null) throw new Error(`${JSON.stringify(text)} is not an amount`);
  const [, sign = "", whole = "", fraction = ""] = match;
  const pico = BigInt(whole) * PICO + BigInt(fraction.padEnd(PICO_DIGITS, "0"));
  return sign === "-" ? -pico : pico;
}

/**
 * All digits.
 * @param {bigint} pico
 */
export function exactUsd(pico) {
  const [sign, amount] = pico < 0n ? ["-", -pico] : ["", pico];
  const fraction = String(amount % PICO)
    .padStart(PICO_DIGITS, "0")
    .replace(/0+$/, "")
    .padEnd(2, "0");
  return `${sign}$${(amount / PICO).toLocaleString("en-US")}.${fraction}`;
}

/**
 * To the cent; below ten cents to four digits, so that small calls are not all the same. Nothing that is above zero is
 * shown as zero.
 * @param {bigint} pico
 */
export function showUsd(pico) {
  const [sign, amount] = pico < 0n ? ["-", -pico] : ["", pico];
  if (amount === 0n) return "$0.00";
  if (amount < PICO / 10_000n) return `${sign}<$0.0001`;
  return `${sign}$${rounded(amount, amount < PICO / 10n ? 4 : 2)}`;
}

/**
 * For places where only a number will do, such as the height of a bar. Not for sums.
 * @param {bigint} pico
 */
export function approximateUsd(pico) {
  return Number(pico) / Number(PICO);
}

/**
 * A part of the whole, for lengths and percentages.
 * @param {bigint} part
 * @param {bigint} whole
 */
export function shareOf(part, whole) {
  return whole === 0n ? 0 : Number((part * 1_000_000n) / whole) / 1_000_000;
}

/**
 * Null where nothing had a price.
 * @param {Iterable<bigint | null>} amounts
 * @returns {bigint | null}
 */
export function sumUsd(amounts) {
  /** @type {bigint | null} */
  let sum = null;
  for (const amount of amounts) if (amount !== null) sum = (sum ?? 0n) + amount;
  return sum;
}

/**
 * @param {bigint} amount
 * @param {number} digits
 */
function rounded(amount, digits) {
  const unit = 10n ** BigInt(PICO_DIGITS - digits);
  const units = (amount + unit / 2n) / unit;
  const scale = 10n ** BigInt(digits);
  return `${(units / scale).toLocaleString("en-US")}.${String(units % scale).padStart(digits, "0")}`;
}
