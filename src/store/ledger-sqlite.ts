/**
 * The ledger's statements in SQLite: prepared once, run row by row inside the write queue's transaction, which has locked
 * out every other writer.
 */
import type { DatabaseSync } from "node:sqlite";
import { justClosed, spendOf, storedRow } from "./calls-row.ts";
import {
  finishNow,
  type LedgerOperation,
  type LedgerTables,
  rounds,
  type Settlement,
  settleRound,
} from "./ledger-batch.ts";
import {
  AMENDMENT,
  amended,
  CLOSING,
  type Columns,
  HOUR,
  namesOf,
  ON_HOUR_CONFLICT,
  ON_SPEND_CONFLICT,
  OPENING,
  SPEND,
} from "./ledger-columns.ts";
import { type LedgerQueue, MAX_WAITING, refuse, runBatch } from "./ledger-queue.ts";
import type { Spend } from "./spend.ts";
import type { SqliteDatabase } from "./sqlite.ts";

function sqliteLedgerTables(db: DatabaseSync): LedgerTables {
  const insert = db.prepare(`${insertion("calls", OPENING)} ON CONFLICT (id) DO NOTHING`);
  const closing = namesOf(CLOSING)
    .slice(0, -1)
    .map((name) => `${name} = ?`);
  const close = db.prepare(
    `UPDATE calls SET ${closing.join(", ")} WHERE id = ? AND status IS NULL
     RETURNING id, call_id, key_id, team, model_invoked, started_at, reserved`,
  );
  const replace = db.prepare(`UPDATE calls SET ${closing.join(", ")} WHERE id = ?`);
  const amending = namesOf(AMENDMENT)
    .slice(0, -1)
    .map((name) => amended(name, "?"));
  const amend = db.prepare(`UPDATE calls SET ${amending.join(", ")} WHERE id = ?`);
  const one = db.prepare("SELECT * FROM calls WHERE id = ?");
  const attempts = db.prepare("SELECT * FROM calls WHERE call_id = ?");
  const spend = db.prepare("SELECT * FROM spend WHERE subject = ?");
  const addSpend = db.prepare(`${insertion("spend", SPEND)} ${ON_SPEND_CONFLICT}`);
  const addHour = db.prepare(`${insertion("usage_hours", HOUR)} ${ON_HOUR_CONFLICT}`);
  for (const statement of [close, one, attempts, spend]) statement.setReadBigInts(true);

  return {
    closeRows: (closings) => closings.flatMap((closing) => close.all(...CLOSING.values(closing)).map(justClosed)),
    replaceClosings(closings) {
      for (const closing of closings) replace.run(...CLOSING.values(closing));
    },
    amendRows(amendments) {
      for (const amendment of amendments) amend.run(...AMENDMENT.values(amendment));
    },
    readRows: (ids) => ids.flatMap((id) => one.all(id).map(storedRow)),
    readFamilies: (roots) => roots.flatMap((root) => [...one.all(root), ...attempts.all(root)].map(storedRow)),
    insertRows: (rows) =>
      rows.filter((row) => insert.run(...OPENING.values(row)).changes === 0).map(({ call }) => call.id),
    lockSpend(subjects) {
      const found = new Map<string, Spend>();
      for (const subject of subjects) {
        const row = spend.get(subject);
        if (row !== undefined) found.set(subject, spendOf(row));
      }
      return found;
    },
    addSums(spend, hours) {
      for (const increment of spend) addSpend.run(...SPEND.values(increment));
      for (const increment of hours) addHour.run(...HOUR.values(increment));
    },
  };
}

/** Batches in the write queue, with whatever else is written in the same turn. */
export function sqliteLedger({ connection, writes }: Pick<SqliteDatabase, "connection" | "writes">): LedgerQueue {
  const tables = sqliteLedgerTables(connection);
  const running = new Set<Promise<void>>();
  let gathered: LedgerOperation[] | undefined;

  function write(operations: readonly LedgerOperation[]): Promise<Settlement[]> {
    return writes.run(() => {
      // From here on the batch is what it is; the queue may run it a second time.
      if (operations === gathered) gathered = undefined;
      return rounds(operations).flatMap((round) => finishNow(settleRound(round, tables)));
    });
  }

  return {
    add(operation) {
      if (gathered === undefined) {
        gathered = [operation];
        const batch = runBatch(gathered, write).finally(() => running.delete(batch));
        running.add(batch);
      } else if (gathered.length < MAX_WAITING) gathered.push(operation);
      else refuse(operation);
    },
    async drained() {
      while (running.size > 0) await Promise.all(running);
    },
  };
}

function insertion<T>(table: string, columns: Columns<T>): string {
  const names = namesOf(columns);
  return `INSERT INTO ${table} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`;
}
