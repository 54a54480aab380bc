/**
 * Questions and answers above the page: native dialogs, which keep the focus inside, close on Escape and give the focus
 * back to where it was.
 */
import { element, fill, freshId } from "./dom.js";

/**
 * @param {string} title
 * @param {readonly import("./dom.js").Child[]} content
 */
function open(title, content) {
  const id = freshId();
  const dialog = element("dialog", { "aria-labelledby": id }, element("h2", { id }, title), ...content);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Closes what is open, as the session has ended; but no secret that nobody can see again. */
export function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) if (!dialog.querySelector(".secret")) dialog.close();
}

/**
 * A form that stays open until what it asks for has worked, or somebody gives up.
 * @param {object} options
 * @param {string} options.title
 * @param {string} [options.text]
 * @param {readonly import("./fields.js").Field[]} [options.fields]
 * @param {string} options.action  What the button says
 * @param {boolean} [options.danger]
 * @param {() => Promise<void>} options.submit  Throws ApiError: shown beside the field at fault
 */
export function askForm({ title, text, fields = [], action, danger = false, submit }) {
  const message = element("p", { class: "form-error", role: "alert" });
  const button = element("button", { type: "submit", class: danger ? "danger" : "primary" }, action);
  const form = element(
    "form",
    { novalidate: true, submit: (event) => void send(event) },
    text !== undefined && element("p", {}, text),
    fields.length > 0 && element("div", { class: "fields" }, ...fields.map((field) => field.element)),
    message,
    element(
      "div",
      { class: "buttons" },
      element("button", { type: "button", click: () => dialog.close() }, "Cancel"),
      button,
    ),
  );
  const dialog = open(title, [form]);

  /** @param {Event} event */
  async function send(event) {
    event.preventDefault();
    if (button.disabled) return;
    for (const field of fields) field.fault("");
    fill(message);
    const wrong = fields.filter((field) => !field.check());
    if (wrong.length > 0) {
      wrong[0]?.focus();
      return;
    }
    button.disabled = true;
    try {
      await submit();
      dialog.close();
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      const name = error instanceof Error && "field" in error ? error.field : undefined;
      const field = fields.find((one) => one.name === name);
      if (field === undefined) fill(message, text);
      else {
        field.fault(text);
        field.focus();
      }
    } finally {
      button.disabled = false;
    }
  }
}

/**
 * Shows a secret, this once. Closed by its own button alone: Escape would lose it too easily.
 * @param {string} title
 * @param {string} secret
 */
export function showSecret(title, secret) {
  const id = freshId();
  const input = element("input", {
    id,
    class: "secret",
    readonly: true,
    value: secret,
    spellcheck: "false",
    autocomplete: "off",
  });
  input.addEventListener("focus", () => input.select());
  const copied = element("span", { role: "status", class: "copied" });
  const dialog = open(title, [
    element("p", {}, "This is the only time the key is shown: copy it now and store it safely. Only its hash is kept."),
    element("label", { for: id, class: "secret-label" }, "Secret key"),
    element(
      "div",
      { class: "secret-row" },
      input,
      element("button", { type: "button", class: "primary", click: () => void copy() }, "Copy"),
    ),
    copied,
    element(
      "div",
      { class: "buttons" },
      element("button", { type: "button", click: () => dialog.close() }, "I have stored it"),
    ),
  ]);
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  input.focus();

  async function copy() {
    input.select();
    try {
      await navigator.clipboard.writeText(secret);
      fill(copied, "Copied.");
    } catch {
      // Without TLS browsers keep the clipboard to themselves.
      fill(copied, "The browser did not allow copying: the key is selected, press Ctrl+C or ⌘C.");
    }
  }
}
