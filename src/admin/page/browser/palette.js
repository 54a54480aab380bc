/**
 * Which colour a key, a team or a model has in the charts.
 *
 * A colour belongs to its entity: it stays when another range changes the order. Eight are told apart by readers with
 * any colour vision, and each has a contrast of at least 3:1 to the card it is drawn on; what is beyond the eighth is
 * drawn together in grey. Names and numbers always stand beside: nobody needs the colour to read the page.
 */

export const LIGHT = ["#406cec", "#19a28b", "#773b84", "#c98102", "#4d3ac1", "#c15043", "#0e9adb", "#8a4002"];
export const DARK = ["#3f7bf5", "#12e5af", "#ad52a5", "#ffb404", "#8896fd", "#ff7042", "#52d1ff", "#bb5846"];
export const OTHERS_LIGHT = "#7d8590";
export const OTHERS_DARK = "#8b949e";
/** The cards' background, styles/theme.css has it too. */
export const SURFACE_LIGHT = "#ffffff";
export const SURFACE_DARK = "#1a1d21";

export const SLOTS = LIGHT.length;

/** Slots of one kind of entities, kept as long as the page is open. */
export function createSlots() {
  /** @type {Map<string, number>} */
  const slots = new Map();

  return {
    /**
     * Gives each of at most eight names a slot: the one it had, where no other of them has it now.
     * @param {readonly string[]} names
     * @returns {Map<string, number>}
     */
    assign(names) {
      const wanted = names.slice(0, SLOTS);
      const taken = new Set();
      for (const name of wanted) {
        const slot = slots.get(name);
        if (slot === undefined) continue;
        if (taken.has(slot)) slots.delete(name);
        else taken.add(slot);
      }
      const known = new Set(slots.values());
      for (const name of wanted.filter((one) => !slots.has(one))) {
        const slot = firstFree(known) ?? firstFree(taken) ?? 0;
        slots.set(name, slot);
        taken.add(slot);
        known.add(slot);
      }
      return new Map(wanted.map((name) => [name, slots.get(name) ?? 0]));
    },
  };
}

/**
 * @param {number | undefined} slot  Undefined: the others
 * @param {boolean} dark
 */
export function colorOf(slot, dark) {
  if (slot === undefined) return dark ? OTHERS_DARK : OTHERS_LIGHT;
  return (dark ? DARK : LIGHT)[slot % SLOTS] ?? OTHERS_LIGHT;
}

/** @param {ReadonlySet<number>} used */
function firstFree(used) {
  for (let slot = 0; slot < SLOTS; slot += 1) if (!used.has(slot)) return slot;
  return undefined;
}
