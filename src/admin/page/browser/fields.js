/**
 * Fields of forms: each knows its label, reads its value as the API takes it, and says what is wrong beside itself.
 */
import { element, freshId, setText } from "./dom.js";

/**
 * @typedef {object} Field
 * @property {string} name  As the API calls it
 * @property {HTMLElement} element
 * @property {() => unknown} read
 * @property {() => boolean} check  Says what is wrong, if something is
 * @property {(message: string) => void} fault
 * @property {() => void} focus
 */

/**
 * @typedef {object} FieldOptions
 * @property {string} name
 * @property {string} label
 * @property {"text" | "count" | "money" | "list" | "day"} kind
 * @property {string} [value]
 * @property {string} [hint]
 * @property {boolean} [required]
 * @property {boolean} [wide]
 */

/** @type {Readonly<Record<FieldOptions["kind"], { read: (text: string) => unknown, wrong: (text: string) => string | undefined, attributes: import("./dom.js").Attributes }>>} */
const KINDS = {
  text: { read: (text) => (text === "" ? null : text), wrong: () => undefined, attributes: {} },
  count: {
    read: (text) => (text === "" ? null : Number(text)),
    wrong: (text) => (/^\d{0,12}$/.test(text) ? undefined : "Give a whole number, or leave it empty."),
    attributes: { inputmode: "numeric", placeholder: "unlimited" },
  },
  money: {
    read: (text) => (text === "" ? null : text),
    wrong: (text) =>
      /^(\d{1,9}(\.\d{1,6})?)?$/.test(text) ? undefined : "Give an amount such as 50 or 12.50, or leave it empty.",
    attributes: { inputmode: "decimal", placeholder: "none" },
  },
  list: { read: splitList, wrong: () => undefined, attributes: {} },
  day: { read: (text) => (text === "" ? null : text), wrong: () => undefined, attributes: { type: "date" } },
};

/**
 * @param {FieldOptions} options
 * @returns {Field}
 */
export function field({ name, label, kind, value = "", hint, required = false, wide = false }) {
  const { read, wrong, attributes } = KINDS[kind];
  const input = element("input", { type: "text", autocomplete: "off", name, value, required, ...attributes });
  const text = () => input.value.trim();
  const shell = frame({ label, hint, control: input, wide });
  return {
    name,
    ...shell,
    read: () => read(text()),
    check() {
      const message = required && text() === "" ? "This is needed." : wrong(text());
      if (message !== undefined) shell.fault(message);
      return message === undefined;
    },
  };
}

/**
 * @param {object} options
 * @param {string} options.name
 * @param {string} options.label
 * @param {readonly (readonly [value: string, title: string])[]} options.choices
 * @param {string} [options.value]
 * @param {string} [options.hint]
 * @returns {Field}
 */
export function choice({ name, label, choices, value, hint }) {
  const select = element(
    "select",
    { name },
    ...choices.map(([one, title]) => element("option", { value: one, selected: one === value }, title)),
  );
  return { name, ...frame({ label, hint, control: select, wide: false }), read: () => select.value, check: () => true };
}

/**
 * What the fields say now, where that is not what they said before.
 * @param {readonly Field[]} fields
 * @returns {() => Record<string, unknown>}
 */
export function watchChanges(fields) {
  const before = new Map(fields.map((one) => [one.name, JSON.stringify(one.read())]));
  return () =>
    Object.fromEntries(
      fields
        .map((one) => [one.name, one.read()])
        .filter(([name, now]) => before.get(String(name)) !== JSON.stringify(now)),
    );
}

/**
 * @param {{ label: string, hint: string | undefined, control: HTMLElement, wide: boolean }} options
 */
function frame({ label, hint, control, wide }) {
  const [id, hintId, faultId] = [freshId(), freshId(), freshId()];
  control.setAttribute("id", id);
  control.setAttribute("aria-describedby", hint === undefined ? faultId : `${hintId} ${faultId}`);
  const message = element("small", { id: faultId, class: "fault", role: "alert" });
  return {
    element: element(
      "div",
      { class: wide ? "field wide" : "field" },
      element("label", { for: id }, label),
      control,
      hint !== undefined && element("small", { id: hintId }, hint),
      message,
    ),
    /** @param {string} text */
    fault(text) {
      setText(message, text);
      if (text === "") control.removeAttribute("aria-invalid");
      else control.setAttribute("aria-invalid", "true");
    },
    focus: () => control.focus(),
  };
}

/** @param {string} text */
function splitList(text) {
  const items = text.split(/[,\n]/).map((item) => item.trim());
  return [...new Set(items.filter((item) => item !== ""))];
}
