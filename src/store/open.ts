/** Opens the store that DATABASE_URL names. */
import { createAnswers } from "./answers.ts";
import { createAudit } from "./audit.ts";
import { createCalls } from "./calls.ts";
import type { Database } from "./database.ts";
import { createInstances } from "./instances.ts";
import { createKeys } from "./keys.ts";
import { postgresLedger } from "./ledger-postgres.ts";
import type { LedgerQueue } from "./ledger-queue.ts";
import { sqliteLedger } from "./ledger-sqlite.ts";
import { createReports } from "./reports.ts";
import { openSqlite } from "./sqlite.ts";
import type { Store } from "./store.ts";
import { createTeams } from "./teams.ts";

export const DEFAULT_DATABASE_URL = "sqlite:data/gateway.db";

const SQLITE_FORMS = "sqlite:PATH (such as sqlite:data/gateway.db) or sqlite::memory:";
const POSTGRES_FORM = "postgres://USER:PASSWORD@HOST:PORT/DATABASE";

/**
 * Opens `sqlite:PATH` or `postgres://…`, creating and migrating the database's tables as needed; an absent or empty URL is
 * the default. Relative paths start at the working directory. Throws an Error that names DATABASE_URL and the remedy.
 */
export async function openStore(databaseUrl?: string): Promise<Store> {
  const url = databaseUrl?.trim() || DEFAULT_DATABASE_URL;
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
  if (scheme === "sqlite") return openSqliteStore(sqlitePath(url));
  if (scheme === "postgres" || scheme === "postgresql") return openPostgresStore(url);
  // Only the scheme is repeated: a database URL may hold a password.
  const given = scheme === undefined ? "" : `, not a ${scheme}: address`;
  throw new Error(`DATABASE_URL must be ${SQLITE_FORMS}, or ${POSTGRES_FORM}${given}`);
}

async function openSqliteStore(path: string): Promise<Store> {
  try {
    const opened = await openSqlite(path);
    return assemble(opened.database, sqliteLedger(opened));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`DATABASE_URL: cannot open the SQLite database ${path}: ${reason}`, { cause: error });
  }
}

async function openPostgresStore(url: string): Promise<Store> {
  // Most gateways have no use for the library.
  const { openPostgres } = await import("./postgres.ts");
  try {
    const database = await openPostgres(url);
    return assemble(database, postgresLedger(database));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`DATABASE_URL: cannot open the PostgreSQL database: ${reason}`, { cause: error });
  }
}

function assemble(database: Database, ledger: LedgerQueue): Store {
  return {
    keys: createKeys(database),
    teams: createTeams(database),
    audit: createAudit(database),
    calls: createCalls(database, ledger),
    instances: createInstances(database),
    reports: createReports(database),
    answers: createAnswers(database),
    async close() {
      await ledger.drained();
      await database.close();
    },
  };
}

function sqlitePath(url: string): string {
  const rest = url.slice("sqlite:".length);
  // sqlite:///srv/gateway.db, as other tools write an absolute path.
  const path = rest.startsWith("///") ? rest.slice(2) : rest;
  if (path === "" || path.startsWith("//")) throw new Error(`DATABASE_URL must be ${SQLITE_FORMS}; it names no path`);
  return path;
}
