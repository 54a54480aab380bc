/**
 * The newest calls, with how each ended. What the numbers are not, priced or counted by Bedrock, is said in words.
 */
import { api } from "./api.js";
import { card } from "./card.js";
import { element } from "./dom.js";
import * as format from "./format.js";
import { exactUsd, showUsd } from "./money.js";
import { createTable } from "./table.js";

/** @typedef {import("./shapes.js").Call} Call */

const NEWEST = "200";
const FIRST_ROWS = 50;
const STATUSES = /** @type {const} */ ([
  ["", "All calls"],
  ["ok", "Answered"],
  ["error", "Errors"],
  ["interrupted", "Interrupted"],
  ["open", "In flight"],
]);
/** @type {Readonly<Record<string, string>>} */
const WORDS = { ok: "ok", error: "error", interrupted: "interrupted", open: "in flight" };

/**
 * @param {import("./view.js").ViewContext} context
 * @returns {import("./view.js").View}
 */
export function createCalls({ range, refresh }) {
  const status = element(
    "select",
    { "aria-label": "Which calls", change: refresh },
    ...STATUSES.map(([name, title]) => element("option", { value: name }, title)),
  );
  const table = createTable({
    caption: "Recent calls",
    limit: FIRST_ROWS,
    key: (/** @type {Call} */ call) => call.id,
    empty: () =>
      status.value === ""
        ? "No calls in this range. Send one with a key: it shows up here while it runs."
        : "No such calls in this range.",
    columns: [
      {
        title: "Time",
        cell: (call) =>
          element(
            "time",
            { datetime: new Date(call.started_at).toISOString(), title: call.id },
            format.moment(call.started_at, Date.now()),
          ),
      },
      { title: "Status", cell: statusCell },
      { title: "Model", cell: (call) => clip(call.model, modelTitle(call)) },
      { title: "Key", cell: (call) => clip(call.key_name ?? call.key_id, call.key_id) },
      { title: "Tokens in", numeric: true, cell: (call) => tokens(call, promptTokens(call)) },
      { title: "Tokens out", numeric: true, cell: (call) => tokens(call, call.output_tokens) },
      { title: "Cost", numeric: true, cell: costCell },
      { title: "First token", numeric: true, cell: (call) => format.duration(call.first_token_ms) },
      { title: "Duration", numeric: true, cell: (call) => format.duration(call.duration_ms) },
    ],
  });

  return {
    element: element("div", { class: "view" }, card("Recent calls", { controls: [status], content: [table.element] })),
    ranged: true,
    async load(wanted) {
      const { from, to } = range();
      const calls = await api.calls({
        limit: NEWEST,
        from: new Date(from).toISOString(),
        to: new Date(to).toISOString(),
        status: status.value === "" ? undefined : status.value,
      });
      if (wanted()) table.update(calls);
    },
  };
}

/** @param {Call} call */
function statusCell({ status, http_status: http, error_code: code, call_id: first, estimated }) {
  const words = WORDS[status] ?? status;
  const notes = [code, first !== null && "further attempt", estimated && "estimated usage"].filter((note) => note);
  return element(
    "span",
    { class: "stacked" },
    element("span", { class: `badge ${status}` }, http === null || http === 0 ? words : `${http} ${words}`),
    notes.length > 0 && element("small", {}, notes.join(", ")),
  );
}

/** @param {Call} call */
function costCell(call) {
  if (call.cost_usd !== null) return element("span", { title: exactUsd(call.cost_usd) }, showUsd(call.cost_usd));
  return promptTokens(call) + call.output_tokens > 0 ? element("small", {}, "unpriced") : "–";
}

/** @param {Call} call */
function promptTokens({ input_tokens: input, cache_read_tokens: read, cache_write_tokens: write }) {
  return input + read + write;
}

/**
 * @param {Call} call
 * @param {number} value
 */
function tokens({ status }, value) {
  return status === "open" ? "–" : format.count(value);
}

/** @param {Call} call */
function modelTitle({ model: invoked, model_requested: requested, region }) {
  return `${invoked} in ${region}${requested === invoked ? "" : `, asked for as ${requested}`}`;
}

/**
 * @param {string} text
 * @param {string} title
 */
function clip(text, title) {
  return element("span", { class: "clip", title }, text);
}
