/** The gateway processes that share the database, each with its last sign of life. */
import { integer } from "./columns.ts";
import type { Database } from "./database.ts";
import type { InstanceStore } from "./store.ts";

export function createInstances({ query }: Database): InstanceStore {
  return {
    async seen({ id, host, pid, startedAt, seenAt }) {
      await query
        .insertInto("instances")
        .values({ id, host, pid, started_at: startedAt, seen_at: seenAt })
        .onConflict((conflict) => conflict.column("id").doUpdateSet({ seen_at: seenAt }))
        .execute();
    },
    async list() {
      const rows = await query.selectFrom("instances").selectAll().orderBy("started_at").orderBy("id").execute();
      return rows.map((row) => ({
        id: row.id,
        host: row.host,
        pid: integer(row.pid),
        startedAt: integer(row.started_at),
        seenAt: integer(row.seen_at),
      }));
    },
    async remove(id) {
      await query.deleteFrom("instances").where("id", "=", id).execute();
    },
  };
}
