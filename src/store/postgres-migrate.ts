/**
 * Takes a PostgreSQL database through the steps of migrations.ts.
 *
 * A table with one row holds how many it has taken, in the first schema of the search path, where all our tables are. All
 * missing steps run in one transaction under a lock, so several gateways may start at once.
 */
import type pg from "pg";
import { APPLICATION_ID, assertKnown, MIGRATIONS, postgresStep, tablesOf } from "./migrations.ts";

export async function migratePostgres(
  client: pg.ClientBase,
  migrations: readonly string[] = MIGRATIONS,
): Promise<void> {
  await client.query("BEGIN");
  try {
    await client.query("SELECT pg_advisory_xact_lock($1)", [APPLICATION_ID]);
    const version = await versionOf(client, migrations);
    assertKnown(version, migrations.length);
    for (const step of migrations.slice(version)) await client.query(postgresStep(step));
    if (version < migrations.length) await client.query("UPDATE gateway_schema SET version = $1", [migrations.length]);
    await client.query("COMMIT");
  } catch (error) {
    // A connection that is lost has nothing to roll back, and the first error is the one to tell.
    await client.query("ROLLBACK").catch(() => {});
    throw error;
  }
}

/** How many steps were taken; makes the table that says so. */
async function versionOf(client: pg.ClientBase, migrations: readonly string[]): Promise<number> {
  const names = ["gateway_schema", ...tablesOf(migrations)];
  const { rows } = await client.query(
    "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = ANY ($1)",
    [names],
  );
  const found = rows.map(({ table_name }) => String(table_name));
  if (found.includes("gateway_schema")) {
    const { rows } = await client.query("SELECT version FROM gateway_schema");
    return Number(rows[0]?.version);
  }
  if (found.length > 0) {
    throw new Error(
      `the schema has tables of another program (${found.sort().join(", ")}); choose another database, or another ` +
        "schema by ?options=-csearch_path%3DNAME",
    );
  }
  await client.query("CREATE TABLE gateway_schema (version BIGINT NOT NULL); INSERT INTO gateway_schema VALUES (0)");
  return 0;
}
