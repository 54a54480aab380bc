/**
 * Who is calling: a secret becomes its key, or a 401 that says what is wrong with it.
 *
 * The store is asked at most once in `maxAgeMs` for each secret, so what any process changes (a revocation, a block, limits of
 * the key or its team) holds after that time.
 * Secrets that the store does not know are not remembered: a key works from the moment it is made, and guesses cannot
 * push valid keys out of the cache. Messages name a secret by its display prefix at most.
 */
import { LRUCache } from "lru-cache";
import { GatewayError } from "../errors.ts";
import type { FoundSecret, Key, Store, Team } from "../store/store.ts";
import { isCurrent } from "../time.ts";
import { displayPrefix, looksLikeSecret, sha256Hex } from "./keys.ts";

/** Whose limits and budgets a request counts for. */
export interface Caller {
  readonly key: Key;
  /** Null where the key has no team, or its team no limits of its own. */
  readonly team: Team | null;
}

export interface AuthenticatorOptions {
  readonly store: Pick<Store, "keys">;
  /** Unix milliseconds. */
  readonly now: () => number;
  /** How long a key that was read counts as current. */
  readonly maxAgeMs?: number;
  readonly maxCachedKeys?: number;
  /** Hears of each reading of the store whether it went well. */
  readonly onRead?: (well: boolean) => void;
  /** Hears that the time of last use could not be written; the request goes on. */
  readonly onTouchError?: (error: unknown) => void;
}

export interface Authenticator {
  /**
   * Throws GatewayError: `invalid_api_key`, or `unavailable` when the store cannot be read. The caller is the same object
   * until the key is read anew.
   */
  authenticate(secret: string | undefined): Promise<Caller>;
}

interface Entry {
  readonly readAt: number;
  readonly found: FoundSecret;
}

/** How exact a key's time of last use is. */
const TOUCH_INTERVAL_MS = 60_000;

export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { store, now, maxAgeMs = 1000, maxCachedKeys = 10_000 } = options;
  const { onRead = () => {}, onTouchError = () => {} } = options;
  const entries = new LRUCache<string, Entry>({ max: maxCachedKeys });
  const reading = new Map<string, Promise<FoundSecret | undefined>>();
  const touched = new LRUCache<string, number>({ max: maxCachedKeys });

  async function read(sha256: string): Promise<FoundSecret | undefined> {
    const readAt = now();
    try {
      const found = await store.keys.findBySecret(sha256);
      onRead(true);
      if (found === undefined) entries.delete(sha256);
      else entries.set(sha256, { readAt, found });
      return found;
    } catch (cause) {
      onRead(false);
      throw new GatewayError("unavailable", "The API key could not be checked. Try again in a moment.", { cause });
    } finally {
      reading.delete(sha256);
    }
  }

  async function find(sha256: string): Promise<FoundSecret | undefined> {
    const entry = entries.get(sha256);
    if (entry !== undefined && isCurrent(entry.readAt, now(), maxAgeMs)) return entry.found;
    const running = reading.get(sha256) ?? read(sha256);
    reading.set(sha256, running);
    return running;
  }

  function touch(key: Key): void {
    const at = now();
    const last = touched.get(key.id) ?? key.lastUsedAt ?? 0;
    if (at - last < TOUCH_INTERVAL_MS) return;
    touched.set(key.id, at);
    store.keys.touch(key.id, at).catch(onTouchError);
  }

  return {
    async authenticate(secret) {
      if (secret === undefined || secret === "") throw missing();
      if (!looksLikeSecret(secret)) throw malformed();
      const found = await find(sha256Hex(secret));
      if (found === undefined) throw unknown(secret);
      assertValid(found, now());
      touch(found.key);
      return found;
    },
  };
}

function assertValid({ key, prefix, replacedAt }: FoundSecret, now: number): void {
  if (key.revokedAt !== null) throw invalid(`The API key ${prefix}… has been revoked.`);
  if (key.blockedAt !== null) throw invalid(`The API key ${prefix}… has been blocked.`);
  if (key.expiresAt !== null && key.expiresAt <= now) {
    throw invalid(`The API key ${prefix}… expired on ${new Date(key.expiresAt).toISOString()}.`);
  }
  if (replacedAt !== null && replacedAt <= now) {
    throw invalid(`The API key ${prefix}… has been replaced by a newer one.`);
  }
}

function missing(): GatewayError {
  return invalid(
    "No API key was given. Send it as `Authorization: Bearer sk-…`, or in the x-api-key or api-key header.",
  );
}

function malformed(): GatewayError {
  return invalid("The API key is malformed. A key of this gateway is sk- and 43 letters, digits, - or _.");
}

function unknown(secret: string): GatewayError {
  return invalid(`The API key ${displayPrefix(secret)}… is not known to this gateway.`);
}

function invalid(message: string): GatewayError {
  return new GatewayError("invalid_api_key", message);
}
