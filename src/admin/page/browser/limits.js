/**
 * The limits that keys and teams share: their fields in forms, and how tables say them.
 */
import { element } from "./dom.js";
import { choice, field } from "./fields.js";
import * as format from "./format.js";
import { exactUsd, showUsd } from "./money.js";

/**
 * @typedef {object} Limits
 * @property {number | null} rpm
 * @property {number | null} tpm
 * @property {number | null} parallel
 * @property {bigint | null} budget_usd
 * @property {bigint | null} soft_budget_usd
 * @property {string} budget_period
 */

const PERIODS = /** @type {const} */ ([
  ["day", "per day (UTC)"],
  ["month", "per month (UTC)"],
  ["total", "in all"],
]);
/** @type {Readonly<Record<string, string>>} */
const PER = { day: "a day", month: "a month", total: "in all" };

/** @param {Limits} [limits] */
export function limitFields(limits) {
  return [
    field({ name: "rpm", label: "Requests per minute", kind: "count", value: numberText(limits?.rpm) }),
    field({ name: "tpm", label: "Tokens per minute", kind: "count", value: numberText(limits?.tpm) }),
    field({ name: "parallel", label: "Requests at once", kind: "count", value: numberText(limits?.parallel) }),
    choice({ name: "budget_period", label: "Budgets are", choices: PERIODS, value: limits?.budget_period ?? "month" }),
    field({
      name: "budget_usd",
      label: "Budget in USD",
      kind: "money",
      value: usdText(limits?.budget_usd),
      hint: "Calls are refused once it is spent.",
    }),
    field({
      name: "soft_budget_usd",
      label: "Soft budget in USD",
      kind: "money",
      value: usdText(limits?.soft_budget_usd),
      hint: "Answers carry a warning from here on.",
    }),
  ];
}

/** @param {Limits} limits */
export function showRates({ rpm, tpm, parallel }) {
  const parts = [
    rpm !== null && `${format.count(rpm)} requests/min`,
    tpm !== null && `${format.compact(tpm)} tokens/min`,
    parallel !== null && `${format.count(parallel)} at once`,
  ].filter((part) => part !== false);
  if (parts.length === 0) return "unlimited";
  return element("span", { class: "stacked" }, ...parts.map((part) => element("span", {}, part)));
}

/** @param {Limits} limits */
export function showBudget({ budget_usd: hard, soft_budget_usd: soft, budget_period: period }) {
  if (hard === null && soft === null) return "none";
  return element(
    "span",
    { class: "stacked" },
    hard !== null && element("span", { title: exactUsd(hard) }, `${showUsd(hard)} ${PER[period] ?? period}`),
    soft !== null && element("small", { title: exactUsd(soft) }, `warns from ${showUsd(soft)}`),
  );
}

/** @param {number | null | undefined} value */
function numberText(value) {
  return value === null || value === undefined ? "" : String(value);
}

/** @param {bigint | null | undefined} value */
function usdText(value) {
  return value === null || value === undefined ? "" : exactUsd(value).replace(/[$,]/g, "").replace(/\.00$/, "");
}
