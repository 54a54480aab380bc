/**
 * All keys: who has them, what they may use, and what can be done with them.
 */
import { api } from "./api.js";
import { card } from "./card.js";
import { element } from "./dom.js";
import * as format from "./format.js";
import { blockKey, editKey, makeKey, revokeKey, rotateKey, unblockKey } from "./key-dialogs.js";
import { showBudget, showRates } from "./limits.js";
import { createTable } from "./table.js";

/** @typedef {import("./shapes.js").Key} Key */

const FIRST_ROWS = 50;

/**
 * @param {import("./view.js").ViewContext} context
 * @returns {import("./view.js").View}
 */
export function createKeys({ refresh, announce, attempt }) {
  /** @type {readonly Key[]} */
  let keys = [];
  const search = element("input", {
    type: "search",
    placeholder: "Find a key",
    "aria-label": "Find a key",
    input: render,
  });
  const revoked = element("input", { type: "checkbox", change: render });

  /** @type {Readonly<Record<string, (key: Key) => void>>} */
  const actions = {
    edit: (key) => editKey(key, done),
    rotate: (key) => rotateKey(key, done),
    block: (key) => blockKey(key, done),
    unblock: (key) => void attempt(() => unblockKey(key, done)),
    revoke: (key) => revokeKey(key, done),
  };

  const table = createTable({
    caption: "Keys",
    limit: FIRST_ROWS,
    sorted: { title: "Name", descending: false },
    key: (/** @type {Key} */ key) => key.id,
    act: (action, key) => actions[action]?.(key),
    empty: () =>
      keys.length === 0
        ? "No keys yet. Make one with “New key”: its secret goes into a client as its API key."
        : "No key is like that.",
    columns: [
      { title: "Name", sort: (key) => key.name.toLowerCase(), cell: nameCell },
      { title: "Team", sort: (key) => key.team?.toLowerCase() ?? null, cell: teamCell },
      {
        title: "Status",
        sort: (key) => key.status,
        cell: (key) => element("span", { class: `badge ${key.status}` }, key.status),
      },
      { title: "Limits", cell: showRates },
      { title: "Budget", sort: (key) => key.budget_usd, numeric: true, cell: showBudget },
      { title: "Models", cell: modelsCell },
      { title: "Last used", sort: (key) => key.last_used_at, numeric: true, cell: lastUsedCell },
      { title: "Actions", hiddenTitle: true, cell: actionsCell },
    ],
  });

  /** @param {string} message */
  async function done(message) {
    announce(message);
    await refresh();
  }

  function render() {
    const wanted = search.value.trim().toLowerCase();
    table.update(
      keys.filter(
        (key) => (revoked.checked || key.status !== "revoked") && (wanted === "" || textOf(key).includes(wanted)),
      ),
    );
  }

  return {
    element: element(
      "div",
      { class: "view" },
      card("Keys", {
        controls: [
          search,
          element("label", { class: "check" }, revoked, "Show revoked"),
          element("button", { type: "button", class: "primary", click: () => makeKey(done) }, "New key"),
        ],
        content: [table.element],
      }),
    ),
    ranged: false,
    async load(wanted) {
      const loaded = await api.keys();
      if (!wanted()) return;
      keys = loaded;
      render();
    },
  };
}

/** @param {Key} key */
function textOf({ id, name, owner, team, tags, prefix, note }) {
  return [id, name, owner, team, ...tags, prefix, note].join("\n").toLowerCase();
}

/** @param {Key} key */
function nameCell({ id, name, prefix, tags, note }) {
  return element(
    "span",
    { class: "stacked" },
    element("span", { class: "clip", title: note === null ? id : `${id}: ${note}` }, name),
    element("small", { class: "clip" }, [`${prefix}…`, ...tags].join(", ")),
  );
}

/** @param {Key} key */
function teamCell({ team, owner }) {
  return element(
    "span",
    { class: "stacked" },
    element("span", { class: "clip", title: team ?? undefined }, team ?? "–"),
    owner !== null && element("small", { class: "clip", title: owner }, owner),
  );
}

/** @param {Key} key */
function modelsCell({ models }) {
  return element("span", { class: "clip", title: models.join("\n") || undefined }, models.join(", ") || "all");
}

/** @param {Key} key */
function lastUsedCell({ last_used_at: used, expires_at: expires }) {
  return element(
    "span",
    { class: "stacked" },
    element("span", {}, used === null ? "never" : format.moment(used, Date.now())),
    expires !== null && element("small", {}, `last day ${format.longDay(expires - 1)}`),
  );
}

/** @param {Key} key */
function actionsCell({ status, name }) {
  if (status === "revoked") return "";
  const names = ["edit", "rotate", status === "blocked" ? "unblock" : "block", "revoke"];
  return element(
    "span",
    { class: "actions" },
    ...names.map((action) =>
      element(
        "button",
        { type: "button", "data-action": action, "aria-label": `${title(action)} ${name}` },
        title(action),
      ),
    ),
  );
}

/** @param {string} action */
function title(action) {
  return `${action.charAt(0).toUpperCase()}${action.slice(1)}`;
}
