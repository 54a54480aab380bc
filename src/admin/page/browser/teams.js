/**
 * Teams and the limits that all keys of one share.
 */
import { api } from "./api.js";
import { card } from "./card.js";
import { askForm } from "./dialog.js";
import { element } from "./dom.js";
import { field, watchChanges } from "./fields.js";
import * as format from "./format.js";
import { limitFields, showBudget, showRates } from "./limits.js";
import { createTable } from "./table.js";

/** @typedef {import("./shapes.js").Team} Team */

const FIRST_ROWS = 50;

/**
 * @param {import("./view.js").ViewContext} context
 * @returns {import("./view.js").View}
 */
export function createTeams({ refresh, announce }) {
  const table = createTable({
    caption: "Teams",
    limit: FIRST_ROWS,
    sorted: { title: "Team", descending: false },
    key: (/** @type {Team} */ team) => team.name,
    act: (action, team) => (action === "edit" ? editTeam(team) : removeLimits(team)),
    empty: () =>
      "No teams yet. A team exists once a key names it: set a key's team under Keys, or give a new team limits here.",
    columns: [
      { title: "Team", sort: (team) => team.name.toLowerCase(), cell: nameCell },
      { title: "Keys", sort: (team) => team.keys, numeric: true, cell: (team) => format.count(team.keys) },
      { title: "Limits", cell: showRates },
      { title: "Budget", sort: (team) => team.budget_usd, numeric: true, cell: showBudget },
      { title: "Actions", hiddenTitle: true, cell: actionsCell },
    ],
  });

  /** @param {string} message */
  async function done(message) {
    announce(message);
    await refresh();
  }

  function newTeam() {
    const name = field({
      name: "name",
      label: "Team",
      kind: "text",
      required: true,
      hint: "As its keys name it.",
      wide: true,
    });
    const fields = limitFields();
    const given = watchChanges(fields);
    askForm({
      title: "Limits for a team",
      fields: [name, ...fields],
      action: "Set the limits",
      async submit() {
        await api.setTeam(String(name.read()), given());
        await done(`Set the limits of ${name.read()}.`);
      },
    });
  }

  /** @param {Team} team */
  function editTeam(team) {
    const fields = [
      ...limitFields(team),
      field({ name: "note", label: "Note", kind: "text", value: team.note ?? "", wide: true }),
    ];
    const changes = watchChanges(fields);
    askForm({
      title: `Limits of ${team.name}`,
      text: "All keys of the team share them.",
      fields,
      action: "Save",
      async submit() {
        const changed = changes();
        if (Object.keys(changed).length === 0) return;
        await api.setTeam(team.name, changed);
        await done(`Changed the limits of ${team.name}.`);
      },
    });
  }

  /** @param {Team} team */
  function removeLimits(team) {
    askForm({
      title: `Remove the limits of ${team.name}?`,
      text: "Its keys stay and keep their own limits.",
      action: "Remove the limits",
      danger: true,
      async submit() {
        await api.removeTeam(team.name);
        await done(`Removed the limits of ${team.name}.`);
      },
    });
  }

  return {
    element: element(
      "div",
      { class: "view" },
      card("Teams", {
        controls: [element("button", { type: "button", class: "primary", click: newTeam }, "Limits for a team")],
        content: [table.element],
      }),
    ),
    ranged: false,
    async load(wanted) {
      const teams = await api.teams();
      if (wanted()) table.update(teams);
    },
  };
}

/** @param {Team} team */
function nameCell({ name, note }) {
  return element(
    "span",
    { class: "stacked" },
    element("span", { class: "clip", title: name }, name),
    note !== null && element("small", { class: "clip", title: note }, note),
  );
}

/** @param {Team} team */
function actionsCell(team) {
  const { name, created_at: limited } = team;
  return element(
    "span",
    { class: "actions" },
    element("button", { type: "button", "data-action": "edit", "aria-label": `Edit limits of ${name}` }, "Edit limits"),
    limited !== null &&
      element(
        "button",
        { type: "button", "data-action": "remove", "aria-label": `Remove limits of ${name}` },
        "Remove limits",
      ),
  );
}
