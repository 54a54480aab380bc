/**
 * The admin port as it is, over a SQLite store of its own, for tests of the page.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKeys, type Keys, sha256Hex } from "../../../src/access/keys.ts";
import { createTeams, type Teams } from "../../../src/access/teams.ts";
import { createAdminApp } from "../../../src/admin/app.ts";
import { usagePage } from "../../../src/admin/page/index.ts";
import { type AdminServer, startAdminServer } from "../../../src/admin/server.ts";
import { openStore } from "../../../src/store/open.ts";
import type { Store } from "../../../src/store/store.ts";

export const ADMIN_TOKEN = "admin-token-of-the-tests";

export interface AdminPort {
  readonly url: string;
  readonly store: Store;
  readonly keys: Keys;
  readonly teams: Teams;
  /** What the API answers to who has the token. */
  get(path: string): Promise<unknown>;
  /** From now on nobody listens. */
  stop(): Promise<void>;
  /** Again, at the same place. */
  listen(): Promise<void>;
  close(): Promise<void>;
}

export async function startAdminPort(): Promise<AdminPort> {
  const folder = mkdtempSync(join(tmpdir(), "gateway-page-"));
  const store = await openStore(`sqlite:${join(folder, "gateway.db")}`);
  const keys = createKeys(store, { now: Date.now, randomBytes, by: "admin" });
  const teams = createTeams(store, { now: Date.now, by: "admin" });
  const app = createAdminApp({
    store,
    keys,
    teams,
    tokenSha256: sha256Hex(ADMIN_TOKEN),
    now: Date.now,
    randomBytes,
    notReady: () => undefined,
    page: usagePage(),
    log: { info: () => {}, warn: () => {}, error: () => {} },
  });
  const first = await startAdminServer({ host: "127.0.0.1", port: 0, app });
  const url = `http://127.0.0.1:${first.port}`;
  let server: AdminServer | undefined = first;

  async function stop(): Promise<void> {
    await server?.close();
    server = undefined;
  }

  return {
    url,
    store,
    keys,
    teams,
    async get(path) {
      const answer = await fetch(`${url}/api${path}`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
      return answer.json();
    },
    stop,
    async listen() {
      server = await startAdminServer({ host: "127.0.0.1", port: first.port, app });
    },
    async close() {
      await stop();
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
