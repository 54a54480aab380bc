/** Opens the store that DATABASE_URL names. */
import { openSqlite } from "./sqlite.ts";
import type { Store } from "./store.ts";

export const DEFAULT_DATABASE_URL = "sqlite:data/gateway.db";

const FORMS = "sqlite:PATH (such as sqlite:data/gateway.db) or sqlite::memory:";

/**
 * Opens `sqlite:PATH`, creating and migrating the database as needed; an absent or empty URL is the default. Relative
 * paths start at the working directory. Throws an Error that names DATABASE_URL and the remedy.
 */
export async function openStore(databaseUrl?: string): Promise<Store> {
  const url = databaseUrl?.trim() || DEFAULT_DATABASE_URL;
  const path = sqlitePath(url);
  try {
    return await openSqlite(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`DATABASE_URL: cannot open the SQLite database ${path}: ${reason}`, { cause: error });
  }
}

function sqlitePath(url: string): string {
  // Only the scheme is repeated: a database URL may hold a password.
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
  if (scheme !== "sqlite") {
    throw new Error(`DATABASE_URL must be ${FORMS}${scheme === undefined ? "" : `, not a ${scheme}: address`}`);
  }
  const rest = url.slice("sqlite:".length);
  // sqlite:///srv/gateway.db, as other tools write an absolute path.
  const path = rest.startsWith("///") ? rest.slice(2) : rest;
  if (path === "" || path.startsWith("//")) throw new Error(`DATABASE_URL must be ${FORMS}; it names no path`);
  return path;
}
