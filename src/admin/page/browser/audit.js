/**
 * Who changed what: keys, teams, limits.
 */
import { api } from "./api.js";
import { card } from "./card.js";
import { element } from "./dom.js";
import * as format from "./format.js";
import { createTable } from "./table.js";

/** @typedef {import("./shapes.js").AuditEntry} AuditEntry */

const NEWEST = "200";
const FIRST_ROWS = 50;
/** @type {Readonly<Record<string, string>>} */
const WORDS = {
  "key.create": "made the key",
  "key.update": "changed the key",
  "key.block": "blocked the key",
  "key.unblock": "unblocked the key",
  "key.revoke": "revoked the key",
  "key.rotate": "rotated the key",
  "team.set": "set the team's limits",
  "team.remove": "removed the team's limits",
};

/** They say no more than the action and its time. */
const UNTOLD = new Set(["blocked_at", "revoked_at", "created_at"]);
/** @type {Readonly<Record<string, string>>} */
const LABELS = {
  rpm: "requests per minute",
  tpm: "tokens per minute",
  parallel: "requests at once",
  budget_usd: "budget",
  soft_budget_usd: "soft budget",
};

/** @returns {import("./view.js").View} */
export function createAudit() {
  /** @type {ReadonlyMap<string, string>} */
  let names = new Map();
  const table = createTable({
    caption: "Changes of keys and teams",
    limit: FIRST_ROWS,
    key: (/** @type {AuditEntry} */ entry) => entry.id,
    empty: () => "Nothing was changed yet. Whatever is made, changed or revoked is listed here with who did it.",
    columns: [
      {
        title: "Time",
        cell: (entry) =>
          element("time", { datetime: new Date(entry.at).toISOString() }, format.moment(entry.at, Date.now())),
      },
      { title: "Who", cell: (entry) => entry.by },
      { title: "What", cell: (entry) => WORDS[entry.action] ?? entry.action },
      {
        title: "Key or team",
        cell: (entry) =>
          element("span", { class: "clip", title: entry.subject }, names.get(entry.subject) ?? entry.subject),
      },
      { title: "Changes", cell: changesCell },
    ],
  });
  return {
    element: element("div", { class: "view" }, card("Audit", { content: [table.element] })),
    ranged: false,
    async load(wanted) {
      const [entries, keys] = await Promise.all([api.audit({ limit: NEWEST }), api.keys()]);
      if (!wanted()) return;
      names = new Map(keys.map((key) => [key.id, key.name]));
      table.update(entries);
    },
  };
}

/** @param {AuditEntry} entry */
function changesCell({ changes }) {
  const told = changes.filter(([name, { from, to }]) => !UNTOLD.has(name) && show(name, from) !== show(name, to));
  if (told.length === 0) return "–";
  return element(
    "ul",
    { class: "changes" },
    ...told.map(([name, { from, to }]) =>
      element(
        "li",
        {},
        element("span", { class: "change-name" }, LABELS[name] ?? name.replaceAll("_", " ")),
        ` ${show(name, from)} → ${show(name, to)}`,
      ),
    ),
  );
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {string}
 */
function show(name, value) {
  if (value === null || value === undefined || value === "") return "none";
  if (Array.isArray(value)) return value.map(String).join(", ") || "none";
  if (typeof value === "object") return JSON.stringify(value);
  return name.endsWith("_usd") ? `$${value}` : typeof value === "number" ? format.count(value) : String(value);
}
