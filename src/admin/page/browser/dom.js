/**
 * How the page makes its elements. Whatever comes from outside, such as a key's name, becomes text and never markup.
 */

/** @typedef {Node | string | null | undefined | false} Child  Strings become text; null, undefined and false nothing. */

/**
 * Attributes by name: true is an empty one, undefined and false none. A function listens to the event of its name.
 * @typedef {Record<string, string | number | boolean | undefined | ((event: Event) => void)>} Attributes
 */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...present(children));
  return made;
}

/**
 * What the parent has instead of its children now.
 * @param {Element} parent
 * @param {...Child} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren(...present(children));
}

/**
 * Changes the text only where it is another one, so that screen readers hear of changes alone.
 * @param {Element} target
 * @param {string} text
 */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/**
 * A length that a style rule reads, set by script because the page's policy forbids style attributes.
 * @template {HTMLElement} T
 * @param {T} target
 * @param {string} name
 * @param {number} share  0 to 1
 */
export function setShare(target, name, share) {
  target.style.setProperty(name, `${(Math.min(1, Math.max(0, share)) * 100).toFixed(2)}%`);
  return target;
}

let lastId = 0;

/** An id for a label's `for` and the like. */
export function freshId() {
  lastId += 1;
  return `id-${lastId}`;
}

/**
 * @param {readonly Child[]} children
 * @returns {(Node | string)[]}
 */
function present(children) {
  return children.filter((child) => child !== null && child !== undefined && child !== false);
}
