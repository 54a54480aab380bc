/** Keys and their secrets in SQLite. */
import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { integer, integerOrNull, type Row, text, textOrNull } from "./sqlite-row.ts";
import type { FoundSecret, Key, KeyStore } from "./store.ts";
import type { WriteQueue } from "./write-queue.ts";

// The newest secret is the one to show; several of one millisecond are told apart by their row.
const KEY = `
  SELECT k.*, (
    SELECT s.prefix FROM secrets s WHERE s.key_id = k.id ORDER BY s.created_at DESC, s.rowid DESC LIMIT 1
  ) AS prefix
  FROM keys k`;

export function createSqliteKeys(db: DatabaseSync, writes: WriteQueue): KeyStore {
  const selectOne = db.prepare(`${KEY} WHERE k.id = ?`);
  const selectAll = db.prepare(`${KEY} ORDER BY k.created_at, k.rowid`);
  const selectByName = db.prepare(`${KEY} WHERE k.name = ? ORDER BY k.created_at, k.rowid`);
  const selectSecret = db.prepare("SELECT key_id, prefix, replaced_at FROM secrets WHERE sha256 = ?");
  const insertKey = db.prepare(
    "INSERT INTO keys (id, name, team, models, rpm, expires_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
  );
  const insertSecret = db.prepare("INSERT INTO secrets (sha256, key_id, prefix, created_at) VALUES (?, ?, ?, ?)");
  const updateKey = db.prepare("UPDATE keys SET name = ?, team = ?, models = ?, rpm = ?, expires_at = ? WHERE id = ?");
  const revokeKey = db.prepare("UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL");
  const endSecrets = db.prepare(
    "UPDATE secrets SET replaced_at = min(coalesce(replaced_at, ?1), ?1) WHERE key_id = ?2",
  );
  const touchKey = db.prepare("UPDATE keys SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE id = ?");

  const find = (id: string): Key | undefined => keyOrNone(selectOne.get(id));

  return {
    create: (key, secret) =>
      writes.run(() => {
        const models = JSON.stringify(key.models);
        insertKey.run(key.id, key.name, key.team, models, key.rpm, key.expiresAt, key.createdAt);
        insertSecret.run(secret.sha256, key.id, secret.prefix, secret.createdAt);
        return existing(find(key.id));
      }),
    get: async (id) => find(id),
    list: async () => selectAll.all().map(toKey),
    findByName: async (name) => selectByName.all(name).map(toKey),
    async findBySecret(sha256): Promise<FoundSecret | undefined> {
      const row = selectSecret.get(sha256);
      if (row === undefined) return undefined;
      return {
        key: existing(find(text(row, "key_id"))),
        prefix: text(row, "prefix"),
        replacedAt: integerOrNull(row, "replaced_at"),
      };
    },
    update: (id, changes) =>
      writes.run(() => {
        const key = find(id);
        if (key === undefined) return undefined;
        const next = { ...key, ...changes };
        updateKey.run(next.name, next.team, JSON.stringify(next.models), next.rpm, next.expiresAt, id);
        return next;
      }),
    revoke: (id, at) =>
      writes.run(() => {
        revokeKey.run(at, id);
        return find(id);
      }),
    rotate: (id, secret, oldEndAt) =>
      writes.run(() => {
        if (find(id) === undefined) return undefined;
        endSecrets.run(oldEndAt, id);
        insertSecret.run(secret.sha256, id, secret.prefix, secret.createdAt);
        return find(id);
      }),
    async touch(id, at) {
      await writes.run(() => touchKey.run(at, id));
    },
  };
}

function keyOrNone(row: Record<string, SQLOutputValue> | undefined): Key | undefined {
  return row === undefined ? undefined : toKey(row);
}

function toKey(row: Row): Key {
  return {
    id: text(row, "id"),
    name: text(row, "name"),
    team: textOrNull(row, "team"),
    prefix: text(row, "prefix"),
    models: toModels(text(row, "models")),
    rpm: integerOrNull(row, "rpm"),
    expiresAt: integerOrNull(row, "expires_at"),
    createdAt: integer(row, "created_at"),
    revokedAt: integerOrNull(row, "revoked_at"),
    lastUsedAt: integerOrNull(row, "last_used_at"),
  };
}

function toModels(json: string): string[] {
  const models: unknown = JSON.parse(json);
  // An allow-list that cannot be read must not become "all models".
  if (!Array.isArray(models)) throw new Error("the models column does not hold a JSON array");
  return models.map(String);
}

function existing(key: Key | undefined): Key {
  if (key === undefined) throw new Error("a key has vanished from the database");
  return key;
}
