/**
 * The span of time that the numbers are of: whole hours or whole days of UTC, so that tiles, tables and bars are of the
 * same calls.
 */
import * as format from "./format.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** The last one is made of the two dates. */
export const PRESETS = /** @type {const} */ ([
  ["24h", "24 hours"],
  ["7d", "7 days"],
  ["30d", "30 days"],
  ["month", "This month"],
  ["custom", "Custom"],
]);

/** @typedef {(typeof PRESETS)[number][0]} Preset */

/**
 * `first` and `last` are days such as 2026-12-31, both included, and only of a custom range.
 * @typedef {{ preset: Preset, first?: string, last?: string }} RangeChoice
 */

/** @typedef {{ from: number, to: number, bucket: "hour" | "day" }} Range  Unix milliseconds; `to` is not included. */

/** @param {string | null} text */
export function presetOf(text) {
  return PRESETS.find(([name]) => name === text)?.[0];
}

/**
 * @param {RangeChoice} choice
 * @param {number} now
 * @returns {Range}
 */
export function rangeOf({ preset, first, last }, now) {
  const tomorrow = floorTo(now, DAY) + DAY;
  switch (preset) {
    case "24h": {
      const to = floorTo(now, HOUR) + HOUR;
      return { from: to - DAY, to, bucket: "hour" };
    }
    case "7d":
      return { from: tomorrow - 7 * DAY, to: tomorrow, bucket: "day" };
    case "30d":
      return { from: tomorrow - 30 * DAY, to: tomorrow, bucket: "day" };
    case "month": {
      const today = new Date(now);
      return { from: Date.UTC(today.getUTCFullYear(), today.getUTCMonth(), 1), to: tomorrow, bucket: "day" };
    }
    case "custom": {
      const [one, other] = [dayOf(first) ?? tomorrow - DAY, dayOf(last) ?? tomorrow - DAY];
      const [from, to] = [Math.min(one, other), Math.max(one, other) + DAY];
      return { from, to, bucket: to - from <= 3 * DAY ? "hour" : "day" };
    }
    default:
      throw new Error(`${preset} is no range`);
  }
}

/**
 * The begin of every bucket, those without a call too.
 * @param {Range} range
 */
export function bucketsOf({ from, to, bucket }) {
  const step = bucket === "hour" ? HOUR : DAY;
  return Array.from({ length: Math.ceil((to - from) / step) }, (_, index) => from + index * step);
}

/**
 * `24 Oct – 22 Nov 2026`
 * @param {Range} range
 */
export function showRange({ from, to, bucket }) {
  const last = to - 1;
  if (bucket === "hour" && to - from <= DAY)
    return `${format.day(from)}, ${format.hour(from)} – ${format.day(to)}, ${format.hour(to)} UTC`;
  return `${format.day(from)} – ${format.longDay(last)}`;
}

/** @param {number} ms */
export function isoDay(ms) {
  return new Date(ms).toISOString().slice(0, 10);
}

/** @param {string | undefined} text */
function dayOf(text) {
  const ms = Date.parse(`${text}T00:00:00Z`);
  return Number.isNaN(ms) ? undefined : ms;
}

/**
 * @param {number} ms
 * @param {number} step
 */
function floorTo(ms, step) {
  return Math.floor(ms / step) * step;
}
