/**
 * A database on a PostgreSQL server, by `pg`.
 *
 * The URL is libpq's, with the parameters that `pg` knows and libpq's meaning of `sslmode`; several hosts in one URL are not
 * among them. Settings that it leaves out come from the usual PG… variables.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Kysely } from "kysely";
import pg from "pg";
import type { Database, Tables } from "./database.ts";
import { begin } from "./drain.ts";
import { postgresDialect } from "./postgres-dialect.ts";
import { isDeadlock, isStarting, reasonOf, sqlState } from "./postgres-errors.ts";
import { migratePostgres } from "./postgres-migrate.ts";

/** Short statements; what waits longer for a free connection than for a new one fails. */
const CONNECTIONS = 10;
const STATEMENT_MS = 10_000;
const REPORT_CONNECTIONS = 2;
const REPORT_MS = 60_000;
const CONNECT_MS = 5000;
const KEEP_ALIVE_MS = 10_000;
/** How long starting waits for a server that is just starting too. */
const START_MS = 10_000;
const MAX_DEADLOCKS = 3;

/** Types whose values are whole numbers: int8, int2, int4, and numeric, which a sum of int8 is. */
const INTEGER_TYPES: readonly number[] = [20, 21, 23, 1700];

/** Opens the database and migrates it. Throws an Error with the reason and the remedy, never with the password. */
export async function openPostgres(url: string): Promise<Database> {
  const config = clientConfig(url);
  try {
    await migrate(config);
  } catch (error) {
    throw new Error(withoutPassword(url, `${reasonOf(error)}${remedyFor(error)}`), { cause: error });
  }
  const query = new Kysely<Tables>({
    dialect: postgresDialect({ config, connections: CONNECTIONS, statementMs: STATEMENT_MS }),
  });
  await begin(query);
  const reports = new Kysely<Tables>({
    dialect: postgresDialect({ config, connections: REPORT_CONNECTIONS, statementMs: REPORT_MS }),
  });
  return {
    kind: "postgres",
    query,
    reports,
    async write(work) {
      for (let deadlocks = 1; ; deadlocks++) {
        try {
          return await query.transaction().execute(work);
        } catch (error) {
          if (!isDeadlock(error) || deadlocks >= MAX_DEADLOCKS) throw error;
        }
      }
    },
    async close() {
      await Promise.all([query.destroy(), reports.destroy()]);
    },
  };
}

function clientConfig(url: string): pg.ClientConfig {
  if (/^\w+:\/\/([^/?#]*@)?[^/?#]*,/.test(url) || /[?&]host=[^&]*(,|%2c)/i.test(url)) {
    throw new Error("the URL names several hosts; give one name that always leads to the primary server");
  }
  const timeout = /[?&]connect_timeout=([1-9]\d{0,3})(&|$)/.exec(url)?.[1];
  return {
    connectionString: withLibpqTls(url),
    fallback_application_name: "bedrock-gateway",
    connectionTimeoutMillis: timeout === undefined ? CONNECT_MS : Number(timeout) * 1000,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    types: { getTypeParser },
  };
}

/** By itself `pg` would take `sslmode=require` for `verify-full`, which libpq does not. */
function withLibpqTls(url: string): string {
  return /[?&]sslmode=/.test(url) && !/[?&]uselibpqcompat=/.test(url) ? `${url}&uselibpqcompat=true` : url;
}

/** For these connections alone: the library's own table is the process's. */
const getTypeParser: pg.CustomTypesConfig["getTypeParser"] = (oid, format) => {
  if (INTEGER_TYPES.includes(oid) && format !== "binary") return toBigInt;
  return pg.types.getTypeParser(oid, format);
};

/** A numeric may have a fraction: that stays text, as the library has it. */
function toBigInt(text: string): bigint | string {
  return /^-?\d+$/.test(text) ? BigInt(text) : text;
}

/** On a connection of its own: a step may take longer than statements otherwise may. */
async function migrate(config: pg.ClientConfig): Promise<void> {
  const deadline = performance.now() + START_MS;
  for (;;) {
    const client = new pg.Client(config);
    client.on("error", () => {});
    try {
      await client.connect();
      await migratePostgres(client);
      return;
    } catch (error) {
      if (!isStarting(error) || performance.now() > deadline) throw error;
    } finally {
      await client.end().catch(() => {});
    }
    await sleep(250);
  }
}

function remedyFor(error: unknown): string {
  const state = sqlState(error) ?? "";
  if (state.startsWith("28")) return "; check the user and the password";
  if (state === "3D000") return "; create the database first";
  if (state === "42501") return "; let the user create tables there (GRANT CREATE ON SCHEMA …)";
  if (state === "25006") return "; give the address of the primary server";
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ERR_INVALID_URL") return "; special characters in the user and the password must be percent-encoded";
  if (error instanceof Error && "syscall" in error) return "; check the host and the port, and that the server runs";
  return "";
}

function withoutPassword(url: string, text: string): string {
  const password = /^\w+:\/\/[^/?#]*?:([^/?#]*)@/.exec(url)?.[1] ?? "";
  const parameter = /[?&]password=([^&]*)/.exec(url)?.[1] ?? "";
  const spellings = [password, parameter].flatMap((given) => [given, decoded(given)]).filter((given) => given !== "");
  return spellings.reduce((message, given) => message.replaceAll(given, "***"), text);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
