/**
 * What each key, team or model used: cost with its share of all, requests, tokens, errors.
 */
import { swatch } from "./chart.js";
import { element, setShare } from "./dom.js";
import { cacheShareOf, entityId, entityName, errorRateOf, GROUPINGS, promptTokensOf } from "./entities.js";
import * as format from "./format.js";
import { exactUsd, shareOf, showUsd } from "./money.js";
import { createTable } from "./table.js";

/** @typedef {import("./shapes.js").UsageRow} UsageRow */

const FIRST_ROWS = 10;

/**
 * @param {import("./entities.js").Grouping} by
 */
export function createUsageTable(by) {
  /** @type {ReadonlyMap<string, number>} */
  let slots = new Map();
  /** @type {bigint} */
  let whole = 0n;

  const table = createTable({
    caption: `Usage by ${GROUPINGS[by].one}`,
    limit: FIRST_ROWS,
    sorted: { title: "Cost", descending: true },
    key: (/** @type {UsageRow} */ row) => entityId(row.group),
    empty: () => "No calls in this range. A call that a key makes shows up here within seconds.",
    columns: [
      {
        title: GROUPINGS[by].title,
        sort: (row) => entityName(row, by).toLowerCase(),
        cell: (row) => named(row, by, slots),
      },
      { title: "Cost", numeric: true, sort: (row) => row.cost_usd, cell: costCell },
      {
        title: "Share",
        sort: (row) => row.cost_usd,
        cell: (row) => (row.cost_usd === null ? "–" : shareBar(shareOf(row.cost_usd, whole))),
      },
      { title: "Requests", numeric: true, sort: (row) => row.requests, cell: (row) => format.count(row.requests) },
      {
        title: "Tokens in",
        numeric: true,
        sort: promptTokensOf,
        cell: (row) => tokens(promptTokensOf(row)),
      },
      { title: "Cached", numeric: true, sort: cacheShareOf, cell: (row) => format.percent(cacheShareOf(row)) },
      {
        title: "Tokens out",
        numeric: true,
        sort: (row) => row.output_tokens,
        cell: (row) => tokens(row.output_tokens),
      },
      { title: "Errors", numeric: true, sort: (row) => row.errors, cell: errorCell },
    ],
  });

  return {
    element: table.element,
    /**
     * @param {readonly UsageRow[]} rows
     * @param {{ slots: ReadonlyMap<string, number>, whole: bigint | null }} context  `whole`: what shares are shares of
     */
    update(rows, context) {
      slots = context.slots;
      whole = context.whole ?? 0n;
      table.update(rows);
    },
  };
}

/**
 * @param {UsageRow} row
 * @param {import("./entities.js").Grouping} by
 * @param {ReadonlyMap<string, number>} slots
 */
function named(row, by, slots) {
  const name = entityName(row, by);
  const title = by === "key" ? `${name} (${row.group})` : name;
  return element("span", { class: "named" }, swatch(slots.get(entityId(row.group))), element("span", { title }, name));
}

/** @param {UsageRow} row */
function costCell({ cost_usd: cost, unpriced_requests: unpriced }) {
  const amount = cost === null ? null : element("span", { title: exactUsd(cost) }, showUsd(cost));
  if (unpriced === 0) return amount ?? "–";
  const note = element("small", {}, cost === null ? "unpriced" : `+ ${format.count(unpriced)} unpriced`);
  return element("span", { class: "stacked" }, amount, note);
}

/** @param {number} share */
function shareBar(share) {
  const bar = setShare(element("span", { class: "bar", "aria-hidden": "true" }), "--share", share);
  return element("span", { class: "share" }, bar, element("span", { class: "share-text" }, format.percent(share)));
}

/** @param {number} value */
function tokens(value) {
  return element("span", { title: format.count(value) }, format.magnitude(value));
}

/** @param {UsageRow} row */
function errorCell(row) {
  if (row.errors === 0) return "0";
  return `${format.count(row.errors)} (${format.percent(errorRateOf(row))})`;
}
