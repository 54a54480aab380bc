/**
 * What the bars of the chart over time are made of: for every bucket the eight largest entities, and all others together.
 */
import { byCost, entityId, entityName, GROUPINGS, tokensOf } from "./entities.js";
import * as format from "./format.js";
import { approximateUsd, exactUsd, showUsd } from "./money.js";
import { SLOTS } from "./palette.js";
import { bucketsOf } from "./range.js";

/** @typedef {import("./entities.js").Grouping} Grouping */
/** @typedef {import("./shapes.js").SeriesPoint} SeriesPoint */
/** @typedef {import("./shapes.js").Totals} Totals */
/** @typedef {import("./shapes.js").UsageRow} UsageRow */

/**
 * What is counted. `exact` is whole and adds up; money as pico-dollars.
 * @typedef {object} Measure
 * @property {string} title
 * @property {(row: Totals) => bigint} exact
 * @property {(value: bigint) => string} show  All digits
 * @property {(value: bigint) => string} brief
 * @property {(value: bigint) => number} height
 * @property {(height: number, step: number) => string} tick  `step`: how far the axis' ticks are apart
 */

/** @type {Pick<Measure, "show" | "brief" | "height" | "tick">} */
const COUNTED = {
  show: (value) => format.count(Number(value)),
  brief: (value) => format.magnitude(Number(value)),
  height: Number,
  tick: (height) => format.compact(height),
};

/** @type {Readonly<Record<"cost" | "requests" | "tokens" | "errors", Measure>>} */
export const MEASURES = {
  cost: {
    title: "Spend",
    exact: (row) => row.cost_usd ?? 0n,
    show: exactUsd,
    brief: showUsd,
    height: approximateUsd,
    tick: tickUsd,
  },
  requests: { title: "Requests", exact: (row) => BigInt(row.requests), ...COUNTED },
  tokens: { title: "Tokens", exact: (row) => BigInt(tokensOf(row)), ...COUNTED },
  errors: { title: "Errors", exact: (row) => BigInt(row.errors), ...COUNTED },
};

/** @typedef {keyof typeof MEASURES} MeasureName */

/**
 * @typedef {object} Stack
 * @property {string} id
 * @property {string} name
 * @property {number | undefined} slot  Undefined: the others
 * @property {bigint[]} values  One for each bucket
 * @property {bigint} total
 */

/**
 * The entities that have a colour of their own, largest first.
 * @param {readonly UsageRow[]} rows
 */
export function leaders(rows) {
  return byCost(rows).slice(0, SLOTS);
}

/**
 * @param {object} data
 * @param {readonly SeriesPoint[]} data.points
 * @param {boolean} data.together  The points are of all entities, not of each
 * @param {readonly UsageRow[]} data.rows  Of the same range and grouping
 * @param {Grouping} data.by
 * @param {import("./range.js").Range} data.range
 * @param {Measure} data.measure
 * @param {ReadonlyMap<string, number>} data.slots
 * @returns {{ buckets: number[], stacks: Stack[] }}
 */
export function stacksOf({ points, together, rows, by, range, measure, slots }) {
  const buckets = bucketsOf(range);
  const place = new Map(buckets.map((at, index) => [at, index]));
  /**
   * @param {string} id
   * @param {string} name
   * @returns {Stack}
   */
  const stack = (id, name) => ({ id, name, slot: slots.get(id), values: buckets.map(() => 0n), total: 0n });
  const own = new Map(
    leaders(rows).map((row) => [entityId(row.group), stack(entityId(row.group), entityName(row, by))]),
  );
  const others = stack("others", together ? `all ${GROUPINGS[by].many}` : `${rows.length - own.size} others`);
  for (const point of points) {
    const index = place.get(point.at);
    if (index === undefined) continue;
    const target = (together ? undefined : own.get(entityId(point.group))) ?? others;
    const value = measure.exact(point);
    target.values[index] = (target.values[index] ?? 0n) + value;
    target.total += value;
  }
  return { buckets, stacks: [...own.values(), others].filter((one) => one.total > 0n) };
}

/**
 * As many decimals as tell neighbours apart, cents at least where there are any.
 * @param {number} height
 * @param {number} step
 */
function tickUsd(height, step) {
  if (step >= 500) return `$${format.compact(height)}`;
  const digits = step >= 1 ? 0 : Math.max(2, Math.ceil(-Math.log10(step)));
  return `$${height.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}
