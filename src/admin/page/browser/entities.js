/**
 * Keys, teams and models as the usage reports have them: what they are called, how much each used, and in which order
 * the charts have them.
 */
import { sumUsd } from "./money.js";

/** @typedef {"model" | "team" | "key"} Grouping */
/** @typedef {import("./shapes.js").Totals} Totals */
/** @typedef {import("./shapes.js").UsageRow} UsageRow */

/** @type {Record<Grouping, { one: string, many: string, title: string }>} */
export const GROUPINGS = {
  model: { one: "model", many: "models", title: "Model" },
  team: { one: "team", many: "teams", title: "Team" },
  key: { one: "key", many: "keys", title: "Key" },
};

/** What the map of slots has for calls without a team. */
const NONE = "\u0000none";

/** @param {string | null} group */
export const entityId = (group) => group ?? NONE;

/**
 * @param {{ group: string | null, name: string | null }} row
 * @param {Grouping} by
 */
export function entityName({ group, name }, by) {
  if (group === null) return by === "team" ? "no team" : "none";
  return name ?? group;
}

/**
 * One row for all.
 * @param {readonly Totals[]} rows
 * @returns {Totals}
 */
export function totalOf(rows) {
  /** @param {(row: Totals) => number} pick */
  const sum = (pick) => rows.reduce((total, row) => total + pick(row), 0);
  return {
    requests: sum((row) => row.requests),
    errors: sum((row) => row.errors),
    interrupted: sum((row) => row.interrupted),
    input_tokens: sum((row) => row.input_tokens),
    output_tokens: sum((row) => row.output_tokens),
    cache_read_tokens: sum((row) => row.cache_read_tokens),
    cache_write_tokens: sum((row) => row.cache_write_tokens),
    cost_usd: sumUsd(rows.map((row) => row.cost_usd)),
    estimated_requests: sum((row) => row.estimated_requests),
    unpriced_requests: sum((row) => row.unpriced_requests),
  };
}

/** @param {Totals} row */
export function tokensOf(row) {
  return promptTokensOf(row) + row.output_tokens;
}

/** @param {Totals} row */
export function promptTokensOf(row) {
  return row.input_tokens + row.cache_read_tokens + row.cache_write_tokens;
}

/**
 * The part of the prompts that came from the cache.
 * @param {Totals} row
 */
export function cacheShareOf(row) {
  const prompt = promptTokensOf(row);
  return prompt === 0 ? 0 : row.cache_read_tokens / prompt;
}

/** @param {Totals} row */
export function errorRateOf({ requests, errors }) {
  return requests === 0 ? 0 : errors / requests;
}

/**
 * Those that cost most come first; where nothing had a price, those with most requests.
 * @template {Totals} Row
 * @param {readonly Row[]} rows
 * @returns {Row[]}
 */
export function byCost(rows) {
  return rows.toSorted((a, b) => {
    const [x, y] = [a.cost_usd ?? -1n, b.cost_usd ?? -1n];
    return x === y ? b.requests - a.requests : x < y ? 1 : -1;
  });
}
