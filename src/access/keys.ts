/**
 * Gateway keys: one secret a developer, revocable, with its own limits.
 *
 * A secret is `sk-` and 32 random bytes in base64url. It exists in full only in what `create` and `rotate` return; the
 * store gets its SHA-256, which needs no salt or stretching because nobody can guess 256 random bits.
 */
import { hash } from "node:crypto";
import type { Key, KeySettings, NewSecret, Store } from "../store/store.ts";

export type { Key, KeySettings } from "../store/store.ts";

export interface KeysOptions {
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly randomBytes: (size: number) => Uint8Array;
}

export interface IssuedKey {
  readonly key: Key;
  /** The only time it can be read. */
  readonly secret: string;
}

export type KeyStatus = "active" | "expired" | "revoked";

export interface Keys {
  /** Throws KeyInputError for settings that make no sense; so does `update`. */
  create(settings: Partial<KeySettings> & Pick<KeySettings, "name">): Promise<IssuedKey>;
  /** Oldest first. */
  list(): Promise<Key[]>;
  /** `ref` is a key's id, or a name that only one key has. Throws KeyInputError; so do the ones below. */
  show(ref: string): Promise<Key>;
  update(ref: string, changes: Partial<KeySettings>): Promise<Key>;
  /** Final. Revoking again changes nothing. */
  revoke(ref: string): Promise<Key>;
  /** A new secret for the same key; the old one works for `graceMs` more. */
  rotate(ref: string, options?: { readonly graceMs?: number }): Promise<IssuedKey>;
}

/** What the person at the command line or the admin API has to correct. */
export class KeyInputError extends Error {
  override readonly name = "KeyInputError";
  /** The setting at fault; undefined when it is the key itself. */
  readonly setting: keyof KeySettings | undefined;

  constructor(message: string, setting?: keyof KeySettings) {
    super(message);
    this.setting = setting;
  }
}

const ID_PREFIX = "key_";
const SECRET_PREFIX = "sk-";
const SECRET_BYTES = 32;
const DISPLAY_LENGTH = 8;
const MAX_NAME_LENGTH = 100;
const MAX_MODELS = 200;
const MAX_MODEL_LENGTH = 512;
const MAX_RPM = 1_000_000_000;

export function createKeys(store: Pick<Store, "keys">, { now, randomBytes }: KeysOptions): Keys {
  function newSecret(): { secret: string; row: NewSecret } {
    const secret = SECRET_PREFIX + Buffer.from(randomBytes(SECRET_BYTES)).toString("base64url");
    return { secret, row: { sha256: sha256Hex(secret), prefix: displayPrefix(secret), createdAt: now() } };
  }

  async function show(ref: string): Promise<Key> {
    const byId = await store.keys.get(ref);
    if (byId !== undefined) return byId;
    return onlyOne(ref, await store.keys.findByName(ref));
  }

  return {
    async create(given) {
      const settings = { team: null, models: [], rpm: null, expiresAt: null, ...given };
      assertSettings(settings, now());
      const { secret, row } = newSecret();
      const id = ID_PREFIX + Buffer.from(randomBytes(10)).toString("hex");
      return { key: await store.keys.create({ ...settings, id, createdAt: row.createdAt }, row), secret };
    },
    list: () => store.keys.list(),
    show,
    async update(ref, changes) {
      assertSettings(changes, now());
      const { id } = await show(ref);
      return found(ref, await store.keys.update(id, changes));
    },
    async revoke(ref) {
      const { id } = await show(ref);
      return found(ref, await store.keys.revoke(id, now()));
    },
    async rotate(ref, { graceMs = 0 } = {}) {
      const key = await show(ref);
      assertRotatable(key, now());
      const { secret, row } = newSecret();
      return { key: found(ref, await store.keys.rotate(key.id, row, row.createdAt + graceMs)), secret };
    },
  };
}

export function keyStatus(key: Key, now: number): KeyStatus {
  if (key.revokedAt !== null) return "revoked";
  return key.expiresAt !== null && key.expiresAt <= now ? "expired" : "active";
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

function onlyOne(ref: string, named: readonly Key[]): Key {
  const valid = named.filter((key) => key.revokedAt === null);
  const candidates = valid.length > 0 ? valid : named;
  const [key] = candidates;
  if (key === undefined) {
    throw new KeyInputError(
      `There is no key with the id or name ${JSON.stringify(ref)}. \`keys list\` shows them all.`,
    );
  }
  if (candidates.length === 1) return key;
  const ids = candidates.map(({ id }) => id).join(", ");
  throw new KeyInputError(`${candidates.length} keys have the name ${JSON.stringify(ref)}: give the id (${ids}).`);
}

function found(ref: string, key: Key | undefined): Key {
  return key ?? onlyOne(ref, []);
}

function assertRotatable(key: Key, now: number): void {
  const status = keyStatus(key, now);
  if (status === "revoked") throw new KeyInputError(`Key ${key.id} is revoked for good: create a new one.`);
  if (status === "expired") {
    throw new KeyInputError(`Key ${key.id} has expired: give it a later expiry before rotating it.`);
  }
}

function assertSettings({ name, team, models, rpm, expiresAt }: Partial<KeySettings>, now: number): void {
  if (name !== undefined) assertLabel(name, "name");
  if (name?.startsWith(ID_PREFIX))
    throw new KeyInputError(`A name must not start with ${ID_PREFIX}, as ids do.`, "name");
  if (team !== undefined && team !== null) assertLabel(team, "team");
  if (models !== undefined) assertModels(models);
  if (rpm !== undefined && rpm !== null && !(Number.isInteger(rpm) && rpm >= 1 && rpm <= MAX_RPM)) {
    throw new KeyInputError(`The requests per minute must be a whole number from 1 to ${MAX_RPM}.`, "rpm");
  }
  if (expiresAt !== undefined && expiresAt !== null && !(Number.isSafeInteger(expiresAt) && expiresAt > now)) {
    throw new KeyInputError("The expiry must lie in the future.", "expiresAt");
  }
}

function assertLabel(value: string, setting: "name" | "team"): void {
  if (value.trim() === "" || value.length > MAX_NAME_LENGTH || value !== value.trim() || /\p{C}/u.test(value)) {
    throw new KeyInputError(
      `A ${setting} must have 1 to ${MAX_NAME_LENGTH} printable characters, without spaces around it.`,
      setting,
    );
  }
}

function assertModels(models: readonly string[]): void {
  if (models.length > MAX_MODELS) {
    throw new KeyInputError(`A key can list ${MAX_MODELS} models; use patterns such as anthropic.*.`, "models");
  }
  const wrong = models.find((model) => !/^[\x21-\x7e]+$/.test(model) || model.length > MAX_MODEL_LENGTH);
  if (wrong !== undefined) {
    throw new KeyInputError(
      `${JSON.stringify(wrong)} can't be a model: give ids, or patterns such as anthropic.*.`,
      "models",
    );
  }
}
