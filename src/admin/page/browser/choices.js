/**
 * Buttons of which one is chosen: radio buttons underneath, so that the arrow keys work and screen readers know.
 */
import { element, freshId } from "./dom.js";

/**
 * @template {string} Name
 * @param {object} options
 * @param {string} options.label
 * @param {readonly (readonly [Name, string])[]} options.choices
 * @param {Name} options.chosen
 * @param {(name: Name) => void} options.choose
 */
export function createChoices({ label, choices, chosen, choose }) {
  const group = freshId();
  const buttons = choices.map(([name, title]) => {
    const input = element("input", {
      type: "radio",
      name: group,
      value: name,
      checked: name === chosen,
      change: () => choose(name),
    });
    return element("label", {}, input, element("span", {}, title));
  });
  return element("fieldset", { class: "choices" }, element("legend", { class: "unseen" }, label), ...buttons);
}
