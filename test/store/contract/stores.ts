/** Runs the same tests on each database that a store may be in, every test on a fresh one. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext } from "node:test";
import { openStore } from "../../../src/store/open.ts";
import type { Change, KeySettings, NewKey, Store } from "../../../src/store/store.ts";
import { postgresMissing, sharedPostgres } from "../../servers/postgres.ts";

export interface Stores {
  readonly kind: "sqlite" | "postgres";
  /** The DATABASE_URL of a fresh database. */
  createDatabase(t: TestContext): Promise<string>;
  /** Opens a store, of a fresh database or the given one, and closes it after the test. */
  open(t: TestContext, url?: string): Promise<Store>;
}

export function describeStores(name: string, tests: (stores: Stores) => void): void {
  const missing = postgresMissing();
  describe(`${name} in SQLite`, () => tests(storesOf("sqlite", sqliteFile)));
  describe(`${name} in PostgreSQL`, missing === undefined ? {} : { skip: missing }, () =>
    tests(storesOf("postgres", async () => (await sharedPostgres()).createDatabase())),
  );
}

function storesOf(kind: Stores["kind"], createDatabase: Stores["createDatabase"]): Stores {
  return {
    kind,
    createDatabase,
    async open(t, url) {
      const store = await openStore(url ?? (await createDatabase(t)));
      t.after(() => store.close());
      return store;
    },
  };
}

async function sqliteFile(t: TestContext): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), "gateway-store-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return `sqlite:${join(dir, "gateway.db")}`;
}

export const NO_SETTINGS: Omit<KeySettings, "name"> = {
  owner: null,
  team: null,
  tags: [],
  note: null,
  models: [],
  expiresAt: null,
  rpm: null,
  tpm: null,
  parallel: null,
  budget: null,
  softBudget: null,
  budgetPeriod: "month",
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
