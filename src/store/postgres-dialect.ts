/**
 * Kysely over `pg`, with connections that survive a restart and a failover of the server.
 *
 * A connection that was lost, or whose server has become a standby, is dropped, and with it all that were made before:
 * they lead to the same server. A read outside of transactions and the begin of a transaction that meet a lost connection
 * are run once more on a new one; nothing else is, as nobody knows whether the server has done it.
 */
import {
  type DatabaseConnection,
  type Dialect,
  type Driver,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from "kysely";
import pg from "pg";
import { draining } from "./drain.ts";
import { isLost, postgresError } from "./postgres-errors.ts";
import { StoreUnavailable } from "./store.ts";

export interface PostgresOptions {
  readonly config: pg.ClientConfig;
  /** Connections at once. */
  readonly connections: number;
  /** How long a statement may take, and how long a transaction may wait for us. */
  readonly statementMs: number;
}

/** How much longer than the server we wait ourselves: for one that is silent. */
const SILENCE_MS = 5000;
const IDLE_MS = 60_000;

interface Connection extends DatabaseConnection {
  /** The same with a statement that does no harm when it runs twice. */
  repeatable(sql: string): Promise<void>;
  execute(sql: string): Promise<void>;
  /** Whether the server has forgotten it, and what it had begun. */
  readonly isLost: boolean;
  release(): void;
}

export function postgresDialect(options: PostgresOptions): Dialect {
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => draining(createDriver(options)),
    createIntrospector: (kysely) => new PostgresIntrospector(kysely),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  };
}

function createDriver(options: PostgresOptions): Driver {
  const clients = createClients(options);
  const connections = new WeakMap<DatabaseConnection, Connection>();

  function ours(connection: DatabaseConnection): Connection {
    const known = connections.get(connection);
    if (known === undefined) throw new Error("the connection is of another driver");
    return known;
  }

  return {
    init: async () => {},
    async acquireConnection() {
      const connection = await connect(clients);
      connections.set(connection, connection);
      return connection;
    },
    beginTransaction: (connection) => ours(connection).repeatable("BEGIN"),
    commitTransaction: (connection) => ours(connection).execute("COMMIT"),
    async rollbackTransaction(connection) {
      if (!ours(connection).isLost) await ours(connection).execute("ROLLBACK");
    },
    releaseConnection: async (connection) => ours(connection).release(),
    destroy: () => clients.end(),
  };
}

async function connect(clients: Clients): Promise<Connection> {
  let client = await clients.take();
  let lost: Error | undefined;
  let isInTransaction = false;

  async function run(sql: string, parameters: readonly unknown[] = []): Promise<pg.QueryResult> {
    try {
      return await client.query(sql, [...parameters]);
    } catch (error) {
      if (isLost(error)) {
        lost = error instanceof Error ? error : new Error(String(error));
        clients.outdate(client);
      }
      throw postgresError(error);
    }
  }

  async function runTwice(sql: string, parameters: readonly unknown[] = []): Promise<pg.QueryResult> {
    try {
      return await run(sql, parameters);
    } catch (error) {
      if (lost === undefined) throw error;
    }
    const fresh = await clients.take();
    client.release(lost);
    client = fresh;
    lost = undefined;
    return run(sql, parameters);
  }

  return {
    async executeQuery({ sql, parameters }) {
      const mayRepeat = !isInTransaction && /^select\b/i.test(sql);
      const { command, rows, rowCount } = await (mayRepeat ? runTwice : run)(sql, parameters);
      return command === "SELECT" ? { rows } : { rows, numAffectedRows: BigInt(rowCount ?? 0) };
    },
    streamQuery() {
      throw new Error("rows are not streamed: read pages");
    },
    async repeatable(sql) {
      await runTwice(sql);
      isInTransaction = true;
    },
    async execute(sql) {
      isInTransaction = false;
      await run(sql);
    },
    get isLost() {
      return lost !== undefined;
    },
    release: () => client.release(lost),
  };
}

interface Clients {
  take(): Promise<pg.PoolClient>;
  /** Its server is gone, and so are all others that were connected when it was. */
  outdate(client: pg.PoolClient): void;
  end(): Promise<void>;
}

function createClients({ config, connections, statementMs }: PostgresOptions): Clients {
  const generations = new WeakMap<pg.ClientBase, number>();
  let generation = 0;
  const pool = new pg.Pool({
    ...config,
    max: connections,
    idleTimeoutMillis: IDLE_MS,
    query_timeout: statementMs + SILENCE_MS,
    async onConnect(client) {
      generations.set(client, generation);
      // Without a listener a connection that is lost between two statements of a transaction would end the process.
      client.on("error", () => {});
      await prepareSession(client, statementMs);
    },
  });
  // And so would one that is lost while nobody uses it.
  pool.on("error", () => {});

  return {
    async take() {
      try {
        for (;;) {
          const client = await pool.connect();
          if (generations.get(client) === generation) return client;
          client.release(true);
        }
      } catch (error) {
        throw postgresError(error);
      }
    },
    outdate(client) {
      if (generations.get(client) === generation) generation++;
    },
    end: () => pool.end(),
  };
}

/** By a statement, as poolers between us and the server refuse settings in the start-up packet. */
async function prepareSession(client: pg.ClientBase, statementMs: number): Promise<void> {
  const { rows } = await client.query(
    `SELECT set_config('statement_timeout', $1, false), set_config('idle_in_transaction_session_timeout', $1, false),
       pg_is_in_recovery() AS standby`,
    [String(statementMs)],
  );
  if (rows[0]?.standby === true) {
    throw new StoreUnavailable("PostgreSQL can't be used: the server is a standby, which can't be written to");
  }
}
