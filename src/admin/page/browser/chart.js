/**
 * Bars over time, stacked by entity and drawn by Chart.js, which page.html loads.
 *
 * A screen reader gets a sentence instead, and the table below the chart; the legend is text with its numbers.
 */
import { element, fill } from "./dom.js";
import * as format from "./format.js";
import { colorOf, SURFACE_DARK, SURFACE_LIGHT } from "./palette.js";

/** @typedef {import("./stacks.js").Stack} Stack */
/** @typedef {import("./stacks.js").Measure} Measure */

/** @type {typeof import("chart.js").Chart} */
// @ts-expect-error: the library's own script defines it
const { Chart } = globalThis;

const DARK_MODE = matchMedia("(prefers-color-scheme: dark)");
const CALM = matchMedia("(prefers-reduced-motion: reduce)");
const MAX_BAR_PX = 44;
const INK = { light: { text: "#57606a", grid: "#e3e6ea" }, dark: { text: "#a3abb5", grid: "#31363d" } };

export function createChart() {
  const canvas = element("canvas", { role: "img" });
  const legend = element("ul", { class: "legend" });
  const frame = element("div", { class: "chart" }, canvas);
  /** @type {{ buckets: number[], stacks: Stack[], measure: Measure, bucket: "hour" | "day" } | undefined} */
  let shown;
  /** @type {import("chart.js").Chart<"bar"> | undefined} */
  let chart;

  function draw() {
    if (shown === undefined) return;
    const { buckets, stacks, measure, bucket } = shown;
    const dark = DARK_MODE.matches;
    const drawn = chart ?? new Chart(canvas, { type: "bar", data: { labels: [], datasets: [] } });
    chart = drawn;
    drawn.options = optionsOf(shown, dark);
    drawn.data.labels = buckets.map((at) => labelOf(at, bucket, buckets.length));
    // By id, so that bars of an entity that was there before grow or shrink instead of being new ones.
    const before = new Map(
      drawn.data.datasets.map((/** @type {import("chart.js").ChartDataset<"bar">} */ one) => [one.label, one]),
    );
    drawn.data.datasets = stacks.map((stack) => Object.assign(before.get(stack.id) ?? {}, bars(stack, measure, dark)));
    drawn.update(CALM.matches ? "none" : undefined);
    fill(legend, ...stacks.map((stack) => legendItem(stack, measure, dark)));
  }
  DARK_MODE.addEventListener("change", draw);

  return {
    element: element("div", { class: "over-time" }, frame, legend),
    /** @param {NonNullable<typeof shown>} newData */
    update(newData) {
      shown = newData;
      canvas.setAttribute("aria-label", describe(newData));
      draw();
    },
  };
}

/**
 * @param {Stack} stack
 * @param {Measure} measure
 * @param {boolean} dark
 * @returns {import("chart.js").ChartDataset<"bar">}
 */
function bars(stack, measure, dark) {
  return {
    label: stack.id,
    data: stack.values.map(measure.height),
    backgroundColor: colorOf(stack.slot, dark),
    hoverBackgroundColor: colorOf(stack.slot, dark),
    // A line of the card's own colour parts the bars of a stack.
    borderColor: dark ? SURFACE_DARK : SURFACE_LIGHT,
    borderWidth: { top: 1, bottom: 0, left: 0, right: 0 },
    borderSkipped: false,
    maxBarThickness: MAX_BAR_PX,
    categoryPercentage: 0.86,
    barPercentage: 1,
  };
}

/**
 * @param {{ buckets: number[], stacks: Stack[], measure: Measure, bucket: "hour" | "day" }} shown
 * @param {boolean} dark
 * @returns {import("chart.js").ChartOptions<"bar">}
 */
function optionsOf({ buckets, stacks, measure, bucket }, dark) {
  const ink = dark ? INK.dark : INK.light;
  const font = { family: "system-ui, sans-serif", size: 12 };
  /** @param {number} index */
  const totalAt = (index) => stacks.reduce((sum, stack) => sum + (stack.values[index] ?? 0n), 0n);
  return {
    responsive: true,
    maintainAspectRatio: false,
    animation: { duration: 250 },
    interaction: { mode: "index", intersect: false },
    scales: {
      x: {
        stacked: true,
        grid: { display: false },
        border: { color: ink.grid },
        ticks: { color: ink.text, font, maxRotation: 0, autoSkipPadding: 14 },
      },
      y: {
        stacked: true,
        beginAtZero: true,
        ...(stacks.length === 0 && { suggestedMax: 1 }),
        border: { display: false },
        grid: { color: ink.grid, drawTicks: false },
        ticks: {
          color: ink.text,
          font,
          padding: 8,
          maxTicksLimit: 6,
          callback: (value, _index, ticks) =>
            measure.tick(Number(value), (ticks[1]?.value ?? 1) - (ticks[0]?.value ?? 0)),
        },
      },
    },
    plugins: {
      legend: { display: false },
      tooltip: {
        backgroundColor: dark ? "#0d0f12" : "#1f2328",
        titleColor: "#ffffff",
        bodyColor: "#ffffff",
        footerColor: "#ffffff",
        borderColor: ink.grid,
        borderWidth: dark ? 1 : 0,
        padding: 10,
        boxPadding: 5,
        usePointStyle: false,
        itemSort: (a, b) => b.datasetIndex - a.datasetIndex,
        filter: (item) => (stacks[item.datasetIndex]?.values[item.dataIndex] ?? 0n) > 0n,
        callbacks: {
          title: ([item]) => titleOf(buckets[item?.dataIndex ?? 0] ?? 0, bucket),
          label: ({ datasetIndex, dataIndex }) => {
            const stack = stacks[datasetIndex];
            return `${shorten(stack?.name ?? "")}  ${measure.show(stack?.values[dataIndex] ?? 0n)}`;
          },
          footer: (items) => `Total  ${measure.show(totalAt(items[0]?.dataIndex ?? 0))}`,
        },
      },
    },
  };
}

/**
 * @param {Stack} stack
 * @param {Measure} measure
 * @param {boolean} dark
 */
function legendItem(stack, measure, dark) {
  return element(
    "li",
    {},
    swatch(stack.slot, dark),
    element("span", { class: "legend-name", title: stack.name }, stack.name),
    element("span", { class: "legend-value" }, measure.brief(stack.total)),
  );
}

/**
 * A square in the entity's colour; its name stands beside it. An attribute, as the page's policy forbids style attributes.
 * @param {number | undefined} slot  Undefined: the others
 * @param {boolean} [dark]
 */
export function swatch(slot, dark = DARK_MODE.matches) {
  const made = element("span", { class: "swatch", "aria-hidden": "true", "data-slot": slot ?? "others" });
  made.style.setProperty("--swatch", colorOf(slot, dark));
  return made;
}

/** @param {{ buckets: number[], stacks: Stack[], measure: Measure, bucket: "hour" | "day" }} shown */
function describe({ buckets, stacks, measure, bucket }) {
  const total = stacks.reduce((sum, stack) => sum + stack.total, 0n);
  const parts = stacks.map((stack) => `${stack.name} ${measure.brief(stack.total)}`);
  return `${measure.title} by ${bucket} over ${buckets.length} ${bucket}s, ${measure.brief(total)} in all: ${parts.join(", ") || "nothing"}`;
}

/**
 * @param {number} at
 * @param {"hour" | "day"} bucket
 * @param {number} buckets
 */
function labelOf(at, bucket, buckets) {
  if (bucket === "day") return format.day(at);
  return buckets > 24 ? `${format.day(at)}, ${format.hour(at)}` : format.hour(at);
}

/**
 * @param {number} at
 * @param {"hour" | "day"} bucket
 */
function titleOf(at, bucket) {
  return bucket === "day" ? `${format.longDay(at)} (UTC)` : `${format.day(at)}, ${format.hour(at)} (UTC)`;
}

/** @param {string} name */
function shorten(name) {
  return name.length > 40 ? `${name.slice(0, 39)}…` : name;
}
