/**
 * The page's begin: signs in, shows the view that the address names, and refreshes it every 30 seconds while somebody
 * can see it. What is shown stays until there is something newer, also when the gateway doesn't answer.
 */
import { ApiError, api } from "./api.js";
import { createAudit } from "./audit.js";
import { createCalls } from "./calls.js";
import { closeDialogs } from "./dialog.js";
import { element, fill, setText } from "./dom.js";
import * as format from "./format.js";
import { createKeys } from "./keys.js";
import { createOverview } from "./overview.js";
import { presetOf } from "./range.js";
import { createRangePicker } from "./range-picker.js";
import { createSignIn, signedIn } from "./sign-in.js";
import { createTeams } from "./teams.js";

/** @typedef {import("./view.js").View} View */

const REFRESH_MS = 30_000;
const TICK_MS = 1_000;
const ANNOUNCED_MS = 8_000;

const VIEWS = /** @type {const} */ ([
  ["overview", "Overview", createOverview],
  ["calls", "Calls", createCalls],
  ["keys", "Keys", createKeys],
  ["teams", "Teams", createTeams],
  ["audit", "Audit", createAudit],
]);

const root = document.getElementById("root") ?? document.body;

if (signedIn.get()) showPage();
else showSignIn();

/** @param {string} [message] */
function showSignIn(message) {
  const form = createSignIn({ ...(message !== undefined && { message }), entered: showPage });
  fill(root, form.element);
  form.focus();
}

function showPage() {
  /** @type {Map<string, View>} */
  const views = new Map();
  let current = "";
  /** Of the newest refresh. */
  let turn = 0;
  let loadedAt = 0;
  let triedAt = 0;
  const gone = new AbortController();

  const parameters = new URLSearchParams(location.hash.split("?")[1] ?? "");
  const picker = createRangePicker({
    initial: {
      preset: presetOf(parameters.get("range")) ?? "30d",
      ...(parameters.has("first") && { first: parameters.get("first") ?? "" }),
      ...(parameters.has("last") && { last: parameters.get("last") ?? "" }),
    },
    choose: () => {
      writeAddress();
      void refresh();
    },
  });
  const tabs = VIEWS.map(([name, title]) => element("a", { href: `#${name}`, "data-view": name }, title));
  const updated = element("span", { class: "updated" });
  const problem = element("div", { class: "problem", role: "alert", hidden: true });
  const announcement = element("div", { class: "announcement", role: "status" });
  const place = element("main", { id: "view", tabindex: -1 });

  const context = {
    range: () => picker.range(),
    refresh,
    attempt,
    /** @param {string} message */
    announce(message) {
      setText(announcement, message);
      setTimeout(() => announcement.textContent === message && setText(announcement, ""), ANNOUNCED_MS);
    },
  };

  function writeAddress() {
    const { preset, first, last } = picker.choice();
    const query = new URLSearchParams({ range: preset, ...(first && { first }), ...(last && { last }) });
    history.replaceState(null, "", `#${current}?${query}`);
  }

  function showView() {
    const wanted = location.hash.slice(1).split("?")[0] ?? "";
    const [name, title, create] = VIEWS.find(([one]) => one === wanted) ?? VIEWS[0];
    if (name === current) return;
    current = name;
    const view = views.get(name) ?? create(context);
    views.set(name, view);
    for (const tab of tabs) {
      if (tab.dataset.view === name) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    document.title = `${title} – Bedrock Gateway`;
    picker.element.hidden = !view.ranged;
    fill(place, view.element);
    writeAddress();
    void refresh();
  }

  /** Does not wait for a refresh that is under way: what that one finds is out of date, and is left out. */
  async function refresh() {
    turn += 1;
    const own = turn;
    const wanted = () => own === turn && !gone.signal.aborted;
    triedAt = Date.now();
    place.setAttribute("aria-busy", "true");
    try {
      await views.get(current)?.load(wanted);
      if (wanted()) succeeded();
    } catch (error) {
      if (wanted()) failed(error);
    }
    if (wanted()) place.removeAttribute("aria-busy");
  }

  function succeeded() {
    loadedAt = Date.now();
    problem.hidden = true;
    setText(updated, `Updated ${format.clock(loadedAt)} UTC`);
  }

  /** @param {() => Promise<void>} work */
  async function attempt(work) {
    try {
      await work();
    } catch (error) {
      if (!gone.signal.aborted) failed(error);
    }
  }

  /** @param {unknown} error */
  function failed(error) {
    if (error instanceof ApiError && error.signedOut) leave("Your session has ended: sign in again.");
    else showProblem(error);
  }

  /** @param {unknown} error */
  function showProblem(error) {
    const words = error instanceof Error ? error.message : String(error);
    const since = loadedAt === 0 ? "" : ` What you see is from ${format.clock(loadedAt)} UTC.`;
    problem.hidden = false;
    fill(
      problem,
      element("span", {}, `${words}${since}`),
      element("button", { type: "button", click: () => void refresh() }, "Try again"),
    );
  }

  /** @param {string} [message] */
  function leave(message) {
    gone.abort();
    clearInterval(timer);
    closeDialogs();
    signedIn.set(false);
    showSignIn(message);
  }

  async function signOut() {
    await attempt(async () => {
      await api.signOut();
      leave();
    });
  }

  function tick() {
    const due = Date.now() - triedAt >= REFRESH_MS && !place.hasAttribute("aria-busy");
    if (due && document.visibilityState === "visible") void refresh();
  }

  fill(
    root,
    element("a", { class: "skip", href: "#view", click: skip }, "Skip to the content"),
    element(
      "header",
      {},
      element(
        "div",
        { class: "bar-top" },
        element(
          "span",
          { class: "brand" },
          element("img", { src: "/page/icon.svg", alt: "", width: 24, height: 24 }),
          element("h1", {}, "Bedrock Gateway"),
        ),
        element("nav", { "aria-label": "Views" }, ...tabs),
        element("button", { type: "button", class: "quiet", click: () => void signOut() }, "Sign out"),
      ),
    ),
    element("div", { class: "toolbar" }, picker.element, updated),
    problem,
    place,
    announcement,
  );

  /** @param {Event} event */
  function skip(event) {
    event.preventDefault();
    place.focus();
  }

  const timer = setInterval(tick, TICK_MS);
  document.addEventListener("visibilitychange", tick, { signal: gone.signal });
  addEventListener("hashchange", showView, { signal: gone.signal });
  showView();
}
