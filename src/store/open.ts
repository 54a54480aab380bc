/** Opens the store that DATABASE_URL names. */
import { createAnswers } from "./answers.ts";
import { createAudit } from "./audit.ts";
import { createCalls } from "./calls.ts";
import type { Database } from "./database.ts";
import { type DatabaseAddress, DEFAULT_DATABASE_URL, parseDatabaseUrl } from "./database-url.ts";
import { createInstances } from "./instances.ts";
import { createKeys } from "./keys.ts";
import { postgresLedger } from "./ledger-postgres.ts";
import type { LedgerQueue } from "./ledger-queue.ts";
import { sqliteLedger } from "./ledger-sqlite.ts";
import { createReports } from "./reports.ts";
import { openSqlite } from "./sqlite.ts";
import type { Store } from "./store.ts";
import { createTeams } from "./teams.ts";

/**
 * Opens `sqlite:PATH` or `postgres://…`, creating and migrating the database's tables as needed; an absent or empty URL is
 * the default. Relative paths start at the working directory. Throws an Error that names DATABASE_URL and the remedy.
 */
export async function openStore(databaseUrl?: string): Promise<Store> {
  const address = addressOf(databaseUrl?.trim() || DEFAULT_DATABASE_URL);
  return address.kind === "sqlite" ? openSqliteStore(address.path) : openPostgresStore(address.url);
}

function addressOf(url: string): DatabaseAddress {
  try {
    return parseDatabaseUrl(url);
  } catch (cause) {
    throw new Error(`DATABASE_URL ${cause instanceof Error ? cause.message : "is invalid"}`, { cause });
  }
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
