/**
 * Chooses the range of time, and keeps it in the page's address, so that a link shows what its sender saw.
 */
import { element } from "./dom.js";
import { isoDay, PRESETS, presetOf, rangeOf, showRange } from "./range.js";

const DAY = 86_400_000;

/** @typedef {import("./range.js").RangeChoice} RangeChoice */

/**
 * @param {object} options
 * @param {RangeChoice} options.initial
 * @param {(choice: RangeChoice) => void} options.choose
 */
export function createRangePicker({ initial, choose }) {
  let choice = initial;
  const preset = element(
    "select",
    { "aria-label": "Range", change: changed },
    ...PRESETS.map(([name, title]) => element("option", { value: name, selected: name === initial.preset }, title)),
  );
  const first = element("input", { type: "date", "aria-label": "First day (UTC)", change: changed });
  const last = element("input", { type: "date", "aria-label": "Last day (UTC)", change: changed });
  first.value = initial.first ?? isoDay(Date.now() - 6 * DAY);
  last.value = initial.last ?? isoDay(Date.now());
  const days = element("span", { class: "days", hidden: initial.preset !== "custom" }, first, "–", last);
  const shown = element("span", { class: "range-text" });

  function changed() {
    const name = presetOf(preset.value) ?? "30d";
    days.hidden = name !== "custom";
    shown.hidden = name === "custom";
    choice = name === "custom" ? { preset: name, first: first.value, last: last.value } : { preset: name };
    choose(choice);
  }

  return {
    element: element("div", { class: "range" }, preset, days, shown),
    choice: () => choice,
    /** The span as it is now: the last 24 hours move on. */
    range() {
      const range = rangeOf(choice, Date.now());
      shown.textContent = showRange(range);
      shown.hidden = choice.preset === "custom";
      return range;
    },
  };
}
