/** Teams that have limits or a note. */
import type { Selectable, Transaction } from "kysely";
import { describeLimits, difference, writeAudit } from "./audit.ts";
import { integer } from "./columns.ts";
import type { Database, Tables, TeamsTable } from "./database.ts";
import { limitColumns, toLimits } from "./limits.ts";
import { NO_LIMITS, StoreConflict, type Team, type TeamSettings, type TeamStore } from "./store.ts";

export function createTeams(database: Database): TeamStore {
  const { query } = database;

  return {
    async get(name) {
      const row = await query.selectFrom("teams").selectAll().where("name", "=", name).executeTakeFirst();
      return row === undefined ? undefined : toTeam(row);
    },
    async list() {
      const rows = await query.selectFrom("teams").selectAll().orderBy("name").execute();
      return rows.map(toTeam);
    },
    set: (name, changes, change) =>
      database.write(async (transaction) => {
        // Made before it is read: of two that make it at once one waits here.
        const made = await transaction
          .insertInto("teams")
          .values({ name, note: null, ...limitColumns(NO_LIMITS), created_at: change.at })
          .onConflict((conflict) => conflict.column("name").doNothing())
          .returning("name")
          .execute();
        const team = await lock(transaction, database.kind, name);
        const next = { ...team, ...changes };
        const changed = difference(made.length > 0 ? {} : describe(team), describe(next));
        if (Object.keys(changed).length === 0) return team;
        await transaction
          .updateTable("teams")
          .set({ note: next.note, ...limitColumns(next) })
          .where("name", "=", name)
          .execute();
        await writeAudit(transaction, change, [{ action: "team.set", subject: name, changes: changed }]);
        return next;
      }),
    remove: (name, change) =>
      database.write(async (transaction) => {
        const [row] = await transaction.deleteFrom("teams").where("name", "=", name).returningAll().execute();
        if (row === undefined) return false;
        const changes = difference(describe(toTeam(row)), {});
        await writeAudit(transaction, change, [{ action: "team.remove", subject: name, changes }]);
        return true;
      }),
  };
}

export function toTeam(row: Selectable<TeamsTable>): Team {
  return { name: row.name, note: row.note, ...toLimits(row), createdAt: integer(row.created_at) };
}

/** On SQLite the transaction has locked out all other writers from its begin. */
async function lock(transaction: Transaction<Tables>, kind: Database["kind"], name: string): Promise<Team> {
  const row = await transaction
    .selectFrom("teams")
    .selectAll()
    .where("name", "=", name)
    .$if(kind === "postgres", (select) => select.forUpdate())
    .executeTakeFirst();
  if (row === undefined) throw new StoreConflict(`team ${name} was removed at the same time: try again`);
  return toTeam(row);
}

function describe(settings: TeamSettings) {
  return { note: settings.note, ...describeLimits(settings) };
}
