/**
 * Gateway keys: one secret a developer, revocable, with its own limits.
 *
 * A secret is `sk-` and 32 random bytes in base64url. It exists in full only in what `create` and `rotate` return; the
 * store gets its SHA-256, which needs no salt or stretching because nobody can guess 256 random bits.
 */
import { hash } from "node:crypto";
import { type Change, type Key, type KeySettings, type NewSecret, NO_LIMITS, type Store } from "../store/store.ts";
import {
  assertNone,
  graceProblems,
  KEY_ID_PREFIX,
  KeyInputError,
  KeyNotFoundError,
  keyProblems,
} from "./key-settings.ts";

export type { Key, KeySettings } from "../store/store.ts";
export { KeyInputError, KeyNotFoundError } from "./key-settings.ts";

export interface KeysOptions {
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly randomBytes: (size: number) => Uint8Array;
  /** Who makes the changes, for the audit: `cli:alice`, `admin`. */
  readonly by: string;
}

export type NewKeySettings = Partial<KeySettings> & Pick<KeySettings, "name">;

export interface IssuedKey {
  readonly key: Key;
  /** The only time it can be read. */
  readonly secret: string;
}

export const KEY_STATUSES = ["active", "blocked", "expired", "revoked"] as const;

export type KeyStatus = (typeof KEY_STATUSES)[number];

export interface KeyFilter {
  readonly team?: string | undefined;
  readonly tag?: string | undefined;
  readonly status?: KeyStatus | undefined;
}

export interface Keys {
  /** Throws KeyInputError for settings that make no sense; so does `update`. */
  create(settings: NewKeySettings): Promise<IssuedKey>;
  /** All of them or none, in the order given. */
  createMany(settings: readonly NewKeySettings[]): Promise<IssuedKey[]>;
  /** Oldest first. */
  list(filter?: KeyFilter): Promise<Key[]>;
  /** `ref` is a key's id, or a name that only one key has. Throws KeyInputError, or KeyNotFoundError; so do the ones below. */
  show(ref: string): Promise<Key>;
  update(ref: string, changes: Partial<KeySettings>): Promise<Key>;
  /** Refused until it is unblocked. Blocking again changes nothing. */
  block(ref: string): Promise<Key>;
  unblock(ref: string): Promise<Key>;
  /** Final. Revoking again changes nothing. */
  revoke(ref: string): Promise<Key>;
  /** A new secret for the same key; the old one works for `graceMs` more. A blocked key stays blocked. */
  rotate(ref: string, options?: { readonly graceMs?: number }): Promise<IssuedKey>;
}

const SECRET_PREFIX = "sk-";
const SECRET_BYTES = 32;
const ID_BYTES = 10;
const DISPLAY_LENGTH = 8;
const MAX_NAMED = 10;

export function createKeys(store: Pick<Store, "keys">, { now, randomBytes, by }: KeysOptions): Keys {
  const change = (): Change => ({ at: now(), by });

  function newSecret(createdAt: number): { secret: string; row: NewSecret } {
    const secret = SECRET_PREFIX + Buffer.from(randomBytes(SECRET_BYTES)).toString("base64url");
    return { secret, row: { sha256: sha256Hex(secret), prefix: displayPrefix(secret), createdAt } };
  }

  async function createMany(given: readonly NewKeySettings[]): Promise<IssuedKey[]> {
    const at = now();
    const issued = given.map((settings) => {
      assertNone(keyProblems(settings, at));
      const { secret, row } = newSecret(at);
      const id = KEY_ID_PREFIX + Buffer.from(randomBytes(ID_BYTES)).toString("hex");
      return { secret, newKey: { id, settings: completeSettings(settings), secret: row } };
    });
    const keys = await store.keys.create(
      issued.map(({ newKey }) => newKey),
      { at, by },
    );
    const byId = new Map(keys.map((key) => [key.id, key]));
    return issued.map(({ secret, newKey: { id } }) => ({ key: found(id, byId.get(id)), secret }));
  }

  async function show(ref: string): Promise<Key> {
    // No name has it, and PostgreSQL refuses to look for it.
    if (ref.includes("\0")) throw unknown(ref);
    const byId = ref.startsWith(KEY_ID_PREFIX) ? await store.keys.get(ref) : undefined;
    return byId ?? onlyOne(ref, await store.keys.findByName(ref));
  }

  return {
    async create(settings) {
      const [issued] = await createMany([settings]);
      if (issued === undefined) throw new Error("the store made no key");
      return issued;
    },
    createMany,
    async list({ team, tag, status } = {}) {
      const at = now();
      return (await store.keys.list()).filter(
        (key) =>
          (team === undefined || key.team === team) &&
          (tag === undefined || key.tags.includes(tag)) &&
          (status === undefined || keyStatus(key, at) === status),
      );
    },
    show,
    async update(ref, changes) {
      assertNone(keyProblems(changes, now()));
      const { id, budget, softBudget } = await show(ref);
      // What isn't changed was checked when it was set, and its expiry may have passed since.
      assertNone(keyProblems({ budget, softBudget, ...budgetsOf(changes) }, now()));
      return found(ref, await store.keys.update(id, withoutRepeats(changes), change()));
    },
    async block(ref) {
      const key = notRevoked(await show(ref));
      return found(ref, await store.keys.block(key.id, change()));
    },
    async unblock(ref) {
      const key = notRevoked(await show(ref));
      return found(ref, await store.keys.unblock(key.id, change()));
    },
    async revoke(ref) {
      const { id } = await show(ref);
      return found(ref, await store.keys.revoke(id, change()));
    },
    async rotate(ref, { graceMs = 0 } = {}) {
      assertNone(graceProblems(graceMs));
      const key = notRevoked(await show(ref));
      const at = now();
      if (isExpired(key, at)) {
        throw failure(`Key ${key.id} has expired: give it a later expiry before rotating it.`);
      }
      const { secret, row } = newSecret(at);
      return { key: found(ref, await store.keys.rotate(key.id, row, at + graceMs, { at, by })), secret };
    },
  };
}

/** What no one can undo first, then what somebody did on purpose. */
export function keyStatus(key: Pick<Key, "revokedAt" | "blockedAt" | "expiresAt">, now: number): KeyStatus {
  if (key.revokedAt !== null) return "revoked";
  if (key.blockedAt !== null) return "blocked";
  return isExpired(key, now) ? "expired" : "active";
}

export function sha256Hex(secret: string): string {
  return hash("sha256", secret, "hex");
}

/** What may be shown of a secret: 5 of its 43 random characters. */
export function displayPrefix(secret: string): string {
  return secret.slice(0, DISPLAY_LENGTH);
}

/** Whether the text can be one of our secrets at all. */
export function looksLikeSecret(text: string): boolean {
  return /^sk-[A-Za-z0-9_-]{43}$/.test(text);
}

/** With what is not given unlimited. */
export function completeSettings(settings: NewKeySettings): KeySettings {
  const nothing = { owner: null, team: null, tags: [], note: null, models: [], expiresAt: null };
  return { ...nothing, ...NO_LIMITS, ...withoutRepeats(settings) };
}

function withoutRepeats<T extends Partial<KeySettings>>(settings: T): T {
  const { tags, models } = settings;
  return { ...settings, ...(tags && { tags: [...new Set(tags)] }), ...(models && { models: [...new Set(models)] }) };
}

function budgetsOf({ budget, softBudget }: Partial<KeySettings>): Partial<KeySettings> {
  return { ...(budget !== undefined && { budget }), ...(softBudget !== undefined && { softBudget }) };
}

function isExpired({ expiresAt }: Pick<Key, "expiresAt">, now: number): boolean {
  return expiresAt !== null && expiresAt <= now;
}

function notRevoked(key: Key): Key {
  if (key.revokedAt !== null) throw failure(`Key ${key.id} is revoked for good: create a new one.`);
  return key;
}

function onlyOne(ref: string, named: readonly Key[]): Key {
  const valid = named.filter((key) => key.revokedAt === null);
  const candidates = valid.length > 0 ? valid : named;
  const [key] = candidates;
  if (key === undefined) throw unknown(ref);
  if (candidates.length === 1) return key;
  const ids = candidates.slice(0, MAX_NAMED).map(({ id }) => id);
  if (candidates.length > MAX_NAMED) ids.push("…");
  throw failure(`${candidates.length} keys have the name ${JSON.stringify(ref)}: give the id (${ids.join(", ")}).`);
}

function found(ref: string, key: Key | undefined): Key {
  if (key === undefined) throw unknown(ref);
  return key;
}

function unknown(ref: string): KeyNotFoundError {
  return new KeyNotFoundError(
    `There is no key with the id or name ${JSON.stringify(ref)}. \`keys list\` shows them all.`,
  );
}

function failure(message: string): KeyInputError {
  return new KeyInputError([{ setting: undefined, message }]);
}
