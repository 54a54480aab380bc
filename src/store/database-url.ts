/** Which database DATABASE_URL names. */

export const DEFAULT_DATABASE_URL = "sqlite:data/gateway.db";

export type DatabaseAddress =
  | { readonly kind: "sqlite"; readonly path: string }
  | { readonly kind: "postgres"; readonly url: string };

const SQLITE_FORMS = "sqlite:PATH (such as sqlite:data/gateway.db) or sqlite::memory:";
const POSTGRES_FORM = "postgres://USER:PASSWORD@HOST:PORT/DATABASE";

/** Throws an Error whose message continues "DATABASE_URL …". */
export function parseDatabaseUrl(url: string): DatabaseAddress {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
  if (scheme === "sqlite") return { kind: "sqlite", path: sqlitePath(url) };
  if (scheme === "postgres" || scheme === "postgresql") return { kind: "postgres", url };
  // Only the scheme is repeated: a database URL may hold a password.
  const given = scheme === undefined ? "" : `, not a ${scheme}: address`;
  throw new Error(`must be ${SQLITE_FORMS}, or ${POSTGRES_FORM}${given}`);
}

function sqlitePath(url: string): string {
  const rest = url.slice("sqlite:".length);
  // sqlite:///srv/gateway.db, as other tools write an absolute path.
  const path = rest.startsWith("///") ? rest.slice(2) : rest;
  if (path === "" || path.startsWith("//")) throw new Error(`must be ${SQLITE_FORMS}; it names no path`);
  return path;
}
