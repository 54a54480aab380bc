/** Runs the same tests on each database that a store may be in, every test on a fresh one. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, type TestContext } from "node:test";
import pg from "pg";
import { migrate } from "../../../src/store/migrations.ts";
import { openStore } from "../../../src/store/open.ts";
import { migratePostgres } from "../../../src/store/postgres-migrate.ts";
import { type Change, type KeySettings, type NewKey, NO_LIMITS, type Store } from "../../../src/store/store.ts";
import { postgresMissing, sharedPostgres } from "../../servers/postgres.ts";

export interface Stores {
  readonly kind: "sqlite" | "postgres";
  /** The DATABASE_URL of a fresh database. */
  createDatabase(t: TestContext): Promise<string>;
  /** Makes such a database, empty but for the schema's first `steps`. */
  createOlder(t: TestContext, steps: readonly string[]): Promise<string>;
  /** Runs SQL on a database behind the store's back. */
  run(url: string, sql: string): Promise<void>;
  /** Opens a store, of a fresh database or the given one, and closes it after the test. */
  open(t: TestContext, url?: string): Promise<Store>;
}

export function describeStores(name: string, tests: (stores: Stores) => void): void {
  const missing = postgresMissing();
  describe(`${name} in SQLite`, () => tests(withOpen(sqlite)));
  describe(`${name} in PostgreSQL`, missing === undefined ? {} : { skip: missing }, () => tests(withOpen(postgres)));
}

function withOpen(databases: Omit<Stores, "open">): Stores {
  return {
    ...databases,
    async open(t, url) {
      const store = await openStore(url ?? (await databases.createDatabase(t)));
      t.after(() => store.close());
      return store;
    },
  };
}

const sqlite: Omit<Stores, "open"> = {
  kind: "sqlite",
  async createDatabase(t) {
    const dir = mkdtempSync(join(tmpdir(), "gateway-store-"));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    return `sqlite:${join(dir, "gateway.db")}`;
  },
  async createOlder(t, steps) {
    const url = await sqlite.createDatabase(t);
    withFile(url, (db) => migrate(db, steps));
    return url;
  },
  run: async (url, sql) => withFile(url, (db) => db.exec(sql)),
};

const postgres: Omit<Stores, "open"> = {
  kind: "postgres",
  createDatabase: async () => (await sharedPostgres()).createDatabase(),
  async createOlder(t, steps) {
    const url = await postgres.createDatabase(t);
    await withClient(url, (client) => migratePostgres(client, steps));
    return url;
  },
  run: async (url, sql) => withClient(url, (client) => client.query(sql)),
};

function withFile(url: string, work: (db: DatabaseSync) => void): void {
  const db = new DatabaseSync(url.slice("sqlite:".length));
  try {
    work(db);
  } finally {
    db.close();
  }
}

async function withClient(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

export const NO_SETTINGS: Omit<KeySettings, "name"> = {
  owner: null,
  team: null,
  tags: [],
  note: null,
  models: [],
  expiresAt: null,
  ...NO_LIMITS,
};

/** `key_N` with the secret `N`, as 64 digits. */
export function newKey(n: number, settings: Partial<KeySettings> = {}): NewKey {
  return {
    id: `key_${n}`,
    settings: { ...NO_SETTINGS, name: `name ${n}`, ...settings },
    secret: { sha256: sha256Of(n), prefix: `sk-${n}`, createdAt: 1000 },
  };
}

export function sha256Of(n: number): string {
  return String(n).padStart(64, "0");
}

export function changeAt(at: number): Change {
  return { at, by: "cli:test" };
}
