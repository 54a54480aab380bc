/**
 * A titled part of a view.
 */
import { element, freshId } from "./dom.js";

/**
 * @param {string} title
 * @param {object} parts
 * @param {readonly import("./dom.js").Child[]} [parts.controls]  Beside the title
 * @param {readonly import("./dom.js").Child[]} parts.content
 * @param {string} [parts.kind]  Class of its own
 */
export function card(title, { controls = [], content, kind = "" }) {
  const id = freshId();
  return element(
    "section",
    { class: `card ${kind}`, "aria-labelledby": id },
    element("div", { class: "card-head" }, element("h2", { id }, title), ...controls),
    ...content,
  );
}
