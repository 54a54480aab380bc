/**
 * Browsers that have logged in. A session lives in this process alone: after a restart, or at another replica, the token
 * is asked for again.
 *
 * Its secret is 32 random bytes; what is remembered is their SHA-256.
 */
import { hash } from "node:crypto";

export interface SessionsOptions {
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly randomBytes: (size: number) => Uint8Array;
}

export interface OpenedSession {
  readonly secret: string;
  readonly expiresAt: number;
}

export interface Sessions {
  open(): OpenedSession;
  /** When it ends unless it is used again, which this is. Undefined for one that has ended, or never was. */
  use(secret: string): number | undefined;
  end(secret: string): void;
}

export const SESSION_MAX_MS = 7 * 86_400_000;
const IDLE_MS = 12 * 3_600_000;
const MAX_SESSIONS = 1000;
const SECRET_BYTES = 32;

export function createSessions({ now, randomBytes }: SessionsOptions): Sessions {
  /** Those used longest ago come first. */
  const sessions = new Map<string, { readonly openedAt: number; readonly usedAt: number }>();

  function put(id: string, openedAt: number): number {
    const usedAt = now();
    sessions.delete(id);
    sessions.set(id, { openedAt, usedAt });
    return endOf({ openedAt, usedAt });
  }

  function makeRoom(): void {
    for (const [id, session] of sessions) {
      if (sessions.size < MAX_SESSIONS && endOf(session) > now()) return;
      sessions.delete(id);
    }
  }

  return {
    open() {
      makeRoom();
      const secret = Buffer.from(randomBytes(SECRET_BYTES)).toString("base64url");
      return { secret, expiresAt: put(idOf(secret), now()) };
    },
    use(secret) {
      const id = idOf(secret);
      const session = sessions.get(id);
      if (session === undefined) return undefined;
      if (endOf(session) > now()) return put(id, session.openedAt);
      sessions.delete(id);
      return undefined;
    },
    end(secret) {
      sessions.delete(idOf(secret));
    },
  };
}

function endOf({ openedAt, usedAt }: { openedAt: number; usedAt: number }): number {
  return Math.min(usedAt + IDLE_MS, openedAt + SESSION_MAX_MS);
}

function idOf(secret: string): string {
  return hash("sha256", secret, "hex");
}
