/**
 * The numbers of the whole range, each in a tile: spend, requests, tokens, errors, time to the first token.
 */
import { element, setText } from "./dom.js";
import { cacheShareOf, errorRateOf, promptTokensOf, tokensOf } from "./entities.js";
import * as format from "./format.js";
import { exactUsd, showUsd } from "./money.js";

/** @typedef {import("./shapes.js").Totals} Totals */
/** @typedef {import("./shapes.js").ModelLatency} ModelLatency */
/** @typedef {{ value: string, detail: string, exact?: string }} Tile */

/** @type {readonly [title: string, show: (total: Totals, latency: readonly ModelLatency[]) => Tile][]} */
const TILES = [
  ["Spend", spend],
  ["Requests", requests],
  ["Tokens", tokens],
  ["Errors", errors],
  ["Time to first token, p95", firstToken],
];

export function createTiles() {
  const tiles = TILES.map(([title, show]) => {
    const value = element("dd", { class: "tile-value" }, "–");
    const detail = element("dd", { class: "tile-detail" });
    return { show, value, detail, element: element("div", { class: "tile" }, element("dt", {}, title), value, detail) };
  });
  return {
    element: element("dl", { class: "tiles" }, ...tiles.map((tile) => tile.element)),
    /**
     * @param {Totals} total
     * @param {readonly ModelLatency[]} latency
     */
    update(total, latency) {
      for (const tile of tiles) {
        const { value, detail, exact } = tile.show(total, latency);
        setText(tile.value, value);
        setText(tile.detail, detail);
        tile.detail.title = detail;
        if (exact === undefined) tile.value.removeAttribute("title");
        else tile.value.setAttribute("title", exact);
      }
    },
  };
}

/**
 * @param {Totals} total
 * @returns {Tile}
 */
function spend({ cost_usd: cost, unpriced_requests: unpriced, requests: all }) {
  const missing = unpriced === 0 ? "" : `without ${format.counted(unpriced, "unpriced call")}`;
  if (cost !== null) return { value: showUsd(cost), detail: missing || "every call priced", exact: exactUsd(cost) };
  return all === 0
    ? { value: "$0.00", detail: "no calls" }
    : { value: "unpriced", detail: missing || "no tokens used" };
}

/**
 * @param {Totals} total
 * @returns {Tile}
 */
function requests({ requests: all, estimated_requests: estimated }) {
  const detail = estimated === 0 ? "usage as Bedrock counted" : `${format.count(estimated)} with estimated usage`;
  return { value: format.count(all), detail: all === 0 ? "no calls" : detail };
}

/**
 * @param {Totals} total
 * @returns {Tile}
 */
function tokens(total) {
  const { output_tokens: output } = total;
  const prompt = promptTokensOf(total);
  return {
    value: format.magnitude(tokensOf(total)),
    detail:
      prompt === 0
        ? "no prompts"
        : `${format.magnitude(output)} out, ${format.percent(cacheShareOf(total))} of input cached`,
    exact: format.count(tokensOf(total)),
  };
}

/**
 * @param {Totals} total
 * @returns {Tile}
 */
function errors(total) {
  const failed = format.counted(total.errors, "error");
  const cut = `${format.count(total.interrupted)} interrupted`;
  return { value: format.percent(errorRateOf(total)), detail: `${failed}, ${cut}` };
}

/**
 * There is no p95 of all models together; the slowest model's is what somebody waits for.
 * @param {Totals} _total
 * @param {readonly ModelLatency[]} latency
 * @returns {Tile}
 */
function firstToken(_total, latency) {
  const [slowest] = latency
    .flatMap(({ model, first_token_p95_ms: p95 }) => (p95 === null ? [] : [{ model, p95 }]))
    .toSorted((a, b) => b.p95 - a.p95);
  if (slowest === undefined) return { value: "–", detail: "no streams" };
  return { value: format.duration(slowest.p95), detail: `slowest: ${slowest.model}` };
}
