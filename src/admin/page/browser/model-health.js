/**
 * Errors and latency of each model, the one with most errors first.
 */
import { element } from "./dom.js";
import { errorRateOf } from "./entities.js";
import * as format from "./format.js";
import { createTable } from "./table.js";

/** @typedef {import("./shapes.js").ModelLatency} ModelLatency */
/** @typedef {import("./shapes.js").UsageRow} UsageRow */
/** @typedef {{ model: string, usage: UsageRow, latency: ModelLatency | undefined }} Health */
/** @typedef {"duration_p50_ms" | "duration_p95_ms" | "first_token_p50_ms" | "first_token_p95_ms"} Percentile */

const FIRST_ROWS = 10;

export function createModelHealth() {
  const table = createTable({
    caption: "Errors and latency by model",
    limit: FIRST_ROWS,
    sorted: { title: "Error rate", descending: true },
    key: (/** @type {Health} */ row) => row.model,
    empty: () => "No calls in this range.",
    columns: [
      {
        title: "Model",
        sort: (row) => row.model,
        cell: (row) => element("span", { class: "clip", title: row.model }, row.model),
      },
      {
        title: "Requests",
        numeric: true,
        sort: (row) => row.usage.requests,
        cell: (row) => format.count(row.usage.requests),
      },
      {
        title: "Errors",
        numeric: true,
        sort: (row) => row.usage.errors,
        cell: (row) => format.count(row.usage.errors),
      },
      {
        title: "Error rate",
        numeric: true,
        sort: (row) => errorRateOf(row.usage),
        cell: (row) => format.percent(errorRateOf(row.usage)),
      },
      {
        title: "Interrupted",
        numeric: true,
        sort: (row) => row.usage.interrupted,
        cell: (row) => format.count(row.usage.interrupted),
      },
      percentile("First token p50", "first_token_p50_ms"),
      percentile("First token p95", "first_token_p95_ms"),
      percentile("Duration p50", "duration_p50_ms"),
      percentile("Duration p95", "duration_p95_ms"),
    ],
  });
  return {
    element: table.element,
    /**
     * @param {readonly UsageRow[]} usage  By model
     * @param {readonly ModelLatency[]} latency
     */
    update(usage, latency) {
      const measured = new Map(latency.map((row) => [row.model, row]));
      table.update(
        usage.map((row) => ({ model: row.group ?? "", usage: row, latency: measured.get(row.group ?? "") })),
      );
    },
  };
}

/**
 * @param {string} title
 * @param {Percentile} name
 * @returns {import("./table.js").Column<Health>}
 */
function percentile(title, name) {
  return {
    title,
    numeric: true,
    sort: (row) => row.latency?.[name] ?? null,
    cell: (row) => format.duration(row.latency?.[name] ?? null),
  };
}
