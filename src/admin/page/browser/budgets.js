/**
 * How full each budget is: spent, held by calls in flight, and the marks of the soft and the hard limit. In words beside
 * the bar, as the bar alone says it only to the eye.
 */
import { element, fill, setShare } from "./dom.js";
import * as format from "./format.js";
import { exactUsd, shareOf, showUsd } from "./money.js";

/** @typedef {import("./shapes.js").Budget} Budget */

const FIRST = 6;

export function createBudgets() {
  const items = element("ul", { class: "budgets" });
  const more = element("button", { type: "button", class: "more", hidden: true, click: toggle });
  let all = false;
  /** @type {readonly Budget[]} */
  let budgets = [];

  function toggle() {
    all = !all;
    render();
  }

  function render() {
    const fullest = budgets.toSorted((a, b) => fullnessOf(b) - fullnessOf(a));
    const shown = (all ? fullest : fullest.slice(0, FIRST)).map(budgetItem);
    if (shown.length === 0) shown.push(element("li", { class: "empty" }, NONE_YET));
    const same =
      shown.length === items.children.length && shown.every((item, i) => item.isEqualNode(items.children[i] ?? null));
    if (!same) fill(items, ...shown);
    more.hidden = budgets.length <= FIRST;
    more.textContent = all ? "Show the fullest" : `Show all ${budgets.length}`;
  }

  return {
    element: element("div", {}, items, more),
    /** @param {readonly Budget[]} newBudgets */
    update(newBudgets) {
      budgets = newBudgets;
      render();
    },
  };
}

const NONE_YET = "No budgets yet. Give a key or a team one under Keys or Teams: calls are refused once it is spent.";

/** @param {Budget} budget */
function budgetItem(budget) {
  const { kind, name, period, spent_usd: spent, reserved_usd: reserved, resets_at: resets } = budget;
  const limit = limitOf(budget);
  const state = stateOf(budget);
  return element(
    "li",
    { class: `budget ${state.level}` },
    element(
      "div",
      { class: "budget-head" },
      element("span", { class: "budget-name", title: name }, name),
      element("span", { class: "budget-kind" }, `${kind}, ${period === "total" ? "in all" : `per ${period}`}`),
      element("span", { class: "budget-state" }, state.words),
    ),
    bar(budget, limit),
    element(
      "div",
      { class: "budget-foot" },
      element("span", { title: `${exactUsd(spent)} spent` }, `${showUsd(spent)} of ${showUsd(limit)}`),
      reserved > 0n && element("span", { title: exactUsd(reserved) }, `+ ${showUsd(reserved)} in flight`),
      resets !== null && element("span", { class: "budget-reset" }, `resets ${format.day(resets)}`),
    ),
  );
}

/**
 * @param {Budget} budget
 * @param {bigint} limit
 */
function bar(budget, limit) {
  const { spent_usd: spent, reserved_usd: reserved, soft_budget_usd: soft, budget_usd: hard } = budget;
  const track = element("div", { class: "meter", "aria-hidden": "true" });
  setShare(track, "--spent", shareOf(spent, limit));
  setShare(track, "--held-share", shareOf(spent + reserved, limit));
  track.append(element("span", { class: "meter-held" }), element("span", { class: "meter-spent" }));
  if (soft !== null && hard !== null && soft < hard) {
    const mark = element("span", { class: "meter-soft", title: `Warns from ${showUsd(soft)}` });
    track.append(setShare(mark, "--at", shareOf(soft, limit)));
  }
  return track;
}

/**
 * @param {Budget} budget
 * @returns {{ level: "fine" | "warned" | "spent", words: string }}
 */
function stateOf(budget) {
  const { budget_usd: hard, soft_budget_usd: soft, spent_usd: spent, reserved_usd: reserved } = budget;
  const share = format.percent(fullnessOf(budget));
  if (hard !== null && spent >= hard) return { level: "spent", words: `${share}, calls are refused` };
  if (hard !== null && spent + reserved >= hard)
    return { level: "spent", words: `${share}, the rest in flight, calls are refused` };
  if (soft !== null && spent >= soft) return { level: "warned", words: `${share}, above the soft limit` };
  return { level: "fine", words: share };
}

/**
 * What the bar is full at.
 * @param {Budget} budget
 */
function limitOf({ budget_usd: hard, soft_budget_usd: soft }) {
  return hard ?? soft ?? 0n;
}

/** @param {Budget} budget */
function fullnessOf(budget) {
  return limitOf(budget) === 0n ? 1 : shareOf(budget.spent_usd, limitOf(budget));
}
