/**
 * A table that is sorted by its headings and refreshed in place: rows that say the same stay the same elements, so that
 * nothing flickers, and what had the focus keeps it.
 */
import { element, fill, setText } from "./dom.js";

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} title
 * @property {(row: Row) => import("./dom.js").Child} cell
 * @property {(row: Row) => string | number | bigint | null} [sort]  Null comes last. Without it the column is not sortable.
 * @property {boolean} [numeric]  Right-aligned, largest first
 * @property {boolean} [hiddenTitle]  For screen readers alone
 */

/**
 * @template Row
 * @typedef {object} TableOptions
 * @property {string} caption  What the table is, for screen readers
 * @property {readonly Column<Row>[]} columns  The first one names the row.
 * @property {(row: Row) => string} key
 * @property {() => import("./dom.js").Child} empty  Instead of rows
 * @property {{ title: string, descending: boolean }} [sorted]  At first; without it rows stay in the order given.
 * @property {number} [limit]  Rows shown until somebody asks for all
 * @property {(action: string, row: Row) => void} [act]  A button with `data-action` was used
 */

/**
 * @template Row
 * @param {TableOptions<Row>} options
 */
export function createTable({ caption, columns, key, empty, sorted, limit = Number.POSITIVE_INFINITY, act }) {
  let order = sorted;
  let all = false;
  /** @type {readonly Row[]} */
  let rows = [];

  const headings = columns.map((column) => createHeading(column, () => sortBy(column)));
  const body = element("tbody", { click: clicked });
  const table = element(
    "table",
    {},
    element("caption", { class: "unseen" }, caption),
    element("thead", {}, element("tr", {}, ...headings)),
    body,
  );
  const nothing = element("div", { class: "empty", hidden: true });
  const more = element("button", { type: "button", class: "more", hidden: true, click: showAll });
  // Wider than the screen, it scrolls by itself and not the page; from the keyboard too.
  const scroller = element("div", { class: "scroller", role: "region", "aria-label": caption, tabindex: 0 }, table);
  const root = element("div", { class: "table" }, scroller, nothing, more);

  /** @param {Column<Row>} column */
  function sortBy(column) {
    const again = order?.title === column.title;
    order = { title: column.title, descending: again ? !order?.descending : column.numeric === true };
    render();
  }

  function showAll() {
    all = !all;
    render();
  }

  /** @param {Event} event */
  function clicked(event) {
    const button = event.target instanceof Element ? event.target.closest("button[data-action]") : null;
    const id = button?.closest("tr")?.getAttribute("data-key");
    const row = rows.find((one) => key(one) === id);
    if (button && row !== undefined) act?.(button.getAttribute("data-action") ?? "", row);
  }

  function render() {
    const column = columns.find(({ title }) => title === order?.title);
    const inOrder = column?.sort === undefined ? rows : sortRows(rows, column.sort, order?.descending === true);
    const shown = all ? inOrder : inOrder.slice(0, limit);
    replaceRows(
      body,
      shown.map((row) => createRow(row, columns, key(row))),
    );
    headings.forEach((heading, index) => {
      const own = columns[index]?.title === order?.title && columns[index]?.sort !== undefined;
      if (own) heading.setAttribute("aria-sort", order?.descending ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    });
    scroller.hidden = rows.length === 0;
    nothing.hidden = rows.length > 0;
    if (rows.length === 0) fill(nothing, empty());
    more.hidden = rows.length <= limit;
    setText(more, all ? `Show the first ${limit}` : `Show all ${rows.length}`);
  }

  return {
    element: root,
    /** @param {readonly Row[]} newRows */
    update(newRows) {
      rows = newRows;
      render();
    },
  };
}

/**
 * @template Row
 * @param {Column<Row>} column
 * @param {() => void} sort
 */
function createHeading(column, sort) {
  const content =
    column.sort === undefined
      ? element("span", { class: column.hiddenTitle ? "unseen" : undefined }, column.title)
      : element("button", { type: "button", class: "sort", click: sort }, column.title);
  return element("th", { scope: "col", class: column.numeric ? "number" : undefined }, content);
}

/**
 * @template Row
 * @param {Row} row
 * @param {readonly Column<Row>[]} columns
 * @param {string} key
 */
function createRow(row, columns, key) {
  const cells = columns.map((column, index) => {
    const attributes = { class: column.numeric ? "number" : undefined };
    if (index === 0) return element("th", { scope: "row", ...attributes }, column.cell(row));
    return element("td", attributes, column.cell(row));
  });
  return element("tr", { "data-key": key }, ...cells);
}

/**
 * @param {HTMLTableSectionElement} body
 * @param {readonly HTMLTableRowElement[]} wanted
 */
function replaceRows(body, wanted) {
  const before = new Map([...body.rows].map((row) => [row.getAttribute("data-key"), row]));
  const focus = focusWithin(body);
  const kept = wanted.map((row) => {
    const old = before.get(row.getAttribute("data-key"));
    return old?.isEqualNode(row) ? old : row;
  });
  if (kept.length !== body.rows.length || kept.some((row, index) => row !== body.rows[index]))
    body.replaceChildren(...kept);
  focus(kept);
}

/**
 * What gives the focus back to the same button of the same row.
 * @param {HTMLElement} body
 * @returns {(rows: readonly HTMLElement[]) => void}
 */
function focusWithin(body) {
  const active = document.activeElement;
  if (!(active instanceof HTMLElement) || !body.contains(active)) return () => {};
  const key = active.closest("tr")?.getAttribute("data-key");
  const action = active.getAttribute("data-action");
  return (rows) => {
    if (active.isConnected && document.activeElement === active) return;
    const row = rows.find((one) => one.getAttribute("data-key") === key);
    const buttons = row === undefined ? [] : [...row.querySelectorAll("button")];
    buttons.find((button) => button.getAttribute("data-action") === action)?.focus();
  };
}

/**
 * @template Row
 * @param {readonly Row[]} rows
 * @param {(row: Row) => string | number | bigint | null} value
 * @param {boolean} descending
 */
function sortRows(rows, value, descending) {
  return rows.toSorted((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1;
    const upward = typeof x === "string" && typeof y === "string" ? x.localeCompare(y) : x < y ? -1 : x > y ? 1 : 0;
    return descending ? -upward : upward;
  });
}
