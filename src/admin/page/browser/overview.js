/**
 * The first view: what was spent and on what, how full budgets are, how models do.
 */
import { ApiError, api, usageCsv } from "./api.js";
import { createBudgets } from "./budgets.js";
import { card } from "./card.js";
import { createChart } from "./chart.js";
import { createChoices } from "./choices.js";
import { element, fill } from "./dom.js";
import { entityId, GROUPINGS, totalOf } from "./entities.js";
import { createModelHealth } from "./model-health.js";
import { createSlots } from "./palette.js";
import { leaders, MEASURES, stacksOf } from "./stacks.js";
import { createTiles } from "./tiles.js";
import { createUsageTable } from "./usage-table.js";

/** @typedef {import("./entities.js").Grouping} Grouping */
/** @typedef {import("./stacks.js").MeasureName} MeasureName */

/** @type {readonly Grouping[]} */
const ORDER = ["model", "team", "key"];
/** @type {readonly MeasureName[]} */
const MEASURE_NAMES = ["cost", "requests", "tokens", "errors"];

/**
 * @param {import("./view.js").ViewContext} context
 * @returns {import("./view.js").View}
 */
export function createOverview({ range, refresh }) {
  const tiles = createTiles();
  const chart = createChart();
  const budgets = createBudgets();
  const health = createModelHealth();
  const tables = { model: createUsageTable("model"), team: createUsageTable("team"), key: createUsageTable("key") };
  const slots = { model: createSlots(), team: createSlots(), key: createSlots() };
  const tablePlace = element("div", {}, tables.model.element);
  const unpriced = element("p", { class: "note", hidden: true });
  /** @type {Grouping} */
  let by = "model";
  /** @type {MeasureName} */
  let measure = "cost";
  /** @type {Awaited<ReturnType<typeof load>> | undefined} */
  let data;

  /** @param {Grouping} grouping */
  async function load(grouping) {
    const span = range();
    const byModel = api.usage("model", span);
    const [rows, course, models, latency, budgetRows] = await Promise.all([
      grouping === "model" ? byModel : api.usage(grouping, span),
      loadCourse(grouping, span),
      byModel,
      api.latency(span),
      api.budgets(),
    ]);
    return { grouping, span, rows, course, models, latency, budgetRows };
  }

  function render() {
    if (data === undefined) return;
    const { grouping, span, rows, course, models, latency, budgetRows } = data;
    const total = totalOf(models);
    const own = slots[grouping].assign(leaders(rows).map((row) => entityId(row.group)));
    const counted = MEASURES[measure];
    tiles.update(total, latency);
    chart.update({
      ...stacksOf({ ...course, rows, by: grouping, range: span, measure: counted, slots: own }),
      measure: counted,
      bucket: span.bucket,
    });
    csv.href = usageCsv(grouping, span);
    tables[grouping].update(rows, { slots: own, whole: total.cost_usd });
    if (tablePlace.firstChild !== tables[grouping].element) fill(tablePlace, tables[grouping].element);
    unpriced.hidden = total.unpriced_requests === 0;
    unpriced.textContent =
      "Calls to models without a price are not in these sums: give those models a price under prices in the gateway's configuration.";
    health.update(models, latency);
    budgets.update(budgetRows);
  }

  const groupings = createChoices({
    label: "Grouped by",
    choices: ORDER.map((name) => /** @type {const} */ ([name, GROUPINGS[name].title])),
    chosen: by,
    choose: (name) => {
      by = name;
      refresh();
    },
  });
  const measures = element(
    "select",
    { "aria-label": "What the chart shows", change: () => chooseMeasure(measures.value) },
    ...MEASURE_NAMES.map((name) => element("option", { value: name }, MEASURES[name].title)),
  );

  /** @param {string} name */
  function chooseMeasure(name) {
    measure = MEASURE_NAMES.find((one) => one === name) ?? "cost";
    render();
  }

  const csv = element("a", { class: "download", download: true }, "Download CSV");
  const usage = card("Usage", { controls: [csv], content: [tablePlace, unpriced] });

  return {
    element: element(
      "div",
      { class: "view" },
      tiles.element,
      element(
        "div",
        { class: "columns" },
        card("Over time", { kind: "wide", controls: [measures, groupings], content: [chart.element] }),
        card("Budgets", { content: [budgets.element] }),
      ),
      usage,
      card("Errors and latency by model", { content: [health.element] }),
    ),
    ranged: true,
    async load(wanted) {
      const loaded = await load(by);
      if (!wanted()) return;
      data = loaded;
      render();
    },
  };
}

/**
 * The course over time of each entity; of all together, where they are too many for the range.
 * @param {Grouping} grouping
 * @param {import("./range.js").Range} span
 */
async function loadCourse(grouping, span) {
  try {
    return { points: await api.series(grouping, span), together: false };
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 400) throw error;
    return { points: await api.series("all", span), together: true };
  }
}
