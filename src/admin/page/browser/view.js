/**
 * What a view of the page is, and what it is given.
 */

/**
 * @typedef {object} View
 * @property {HTMLElement} element
 * @property {boolean} ranged  Its numbers are of the chosen range
 * @property {(wanted: () => boolean) => Promise<void>} load  Asks the API and shows what it says, if that is still
 *   wanted then; throws ApiError
 */

/**
 * @typedef {object} ViewContext
 * @property {() => import("./range.js").Range} range
 * @property {() => Promise<void>} refresh  Loads the view again; errors are shown
 * @property {(message: string) => void} announce  Says what was done, to screen readers too
 * @property {(work: () => Promise<void>) => Promise<void>} attempt  Does the work; errors are shown
 */

export {};
