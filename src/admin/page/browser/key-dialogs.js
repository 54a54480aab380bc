/**
 * What can be done with a key: making, changing, rotating, blocking and revoking it.
 */
import { api } from "./api.js";
import { askForm, showSecret } from "./dialog.js";
import { choice, field, watchChanges } from "./fields.js";
import { limitFields } from "./limits.js";
import { isoDay } from "./range.js";

/** @typedef {import("./shapes.js").Key} Key */
/** @typedef {(message: string) => Promise<void>} Done  Says what was done, and shows the keys as they are now */

const GRACES = /** @type {const} */ ([
  ["0s", "ends at once"],
  ["1h", "works for 1 hour"],
  ["24h", "works for 24 hours"],
  ["7d", "works for 7 days"],
]);

/** @param {Done} done */
export function makeKey(done) {
  const fields = keyFields();
  const given = watchChanges(fields);
  askForm({
    title: "New key",
    fields,
    action: "Make the key",
    async submit() {
      const issued = await api.createKey(given());
      showSecret(`Key ${issued.name}`, issued.key);
      await done(`Made the key ${issued.name}.`);
    },
  });
}

/**
 * @param {Key} key
 * @param {Done} done
 */
export function editKey(key, done) {
  const fields = keyFields(key);
  const changes = watchChanges(fields);
  askForm({
    title: `Edit ${key.name}`,
    fields,
    action: "Save",
    async submit() {
      const changed = changes();
      if (Object.keys(changed).length === 0) return;
      await api.updateKey(key.id, changed);
      await done(`Changed the key ${key.name}.`);
    },
  });
}

/**
 * @param {Key} key
 * @param {Done} done
 */
export function rotateKey(key, done) {
  const grace = choice({ name: "grace", label: "The old secret", choices: GRACES, value: "24h" });
  askForm({
    title: `Rotate ${key.name}?`,
    text: "The key gets a new secret and keeps its settings, limits and history.",
    fields: [grace],
    action: "Rotate",
    async submit() {
      const issued = await api.rotateKey(key.id, String(grace.read()));
      showSecret(`New secret of ${issued.name}`, issued.key);
      await done(`Rotated the key ${key.name}.`);
    },
  });
}

/**
 * @param {Key} key
 * @param {Done} done
 */
export function blockKey(key, done) {
  askForm({
    title: `Block ${key.name}?`,
    text: "Its calls are refused within seconds, until somebody unblocks it.",
    action: "Block",
    danger: true,
    async submit() {
      await api.changeKey(key.id, "block");
      await done(`Blocked the key ${key.name}.`);
    },
  });
}

/**
 * @param {Key} key
 * @param {Done} done
 */
export async function unblockKey(key, done) {
  await api.changeKey(key.id, "unblock");
  await done(`Unblocked the key ${key.name}.`);
}

/**
 * @param {Key} key
 * @param {Done} done
 */
export function revokeKey(key, done) {
  askForm({
    title: `Revoke ${key.name}?`,
    text: "Its calls are refused within seconds, for good: nobody can bring it back. What it used stays in the reports.",
    action: "Revoke for good",
    danger: true,
    async submit() {
      await api.changeKey(key.id, "revoke");
      await done(`Revoked the key ${key.name}.`);
    },
  });
}

/** @param {Key} [key] */
function keyFields(key) {
  return [
    field({ name: "name", label: "Name", kind: "text", value: key?.name ?? "", required: true }),
    field({ name: "owner", label: "Owner", kind: "text", value: key?.owner ?? "", hint: "Who answers for it." }),
    field({ name: "team", label: "Team", kind: "text", value: key?.team ?? "" }),
    field({
      name: "tags",
      label: "Tags",
      kind: "list",
      value: key?.tags.join(", ") ?? "",
      hint: "Separated by commas.",
    }),
    field({
      name: "models",
      label: "Models",
      kind: "list",
      value: key?.models.join(", ") ?? "",
      hint: "Ids or aliases separated by commas, * stands for any text. Empty: every model.",
      wide: true,
    }),
    ...limitFields(key),
    field({
      name: "expires_at",
      label: "Last day",
      kind: "day",
      value: key === undefined || key.expires_at === null ? "" : isoDay(key.expires_at - 1),
      hint: "UTC. Empty: it does not expire.",
    }),
    field({ name: "note", label: "Note", kind: "text", value: key?.note ?? "" }),
  ];
}
