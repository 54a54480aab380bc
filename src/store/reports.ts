/**
 * Totals of what was used: from the hours' own rows, so that a report costs the same however many calls there were.
 *
 * A range that begins or ends within an hour takes that part of the hour from the calls' rows, and has nothing of it where
 * those are pruned. Calls that still run are in no totals yet and count as requests. One statement reads all of it, so that
 * a call which ends meanwhile is counted once. It runs on `reports`: on SQLite a thread of its own.
 */
import { type Kysely, type RawBuilder, sql } from "kysely";
import { bigint, integer, integerOrNull, type LedgerColumns, text, textOrNull } from "./calls-row.ts";
import { list } from "./columns.ts";
import type { Database, Tables } from "./database.ts";
import { fromColumns } from "./spend.ts";
import type { LatencyTotals, ReportStore, SeriesPoint, SeriesQuery, UsageQuery, UsageTotals } from "./store.ts";
import { HOUR_MS } from "./usage-hours.ts";

/** Of one group, before it is known whether its cost is. */
interface Sums extends Omit<Required<UsageTotals>, "name" | "cost"> {
  /** Null while no call has ended. */
  readonly cost: bigint | null;
  /** Rows of the ledger that used tokens and had a price. */
  readonly pricedRows: number;
}

const DAY_MS = 24 * HOUR_MS;
/** Beyond every call. */
const FOREVER = Number.MAX_SAFE_INTEGER;
/** Rows that one transaction removes: it must not hold up the calls. */
const PRUNED_AT_ONCE = 500;

export function createReports(database: Database): ReportStore {
  const { reports } = database;
  return {
    async totals({ by, ...range }) {
      const sums = await sumsBy(reports, by === "tag" ? "key" : by, range);
      const keys = by === "key" || by === "tag" ? await keyColumns(reports) : NO_KEYS;
      const groups = by === "tag" ? byTag(sums, keys) : sums;
      return ordered(groups.map((sum) => totalsOf(sum, by === "key" ? keys.get(sum.group ?? "")?.name : undefined)));
    },
    async total(range) {
      const [sum] = await sumsBy(reports, "all", range);
      return totalsOf(sum ?? NOTHING);
    },
    series: (query) => series(database, query),
    latency: (range) => latency(reports, range),
    prune: (before) => prune(database, before),
  };
}

type Group = "key" | "team" | "model" | "day" | "all";

/** What a row is grouped by: of `usage_hours`, and of `calls`. */
const GROUPS: Readonly<Record<Group, { readonly hours: RawBuilder<unknown>; readonly calls: RawBuilder<unknown> }>> = {
  key: { hours: sql`key_id`, calls: sql`key_id` },
  team: { hours: sql`nullif(team, '')`, calls: sql`team` },
  model: { hours: sql`model`, calls: sql`model_invoked` },
  // Divided as integers by both databases.
  day: { hours: sql`hour / ${sql.lit(DAY_MS)}`, calls: sql`started_at / ${sql.lit(DAY_MS)}` },
  all: { hours: sql`NULL`, calls: sql`NULL` },
};

const SUMS = [
  "requests",
  "errors",
  "interrupted",
  "input_tokens",
  "output_tokens",
  "cache_read_tokens",
  "cache_write_tokens",
  "cache_write_1h_tokens",
  "reasoning_tokens",
  "estimated_requests",
  "unpriced_requests",
  "priced_rows",
  "cost_micro",
  "cost_rest",
] as const;

async function sumsBy(
  reports: Kysely<Tables>,
  by: Group,
  { from = 0, to = FOREVER }: Pick<UsageQuery, "from" | "to">,
): Promise<Sums[]> {
  const { hours, calls } = GROUPS[by];
  const begin = Math.min(Math.ceil(from / HOUR_MS) * HOUR_MS, to);
  const end = Math.max(to === FOREVER ? to : Math.floor(to / HOUR_MS) * HOUR_MS, begin);
  const parts = [hourSums(hours, begin, end), openSums(calls, from, to)];
  if (from < begin) parts.push(rowSums(calls, from, begin));
  if (end < to) parts.push(rowSums(calls, end, to));
  const { rows } = await sql<LedgerColumns>`
    SELECT grp, ${summed(SUMS.map((name) => [name, sql.ref(name)]))}
    FROM (${sql.join(parts, sql` UNION ALL `)}) AS part GROUP BY grp`.execute(reports);
  return rows.map((row) => sumsOf(row, groupOf(row, by)));
}

function hourSums(group: RawBuilder<unknown>, begin: number, end: number): RawBuilder<unknown> {
  return sql`SELECT ${group} AS grp, ${summed(SUMS.map((name) => [name, sql.ref(name)]))}
    FROM usage_hours WHERE hour >= ${begin} AND hour < ${end} GROUP BY 1`;
}

/** Of calls in flight: they are requests, and nothing else is known. */
const NOTHING_YET = sql.join(
  SUMS.slice(1).map((name) => sql`${sql.raw(name.startsWith("cost") ? "NULL" : "0")} AS ${sql.ref(name)}`),
);

function openSums(group: RawBuilder<unknown>, from: number, to: number): RawBuilder<unknown> {
  return sql`SELECT ${group} AS grp, count(*) AS requests, ${NOTHING_YET}
    FROM calls WHERE status IS NULL AND call_id IS NULL AND started_at >= ${from} AND started_at < ${to} GROUP BY 1`;
}

/** Closed rows, added up as they were for the hours: see usage-hours.ts. */
function rowSums(group: RawBuilder<unknown>, from: number, to: number): RawBuilder<unknown> {
  const used = (call: string) =>
    sql.raw(
      `${call}.input_tokens + ${call}.output_tokens + ${call}.cache_read_tokens + ${call}.cache_write_tokens > 0`,
    );
  const one = (condition: RawBuilder<unknown>) => sql`CASE WHEN ${condition} THEN 1 ELSE 0 END`;
  // Whether none of its call's rows that say the same began earlier.
  const first = (of: (call: string) => RawBuilder<unknown>) => sql`NOT EXISTS (
    SELECT 1 FROM calls AS other
    WHERE (other.id = calls.call_id OR other.call_id = coalesce(calls.call_id, calls.id))
      AND other.status IS NOT NULL AND ${of("other")}
      AND (other.started_at < calls.started_at OR other.started_at = calls.started_at AND other.id < calls.id))`;
  const once = (of: (call: string) => RawBuilder<unknown>) => one(sql`${of("calls")} AND ${first(of)}`);
  const columns: Readonly<Record<(typeof SUMS)[number], RawBuilder<unknown>>> = {
    requests: one(sql`call_id IS NULL`),
    errors: one(sql`call_id IS NULL AND status = 'error'`),
    interrupted: one(sql`call_id IS NULL AND status = 'interrupted'`),
    input_tokens: sql`input_tokens`,
    output_tokens: sql`output_tokens`,
    cache_read_tokens: sql`cache_read_tokens`,
    cache_write_tokens: sql`cache_write_tokens`,
    cache_write_1h_tokens: sql`cache_write_1h_tokens`,
    reasoning_tokens: sql`coalesce(reasoning_tokens, 0)`,
    estimated_requests: once((call) => sql`${sql.ref(call)}.estimated = 1`),
    unpriced_requests: once((call) => sql`${used(call)} AND ${sql.ref(call)}.cost IS NULL`),
    priced_rows: one(sql`${used("calls")} AND cost IS NOT NULL`),
    cost_micro: sql`coalesce(cost, 0) / 1000000`,
    cost_rest: sql`coalesce(cost, 0) % 1000000`,
  };
  return sql`SELECT ${group} AS grp, ${summed(SUMS.map((name) => [name, columns[name]]))}
    FROM calls WHERE status IS NOT NULL AND started_at >= ${from} AND started_at < ${to} GROUP BY 1`;
}

/** Each sum as 64 bits, which PostgreSQL would make a decimal of. */
function summed(sums: readonly (readonly [name: string, what: RawBuilder<unknown>])[]): RawBuilder<unknown> {
  return sql.join(sums.map(([name, what]) => sql`CAST(sum(${what}) AS bigint) AS ${sql.ref(name)}`));
}

function groupOf(row: LedgerColumns, by: Group): string | null {
  return by === "day" ? new Date(integer(row, "grp") * DAY_MS).toISOString().slice(0, 10) : textOrNull(row, "grp");
}

const NOTHING: Sums = {
  group: null,
  requests: 0,
  errors: 0,
  interrupted: 0,
  inputTokens: 0,
  outputTokens: 0,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  cacheWrite1hTokens: 0,
  reasoningTokens: 0,
  estimatedRequests: 0,
  unpricedRequests: 0,
  pricedRows: 0,
  cost: null,
};

function sumsOf(row: LedgerColumns, group: string | null): Sums {
  return {
    group,
    requests: integer(row, "requests"),
    errors: integer(row, "errors"),
    interrupted: integer(row, "interrupted"),
    inputTokens: integer(row, "input_tokens"),
    outputTokens: integer(row, "output_tokens"),
    cacheReadTokens: integer(row, "cache_read_tokens"),
    cacheWriteTokens: integer(row, "cache_write_tokens"),
    cacheWrite1hTokens: integer(row, "cache_write_1h_tokens"),
    reasoningTokens: integer(row, "reasoning_tokens"),
    estimatedRequests: integer(row, "estimated_requests"),
    unpricedRequests: integer(row, "unpriced_requests"),
    pricedRows: integer(row, "priced_rows"),
    cost: row.cost_micro === null ? null : fromColumns(bigint(row, "cost_micro"), bigint(row, "cost_rest")),
  };
}

/** Tokens of which none had a price have no cost; that is not zero. */
function totalsOf({ pricedRows, cost, ...sums }: Sums, name: string | null = null): UsageTotals {
  const tokens = sums.inputTokens + sums.outputTokens + sums.cacheReadTokens + sums.cacheWriteTokens;
  return { ...sums, name, cost: tokens > 0 && pricedRows === 0 ? null : cost };
}

// Keys: names and tags of now

type KeyColumns = ReadonlyMap<string, { readonly name: string; readonly tags: readonly string[] }>;

async function keyColumns(reports: Kysely<Tables>): Promise<KeyColumns> {
  const rows = await reports.selectFrom("keys").select(["id", "name", "tags"]).execute();
  return new Map(rows.map(({ id, name, tags }) => [id, { name, tags: list(tags) }]));
}

const NO_KEYS: KeyColumns = new Map();

function byTag(totals: readonly Sums[], keys: KeyColumns): Sums[] {
  const sums = new Map<string | null, Sums>();
  for (const row of totals) {
    const tags = new Set(keys.get(row.group ?? "")?.tags);
    for (const tag of tags.size === 0 ? [null] : tags)
      sums.set(tag, { ...add(sums.get(tag) ?? NOTHING, row), group: tag });
  }
  return [...sums.values()];
}

function add(a: Sums, b: Sums): Sums {
  return {
    group: null,
    requests: a.requests + b.requests,
    errors: a.errors + b.errors,
    interrupted: a.interrupted + b.interrupted,
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    cacheReadTokens: a.cacheReadTokens + b.cacheReadTokens,
    cacheWriteTokens: a.cacheWriteTokens + b.cacheWriteTokens,
    cacheWrite1hTokens: a.cacheWrite1hTokens + b.cacheWrite1hTokens,
    reasoningTokens: a.reasoningTokens + b.reasoningTokens,
    estimatedRequests: a.estimatedRequests + b.estimatedRequests,
    unpricedRequests: a.unpricedRequests + b.unpricedRequests,
    pricedRows: a.pricedRows + b.pricedRows,
    cost: a.cost === null ? b.cost : a.cost + (b.cost ?? 0n),
  };
}

function ordered(rows: readonly UsageTotals[]): UsageTotals[] {
  return rows.toSorted((a, b) => compare(a.name, b.name) || compare(a.group, b.group));
}

/** Null comes last. */
function compare(a: string | null, b: string | null): number {
  if (a === b) return 0;
  if (a === null || b === null) return a === null ? 1 : -1;
  return a < b ? -1 : 1;
}

// Series and latencies

async function series({ kind, reports }: Database, query: SeriesQuery): Promise<SeriesPoint[]> {
  const { by, bucket, from, to, limit } = query;
  const width = bucket === "hour" ? HOUR_MS : DAY_MS;
  const begin = Math.floor(from / width) * width;
  const end = Math.ceil(to / width) * width;
  const { hours, calls } = GROUPS[by];
  const at = (time: string) => sql`${sql.ref(time)} / ${sql.lit(width)} * ${sql.lit(width)}`;
  // In the order of the characters' codes, as SQLite has it by itself.
  const collation = kind === "postgres" ? sql`COLLATE "C"` : sql``;
  const { rows } = await sql<LedgerColumns>`
    SELECT at, grp, ${summed(SUMS.map((name) => [name, sql.ref(name)]))} FROM (
      SELECT ${at("hour")} AS at, CAST(${hours} AS text) AS grp, ${sql.join(SUMS.map((name) => sql.ref(name)))}
      FROM usage_hours WHERE hour >= ${begin} AND hour < ${end}
      UNION ALL
      SELECT ${at("started_at")} AS at, CAST(${calls} AS text) AS grp, 1 AS requests, ${NOTHING_YET}
      FROM calls WHERE status IS NULL AND call_id IS NULL AND started_at >= ${begin} AND started_at < ${end}
    ) AS part GROUP BY at, grp
    ORDER BY at, grp ${collation} NULLS LAST ${limit === undefined ? sql`` : sql`LIMIT ${limit}`}`.execute(reports);
  return rows.map((row) => {
    const { name: _name, ...totals } = totalsOf(sumsOf(row, textOrNull(row, "grp")));
    return { at: integer(row, "at"), ...totals };
  });
}

/** The value that at least half, or 95 of 100, are at or below. */
async function latency(
  reports: Kysely<Tables>,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<LatencyTotals[]> {
  // Equal times first become one row: milliseconds repeat, and far fewer rows are left to put in order.
  const percentiles = (what: RawBuilder<unknown>) => sql<LedgerColumns>`
    SELECT model, max(n) AS n, min(CASE WHEN place * 100 >= n * 50 THEN ms END) AS p50,
      min(CASE WHEN place * 100 >= n * 95 THEN ms END) AS p95
    FROM (
      SELECT model, ms, sum(equal) OVER (PARTITION BY model) AS n,
        sum(equal) OVER (PARTITION BY model ORDER BY ms) AS place
      FROM (
        SELECT model_invoked AS model, ${what} AS ms, count(*) AS equal
        FROM calls
        WHERE status = 'ok' AND ${what} IS NOT NULL AND started_at >= ${from} AND started_at < ${to}
        GROUP BY 1, 2
      ) AS times
    ) AS placed GROUP BY model`;
  const durations = await percentiles(sql`finished_at - started_at`).execute(reports);
  const firstTokens = await percentiles(sql`first_token_at - started_at`).execute(reports);
  const byModel = new Map(firstTokens.rows.map((row) => [text(row, "model"), row]));
  return durations.rows
    .map((row) => {
      const model = text(row, "model");
      const first = byModel.get(model);
      return {
        model,
        requests: integer(row, "n"),
        durationP50: integerOrNull(row, "p50"),
        durationP95: integerOrNull(row, "p95"),
        firstTokenP50: first === undefined ? null : integerOrNull(first, "p50"),
        firstTokenP95: first === undefined ? null : integerOrNull(first, "p95"),
      };
    })
    .sort((a, b) => compare(a.model, b.model));
}

async function prune(database: Database, before: number): Promise<number> {
  let count = 0;
  for (;;) {
    const removed = await database.write(async (transaction) => {
      const { numAffectedRows } = await sql`
        DELETE FROM usage_hours WHERE (hour, key_id, team, model) IN (
          SELECT hour, key_id, team, model FROM usage_hours WHERE hour <= ${before - HOUR_MS} LIMIT ${PRUNED_AT_ONCE}
        )`.execute(transaction);
      return Number(numAffectedRows ?? 0);
    });
    count += removed;
    if (removed < PRUNED_AT_ONCE) return count;
  }
}
