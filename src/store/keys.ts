/**
 * Keys and their secrets.
 *
 * Of a key's secrets the newest is the one that was not replaced: `rotate` gives all others an end. A change reads the
 * key's row under a lock first, so that the audit says what it really was.
 */
import type { InferResult, Kysely, Selectable, Transaction } from "kysely";
import { type Changes, describeLimits, difference, isoOrNull, writeAudit } from "./audit.ts";
import { integer, integerOrNull, list } from "./columns.ts";
import type { Database, KeysTable, Tables } from "./database.ts";
import { limitColumns, toLimits } from "./limits.ts";
import type { AuditAction, Change, FoundSecret, Key, KeySettings, KeyStore, NewKey, NewSecret } from "./store.ts";
import { toTeam } from "./teams.ts";

type FoundRow = InferResult<ReturnType<typeof selectBySecret>>[number];

/** Rows of one INSERT: PostgreSQL takes 65,535 parameters, SQLite 32,766. */
const ROWS_AT_ONCE = 500;

export function createKeys(database: Database): KeyStore {
  const { query } = database;
  // Made once: every key that is used is looked up every second, and making the SQL costs as much as running it.
  const secretQuery = selectBySecret(query, "").compile();

  /** Changes what is known of a key, and notes it; undefined without a key, and unchanged when there is nothing to do. */
  function change(
    id: string,
    by: Change,
    action: AuditAction,
    work: (transaction: Transaction<Tables>, key: Key) => Promise<Changes>,
  ): Promise<Key | undefined> {
    return database.write(async (transaction) => {
      await lock(transaction, database.kind, id);
      const key = await find(transaction, id);
      if (key === undefined) return undefined;
      const changes = await work(transaction, key);
      if (Object.keys(changes).length === 0) return key;
      await writeAudit(transaction, by, [{ action, subject: id, changes }]);
      return find(transaction, id);
    });
  }

  function setTime(
    column: "blocked_at" | "revoked_at",
    id: string,
    at: number | null,
    by: Change,
    action: AuditAction,
  ) {
    return change(id, by, action, async (transaction, key) => {
      const before = column === "blocked_at" ? key.blockedAt : key.revokedAt;
      if ((before === null) === (at === null)) return {};
      await transaction
        .updateTable("keys")
        .set({ [column]: at })
        .where("id", "=", id)
        .execute();
      return difference({ [column]: isoOrNull(before) }, { [column]: isoOrNull(at) });
    });
  }

  return {
    create: (keys, by) =>
      database.write(async (transaction) => {
        for (const some of chunks(keys, ROWS_AT_ONCE)) await insert(transaction, some, by);
        return keys.map((key) => created(key, by));
      }),
    get: (id) => find(query, id),
    list: async () => (await selectKeys(query).execute()).map(toKey),
    findByName: async (name) => (await selectKeys(query).where("keys.name", "=", name).execute()).map(toKey),
    async findBySecret(sha256) {
      const { rows } = await query.executeQuery<FoundRow>({ ...secretQuery, parameters: [sha256] });
      return rows[0] === undefined ? undefined : toFound(rows[0]);
    },
    update: (id, changes, by) =>
      change(id, by, "key.update", async (transaction, key) => {
        const next = { ...key, ...changes };
        const changed = difference(describe(key), describe(next));
        if (Object.keys(changed).length > 0) {
          await transaction.updateTable("keys").set(settingColumns(next)).where("id", "=", id).execute();
        }
        return changed;
      }),
    block: (id, by) => setTime("blocked_at", id, by.at, by, "key.block"),
    unblock: (id, by) => setTime("blocked_at", id, null, by, "key.unblock"),
    revoke: (id, by) => setTime("revoked_at", id, by.at, by, "key.revoke"),
    rotate: (id, secret, oldEndAt, by) =>
      change(id, by, "key.rotate", async (transaction, key) => {
        await transaction
          .updateTable("secrets")
          .set({ replaced_at: oldEndAt })
          .where("key_id", "=", id)
          .where((or) => or.or([or("replaced_at", "is", null), or("replaced_at", ">", BigInt(oldEndAt))]))
          .execute();
        await transaction.insertInto("secrets").values(secretColumns(id, secret)).execute();
        return {
          prefix: { from: key.prefix, to: secret.prefix },
          old_secret_ends_at: { from: null, to: isoOrNull(oldEndAt) },
        };
      }),
    async touch(id, at) {
      await query
        .updateTable("keys")
        .set({ last_used_at: at })
        .where("id", "=", id)
        .where((or) => or.or([or("last_used_at", "is", null), or("last_used_at", "<", BigInt(at))]))
        .execute();
    },
  };
}

/** Oldest first; those that were made at once by name. */
function selectKeys(query: Kysely<Tables>) {
  return query
    .selectFrom("keys")
    .innerJoin("secrets", (join) => join.onRef("secrets.key_id", "=", "keys.id").on("secrets.replaced_at", "is", null))
    .selectAll("keys")
    .select("secrets.prefix")
    .orderBy("keys.created_at")
    .orderBy("keys.name")
    .orderBy("keys.id");
}

async function find(query: Kysely<Tables>, id: string): Promise<Key | undefined> {
  const row = await selectKeys(query).where("keys.id", "=", id).executeTakeFirst();
  return row === undefined ? undefined : toKey(row);
}

/** On SQLite the transaction has locked out all other writers from its begin. */
async function lock(transaction: Transaction<Tables>, kind: Database["kind"], id: string): Promise<void> {
  if (kind === "postgres") await transaction.selectFrom("keys").select("id").where("id", "=", id).forUpdate().execute();
}

function selectBySecret(query: Kysely<Tables>, sha256: string) {
  return query
    .selectFrom("secrets as used")
    .innerJoin("keys", "keys.id", "used.key_id")
    .innerJoin("secrets as newest", (join) =>
      join.onRef("newest.key_id", "=", "keys.id").on("newest.replaced_at", "is", null),
    )
    .leftJoin("teams", "teams.name", "keys.team")
    .where("used.sha256", "=", sha256)
    .selectAll("keys")
    .select([
      "newest.prefix as prefix",
      "used.prefix as used_prefix",
      "used.replaced_at",
      "teams.name as team_name",
      "teams.note as team_note",
      "teams.rpm as team_rpm",
      "teams.tpm as team_tpm",
      "teams.parallel as team_parallel",
      "teams.budget as team_budget",
      "teams.soft_budget as team_soft_budget",
      "teams.budget_period as team_budget_period",
      "teams.created_at as team_created_at",
    ]);
}

function toFound(row: FoundRow): FoundSecret {
  const { team_name: name, team_budget_period: period, team_created_at: createdAt } = row;
  const hasTeam = name !== null && period !== null && createdAt !== null;
  return {
    key: toKey(row),
    team: hasTeam
      ? toTeam({
          name,
          note: row.team_note,
          rpm: row.team_rpm,
          tpm: row.team_tpm,
          parallel: row.team_parallel,
          budget: row.team_budget,
          soft_budget: row.team_soft_budget,
          budget_period: period,
          created_at: createdAt,
        })
      : null,
    prefix: row.used_prefix,
    replacedAt: integerOrNull(row.replaced_at),
  };
}

async function insert(transaction: Transaction<Tables>, keys: readonly NewKey[], by: Change): Promise<void> {
  const rows = keys.map(({ id, settings }) => ({
    ...settingColumns(settings),
    id,
    created_at: by.at,
    created_by: by.by,
  }));
  await transaction.insertInto("keys").values(rows).execute();
  await transaction
    .insertInto("secrets")
    .values(keys.map(({ id, secret }) => secretColumns(id, secret)))
    .execute();
  const entries = keys.map(({ id, settings, secret }) => ({
    action: "key.create" as const,
    subject: id,
    changes: difference({}, { ...describe(settings), prefix: secret.prefix }),
  }));
  await writeAudit(transaction, by, entries);
}

function created({ id, settings, secret }: NewKey, { at, by }: Change): Key {
  return {
    id,
    ...settings,
    prefix: secret.prefix,
    blockedAt: null,
    createdAt: at,
    createdBy: by,
    revokedAt: null,
    lastUsedAt: null,
  };
}

function toKey(row: Selectable<KeysTable> & { readonly prefix: string }): Key {
  return {
    id: row.id,
    name: row.name,
    owner: row.owner,
    team: row.team,
    tags: list(row.tags),
    note: row.note,
    prefix: row.prefix,
    models: list(row.models),
    ...toLimits(row),
    expiresAt: integerOrNull(row.expires_at),
    blockedAt: integerOrNull(row.blocked_at),
    createdAt: integer(row.created_at),
    createdBy: row.created_by,
    revokedAt: integerOrNull(row.revoked_at),
    lastUsedAt: integerOrNull(row.last_used_at),
  };
}

function settingColumns(settings: KeySettings) {
  return {
    name: settings.name,
    owner: settings.owner,
    team: settings.team,
    tags: JSON.stringify(settings.tags),
    note: settings.note,
    models: JSON.stringify(settings.models),
    ...limitColumns(settings),
    expires_at: settings.expiresAt,
  };
}

function secretColumns(id: string, { sha256, prefix, createdAt }: NewSecret) {
  return { sha256, key_id: id, prefix, created_at: createdAt };
}

function describe(settings: KeySettings) {
  const { name, owner, team, tags, note, models, expiresAt } = settings;
  return { name, owner, team, tags, note, models, ...describeLimits(settings), expires_at: isoOrNull(expiresAt) };
}

function* chunks<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}
