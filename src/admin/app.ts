/**
 * The operator's port: keys, teams, budgets and usage below /api for who has the admin token, the usage page at /, what
 * probes and Prometheus ask for, and a description of it all at /openapi.json.
 *
 * Probes and metrics need no token: the port is the operator's own, and they name keys by id at most.
 */
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { secureHeaders } from "hono/secure-headers";
import type { Keys } from "../access/keys.ts";
import type { Teams } from "../access/teams.ts";
import type { Logger } from "../log.ts";
import type { Store } from "../store/store.ts";
import { type AttemptsOptions, createAttempts } from "./attempts.ts";
import { AdminError, answerError } from "./errors.ts";
import { type AdminApp, type AdminContext, type AdminEnv, createGate } from "./gate.ts";
import { isAllowedHost } from "./hosts.ts";
import { mountKeys } from "./keys-routes.ts";
import { mountLedger } from "./ledger-routes.ts";
import { serveDocument } from "./openapi.ts";
import { mountProbes } from "./probes.ts";
import { mountReports } from "./reports-routes.ts";
import { mountSession } from "./session-routes.ts";
import { createSessions } from "./sessions.ts";
import { mountTeams } from "./teams-routes.ts";
import { createTurns } from "./turns.ts";

export interface AdminAppOptions {
  readonly store: Pick<Store, "keys" | "teams" | "audit" | "calls" | "reports">;
  /** They write what they change into the audit, by the name they were made with. */
  readonly keys: Keys;
  readonly teams: Teams;
  /** SHA-256 of the admin token, 64 hex digits; undefined: only probes, metrics and the page are served. */
  readonly tokenSha256: string | undefined;
  /** Names by which browsers may reach the port, beside localhost and addresses. */
  readonly hosts?: readonly string[];
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly randomBytes: (size: number) => Uint8Array;
  /** Undefined when ready, else the reason why not. */
  readonly notReady: () => string | undefined;
  /** In Prometheus' text format. */
  readonly metrics?: () => Promise<string>;
  /** Routes for / and what belongs to it. */
  readonly page?: Hono;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
  readonly version?: string;
  readonly attempts?: AttemptsOptions;
}

const MAX_BODY_BYTES = 1024 * 1024;
const REQUESTS_AT_ONCE = 4;
const REPORTS_AT_ONCE = 2;
const REPORTS: ReadonlySet<string> = new Set(["/api/usage", "/api/usage/series", "/api/latency", "/api/calls"]);
const IMPORT_PATH = "/api/keys/import";
/** Found under any name: a probe's Host is whatever its maker chose. */
const PROBES: ReadonlySet<string> = new Set(["/livez", "/readyz"]);

export function createAdminApp(options: AdminAppOptions): AdminApp {
  const { store, keys, teams, now, randomBytes, log, hosts = [] } = options;
  const app: AdminApp = new Hono<AdminEnv>();
  const onFault = (error: unknown) => log.error({ err: error }, "the admin port failed");
  const gate = createGate({
    tokenSha256: options.tokenSha256,
    sessions: createSessions({ now, randomBytes }),
    attempts: createAttempts(options.attempts),
    log,
  });

  app.onError((error, context) => answerError(context, error, onFault));
  app.notFound((context) => answerError(context, unknownPath(app, context), onFault));
  app.use(SECURITY_HEADERS);
  app.use(async ({ req }, next) => {
    const services = req.path === "/metrics";
    if (!PROBES.has(req.path) && !isAllowedHost(req.header("host"), { names: hosts, services })) {
      throw new AdminError(403, "This host name is not the gateway's: list it in ADMIN_HOSTS, or use an IP address.");
    }
    return next();
  });
  app.use("/api/*", async (context, next) => {
    context.header("cache-control", "no-store");
    return next();
  });
  app.use("/api/*", gate.check);
  // Reports may take seconds and have turns of their own: what is short does not wait behind them.
  const short = createTurns(REQUESTS_AT_ONCE);
  app.use("/api/*", (context, next) =>
    REPORTS.has(context.req.path) ? next() : short.take(context.req.raw.signal, next),
  );
  app.use("/api/*", bodyLimit({ maxSize: MAX_BODY_BYTES, onError: tooLarge }));
  app.use("/api/*", async (context, next) => {
    assertMediaType(context);
    return next();
  });

  mountSession(app, gate);
  mountKeys(app, { keys, calls: store.calls, now });
  mountTeams(app, { teams, calls: store.calls, now });
  const turns = createTurns(REPORTS_AT_ONCE);
  mountReports(app, { reports: store.reports, now, turns });
  mountLedger(app, { store, now, turns });
  mountProbes(app, options);
  serveDocument(app, options.version ?? "0");
  if (options.page !== undefined) app.route("/", options.page);
  return app;
}

/** The page's own answers may be stricter; scripts and styles come from files of this origin alone. */
const SECURITY_HEADERS = secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'self'"],
    baseUri: ["'none'"],
    formAction: ["'none'"],
    frameAncestors: ["'none'"],
    objectSrc: ["'none'"],
  },
  xFrameOptions: "DENY",
  // Plain HTTP on loopback, or TLS that a proxy ends: that one knows its own policy.
  strictTransportSecurity: false,
  overwrite: false,
});

function tooLarge(): never {
  throw new AdminError(413, `The body is larger than ${MAX_BODY_BYTES} bytes.`, { headers: { connection: "close" } });
}

function assertMediaType({ req }: AdminContext): void {
  const length = req.header("content-length");
  const empty = (length === undefined || length === "0") && req.header("transfer-encoding") === undefined;
  if (empty) return;
  const wanted = req.path === IMPORT_PATH ? "text/csv" : "application/json";
  const media = req.header("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (media !== wanted) throw new AdminError(415, `The body must be sent as content-type ${wanted}.`);
}

/** 405 where another method would do. */
function unknownPath(app: AdminApp, { req }: { req: { path: string; method: string } }): AdminError {
  const methods = app.routes.filter(({ method, path }) => method !== "ALL" && fits(path, req.path));
  const allowed = new Set(methods.flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method])));
  if (allowed.size === 0) return new AdminError(404, "There is nothing at this path.");
  return new AdminError(405, `This path does not take ${req.method}.`, { headers: { allow: [...allowed].join(", ") } });
}

function fits(pattern: string, path: string): boolean {
  const wanted = pattern.split("/");
  const given = path.split("/");
  return (
    wanted.length === given.length &&
    wanted.every((part, i) => part === given[i] || (part.startsWith(":") && given[i] !== ""))
  );
}
