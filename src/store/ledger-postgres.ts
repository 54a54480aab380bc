/**
 * The ledger's statements in PostgreSQL: each takes a whole batch as one array a column, so that a batch costs a handful of
 * round trips however many calls are in it.
 *
 * One batch is under way at a time; what is asked for meanwhile gathers into the next. Spending is decided on rows that are
 * locked until the commit, so several gateways decide one after the other. A batch that meets a lost connection is tried
 * again, also where nobody knows whether it was committed: that does no harm (ledger-batch.ts).
 */
import { setTimeout as sleep } from "node:timers/promises";
import { CompiledQuery, type Kysely } from "kysely";
import { justClosed, type LedgerColumns, spendOf, storedRow, text } from "./calls-row.ts";
import type { Database, Tables } from "./database.ts";
import {
  finishLater,
  type LedgerOperation,
  type LedgerTables,
  onlyInserts,
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
import { StoreUnavailable } from "./store.ts";

/** Operations in one transaction. */
const MAX_BATCH = 500;
/** How long a batch is tried again when the server can't be used, and how long it may take in all: callers wait for it. */
const RETRY_FOR_MS = 2000;
const RETRY_MS = 100;
const TIMEOUT_MS = 4500;

export function postgresLedger(database: Database): LedgerQueue {
  const waiting: LedgerOperation[] = [];
  let isRunning = false;
  const onDrained: (() => void)[] = [];

  function write(operations: readonly LedgerOperation[]): Promise<Settlement[]> {
    if (onlyInserts(operations)) return finishLater(settleRound(operations, postgresLedgerTables(database.query)));
    return database.write((transaction) => finishLater(settleRound(operations, postgresLedgerTables(transaction))));
  }

  async function persist(operations: readonly LedgerOperation[]): Promise<Settlement[]> {
    const begun = performance.now();
    for (;;) {
      const left = TIMEOUT_MS - (performance.now() - begun);
      try {
        return await inTime(write(operations), left);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        if (performance.now() - begun > RETRY_FOR_MS) {
          // Those that came meanwhile have waited as long, and have no better chance.
          for (const { reject } of waiting.splice(0)) reject(error);
          throw error;
        }
      }
      await sleep(RETRY_MS);
    }
  }

  async function work(): Promise<void> {
    while (waiting.length > 0) {
      // A transaction each: the rows of totals that one has locked come after those that the next would lock.
      for (const round of rounds(waiting.splice(0, MAX_BATCH))) await runBatch(round, persist);
    }
    isRunning = false;
    for (const resolve of onDrained.splice(0)) resolve();
  }

  return {
    add(operation) {
      if (waiting.length >= MAX_WAITING) {
        refuse(operation);
        return;
      }
      waiting.push(operation);
      if (isRunning) return;
      isRunning = true;
      // What else this turn of the event loop asks for goes with it.
      setImmediate(work);
    },
    drained: async () => {
      if (isRunning) await new Promise<void>((resolve) => onDrained.push(resolve));
    },
  };
}

/** A server that has gone silent would hold its callers for as long as a statement may take. */
async function inTime<T>(work: Promise<T>, ms: number): Promise<T> {
  const timer = new AbortController();
  const tooLate = sleep(ms, undefined, { signal: timer.signal }).then(() => {
    throw new StoreUnavailable("PostgreSQL can't be used: it does not answer in time");
  });
  try {
    return await Promise.race([work, tooLate]);
  } finally {
    timer.abort();
    for (const loser of [work, tooLate]) loser.catch(() => {});
  }
}

const INSERT_CALLS = `${insertion("calls", OPENING)} ON CONFLICT (id) DO NOTHING RETURNING id`;
const CLOSING_VALUES = namesOf(CLOSING)
  .slice(0, -1)
  .map((name) => `${name} = given.${name}`)
  .join(", ");
const REPLACE_CLOSINGS = `UPDATE calls SET ${CLOSING_VALUES} FROM ${given(CLOSING)} WHERE calls.id = given.id`;
const CLOSE_CALLS = `${REPLACE_CLOSINGS} AND calls.status IS NULL
  RETURNING calls.id, calls.call_id, calls.key_id, calls.team, calls.model_invoked, calls.started_at, calls.reserved`;
const AMEND_CALLS = `UPDATE calls SET ${namesOf(AMENDMENT)
  .slice(0, -1)
  .map((name) => amended(name, `given.${name}`))
  .join(", ")} FROM ${given(AMENDMENT)} WHERE calls.id = given.id`;
const READ_CALLS = "SELECT * FROM calls WHERE id = ANY ($1) ORDER BY id FOR UPDATE";
const READ_FAMILIES = "SELECT * FROM calls WHERE id = ANY ($1) OR call_id = ANY ($1) ORDER BY id FOR UPDATE";
const LOCK_SPEND = "SELECT * FROM spend WHERE subject = ANY ($1) ORDER BY subject FOR UPDATE";
const MAKE_SPEND = `INSERT INTO spend (${namesOf(SPEND).join(", ")})
  SELECT subject${", 0".repeat(SPEND.names.length - 1)} FROM unnest($1::text[]) AS missing (subject)
  ON CONFLICT (subject) DO NOTHING`;
// Both in one statement, a round trip less; the server runs what stands in WITH after the rest.
const ADD_SUMS = `WITH hours AS (${insertion("usage_hours", HOUR, SPEND.names.length)} ${ON_HOUR_CONFLICT})
  ${insertion("spend", SPEND)} ${ON_SPEND_CONFLICT}`;

function postgresLedgerTables(query: Kysely<Tables>): LedgerTables {
  async function run(statement: string, values: readonly unknown[]): Promise<LedgerColumns[]> {
    const { rows } = await query.executeQuery<LedgerColumns>(CompiledQuery.raw(statement, [...values]));
    return rows;
  }

  async function lockSpend(subjects: readonly string[], others: readonly string[]) {
    const wanted = [...new Set([...subjects, ...others])];
    const rows = await run(LOCK_SPEND, [wanted]);
    return new Map(rows.map((row) => [text(row, "subject"), spendOf(row)]));
  }

  return {
    closeRows: async (closings) => (await run(CLOSE_CALLS, arrays(CLOSING, byId(closings)))).map(justClosed),
    replaceClosings: (closings) => run(REPLACE_CLOSINGS, arrays(CLOSING, closings)),
    amendRows: (amendments) => run(AMEND_CALLS, arrays(AMENDMENT, amendments)),
    readRows: async (ids) => (await run(READ_CALLS, [ids])).map(storedRow),
    readFamilies: async (roots) => (await run(READ_FAMILIES, [roots])).map(storedRow),
    async insertRows(rows) {
      const written = new Set((await run(INSERT_CALLS, arrays(OPENING, rows))).map((row) => text(row, "id")));
      return rows.map(({ call }) => call.id).filter((id) => !written.has(id));
    },
    async lockSpend(subjects, others) {
      const spent = await lockSpend(subjects, others);
      const missing = subjects.filter((subject) => !spent.has(subject));
      if (missing.length === 0) return spent;
      // A row that is not there can't be locked.
      await run(MAKE_SPEND, [missing.sort()]);
      return lockSpend(subjects, others);
    },
    addSums: (spend, hours) => run(ADD_SUMS, [...arrays(SPEND, spend), ...arrays(HOUR, hours)]),
  };
}

function insertion<T>(table: string, columns: Columns<T>, parametersBefore = 0): string {
  return `INSERT INTO ${table} (${namesOf(columns).join(", ")}) SELECT * FROM ${given(columns, parametersBefore)}`;
}

/** The parameters as rows. */
function given<T>(columns: Columns<T>, parametersBefore = 0): string {
  const types = columns.names.map(([, type], index) => `$${parametersBefore + index + 1}::${type}[]`);
  return `unnest(${types.join(", ")}) AS given (${namesOf(columns).join(", ")})`;
}

function arrays<T>({ names, values }: Columns<T>, rows: readonly T[]): unknown[][] {
  const given = rows.map(values);
  return names.map((_, column) => given.map((row) => row[column]));
}

function byId<T extends { readonly id: string }>(rows: readonly T[]): T[] {
  return rows.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}
