/**
 * How numbers and times are written. All times are UTC, as the ledger's days and the budgets' periods are.
 */

const WHOLE = new Intl.NumberFormat("en-US");
const MAGNITUDE = new Intl.NumberFormat("en-US", {
  notation: "compact",
  minimumSignificantDigits: 3,
  maximumSignificantDigits: 3,
});
const COMPACT = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });
const UTC = /** @type {const} */ ({ timeZone: "UTC", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat("en-GB", { ...UTC, day: "numeric", month: "short" });
const LONG_DAY = new Intl.DateTimeFormat("en-GB", { ...UTC, day: "numeric", month: "short", year: "numeric" });
const HOUR = new Intl.DateTimeFormat("en-GB", { ...UTC, hour: "2-digit", minute: "2-digit" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { ...UTC, hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** @param {number} value */
export const count = (value) => WHOLE.format(value);

/**
 * 11,000,000 as 11.0M: always three digits, so that columns line up.
 * @param {number} value
 */
export const magnitude = (value) => (value < 1_000 ? WHOLE : MAGNITUDE).format(value);

/**
 * 2,000,000 as 2M.
 * @param {number} value
 */
export const compact = (value) => COMPACT.format(value);

/** @param {number} share  0 to 1 */
export function percent(share) {
  const value = share * 100;
  if (value > 0 && value < 0.1) return "<0.1 %";
  return `${value.toFixed(value < 10 && value > 0 ? 1 : 0)} %`;
}

/** @param {number | null} ms */
export function duration(ms) {
  if (ms === null) return "–";
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`;
}

/** @param {number} ms */
export const day = (ms) => DAY.format(ms);

/** @param {number} ms */
export const longDay = (ms) => LONG_DAY.format(ms);

/** @param {number} ms */
export const hour = (ms) => HOUR.format(ms);

/** @param {number} ms */
export const clock = (ms) => CLOCK.format(ms);

/**
 * The day only where it is not today.
 * @param {number} ms
 * @param {number} now
 */
export function moment(ms, now) {
  const sameDay = new Date(ms).toISOString().slice(0, 10) === new Date(now).toISOString().slice(0, 10);
  return sameDay ? clock(ms) : `${day(ms)}, ${hour(ms)}`;
}

/**
 * @param {number} n
 * @param {string} one
 * @param {string} [many]
 */
export function counted(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}
