/**
 * Who may use the admin API: whoever has the admin token, as `Authorization: Bearer`, or a browser that has logged in with
 * it and has a session's cookie.
 *
 * A browser sends its cookie along with requests that other sites make it send, so what changes something is taken from
 * the page of this very origin alone: by Sec-Fetch-Site, else by Origin. Nothing that a proxy adds says who is calling;
 * attempts are counted by the address of the connection.
 */
import { hash, timingSafeEqual } from "node:crypto";
import type { HttpBindings } from "@hono/node-server";
import type { Context, Hono, MiddlewareHandler } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import type { Logger } from "../log.ts";
import type { Attempts } from "./attempts.ts";
import { AdminError } from "./errors.ts";
import { SESSION_MAX_MS, type Sessions } from "./sessions.ts";

export interface AdminEnv {
  Bindings: HttpBindings;
  Variables: { session: SessionState };
}

export type AdminApp = Hono<AdminEnv>;
export type AdminContext = Context<AdminEnv>;

export interface SessionState {
  /** Unix milliseconds; undefined for a token, which does not end. */
  readonly expiresAt: number | undefined;
}

export interface GateOptions {
  /** 64 hex digits; undefined: nobody may. */
  readonly tokenSha256: string | undefined;
  readonly sessions: Sessions;
  readonly attempts: Attempts;
  readonly log: Pick<Logger, "info" | "warn">;
}

export interface Gate {
  /** Lets pass who is known. */
  readonly check: MiddlewareHandler<AdminEnv>;
  /** Throws AdminError unless the token is right, else gives the browser its cookie. */
  logIn(context: AdminContext, token: string): Promise<void>;
  logOut(context: AdminContext): void;
}

export const SESSION_COOKIE = "bedrock_gateway_session";
/** The one path of the API that needs no token: it takes one. */
export const LOG_IN_PATH = "/api/session";

const OFF =
  "The admin API is off: set ADMIN_TOKEN to a secret of at least 16 characters, or to sha256: and its SHA-256 in hex, and restart the gateway.";
const READING: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

export function createGate({ tokenSha256, sessions, attempts, log }: GateOptions): Gate {
  const expected = tokenSha256 === undefined ? undefined : Buffer.from(tokenSha256, "hex");

  async function assertToken(context: AdminContext, token: string | Uint8Array): Promise<void> {
    if (expected === undefined) throw new AdminError(503, OFF);
    const address = addressOf(context);
    const right = timingSafeEqual(hash("sha256", token, "buffer"), expected);
    const wait = right ? await attempts.right(address) : await attempts.wrong(address);
    if (wait > 0) throw tooMany(wait);
    if (right) return;
    log.warn({ address }, "a wrong admin token was refused");
    throw unauthorized("The admin token is wrong.");
  }

  function fromCookie(context: AdminContext, secret: string): SessionState {
    if (!READING.has(context.req.method)) assertSameOrigin(context, { required: true });
    const expiresAt = sessions.use(secret);
    if (expiresAt === undefined) throw unauthorized("The session has ended: log in again.");
    return { expiresAt };
  }

  return {
    async check(context, next) {
      if (expected === undefined) throw new AdminError(503, OFF);
      if (context.req.method === "POST" && context.req.path === LOG_IN_PATH) {
        assertSameOrigin(context, { required: false });
        return next();
      }
      const authorization = context.req.header("authorization");
      const cookie = getCookie(context, SESSION_COOKIE);
      if (authorization !== undefined) {
        await assertToken(context, bearerToken(authorization));
        context.set("session", { expiresAt: undefined });
      } else if (cookie !== undefined) {
        context.set("session", fromCookie(context, cookie));
      } else {
        throw unauthorized("The admin token is missing: send it as Authorization: Bearer, or log in.");
      }
      return next();
    },
    async logIn(context, token) {
      await assertToken(context, token);
      const { secret } = sessions.open();
      setCookie(context, SESSION_COOKIE, secret, { ...cookieOptions(context), maxAge: SESSION_MAX_MS / 1000 });
      log.info({ address: addressOf(context) }, "admin logged in");
    },
    logOut(context) {
      const secret = getCookie(context, SESSION_COOKIE);
      if (secret !== undefined) sessions.end(secret);
      deleteCookie(context, SESSION_COOKIE, cookieOptions(context));
    },
  };
}

/** Throws AdminError for what another site made the browser send. `required`: it must be shown, by one header or the other. */
function assertSameOrigin({ req }: AdminContext, { required }: { required: boolean }): void {
  const site = req.header("sec-fetch-site");
  const origin = req.header("origin");
  const same =
    site === undefined
      ? origin === undefined
        ? !required
        : isOwnOrigin(origin, req.header("host"))
      : site === "same-origin";
  if (!same) throw new AdminError(403, "This must be asked by the gateway's own page, or with the admin token.");
}

/** The scheme is not compared: behind a proxy that ends TLS it isn't ours. */
function isOwnOrigin(origin: string, host: string | undefined): boolean {
  return URL.canParse(origin) && new URL(origin).host === host?.toLowerCase();
}

/** Its bytes: a header's text has a character for each. Something that is no Bearer at all counts as a wrong token. */
function bearerToken(authorization: string): Uint8Array {
  return Buffer.from(/^Bearer +(.+)$/i.exec(authorization)?.[1] ?? "", "latin1");
}

function cookieOptions({ req }: AdminContext) {
  const secure = req.header("x-forwarded-proto")?.split(",")[0]?.trim().toLowerCase() === "https";
  return { httpOnly: true, sameSite: "Strict", path: "/", secure } as const;
}

function addressOf({ env }: AdminContext): string {
  return env.incoming.socket.remoteAddress ?? "unknown";
}

function unauthorized(message: string): AdminError {
  return new AdminError(401, message, { headers: { "www-authenticate": "Bearer" } });
}

function tooMany(seconds: number): AdminError {
  return new AdminError(429, "Too many wrong tokens: wait before the next attempt.", {
    headers: { "retry-after": String(seconds) },
  });
}
