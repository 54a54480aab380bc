/**
 * What was used: totals by key, team, model, day or tag, in the shape that `usage --json` prints, their course over time, and
 * how long answers took.
 */
import type { ReportStore, SeriesQuery, UsageGrouping, UsageQuery, UsageTotals } from "../store/store.ts";
import { formatUsd } from "./cost.ts";
import { renderCsv } from "./csv.ts";

export type { UsageGrouping, UsageQuery } from "../store/store.ts";

export const USAGE_GROUPINGS: readonly UsageGrouping[] = ["key", "team", "model", "day", "tag"];

export interface UsageNumbers {
  readonly requests: number;
  /** Without cached ones, as Bedrock counts. */
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly cache_read_tokens: number;
  readonly cache_write_tokens: number;
  /** A decimal with all digits; null when nothing was priced. */
  readonly cost_usd: string | null;
  readonly estimated_requests: number;
  /** Those that used tokens of a model without a price: `cost_usd` has nothing for them. */
  readonly unpriced_requests: number;
  readonly errors: number;
  readonly interrupted: number;
}

/** In the order of the columns. */
export const USAGE_NUMBERS: readonly (keyof UsageNumbers)[] = [
  "requests",
  "input_tokens",
  "output_tokens",
  "cache_read_tokens",
  "cache_write_tokens",
  "cost_usd",
  "estimated_requests",
  "unpriced_requests",
  "errors",
  "interrupted",
];

/** What a row is about comes first: `key_id` and `name`, `team`, `model`, `day` or `tag`. */
export type UsageRow = Readonly<Record<string, string | number | null>> & UsageNumbers;

export interface SeriesRow extends UsageNumbers {
  /** The bucket's begin. */
  readonly at: string;
  /** The key's id, the team (null: none) or the model; null where all is one. */
  readonly group: string | null;
}

export interface LatencyRow {
  readonly model: string;
  readonly requests: number;
  readonly duration_p50_ms: number | null;
  readonly duration_p95_ms: number | null;
  readonly first_token_p50_ms: number | null;
  readonly first_token_p95_ms: number | null;
}

export async function usageReport(reports: ReportStore, query: UsageQuery): Promise<UsageRow[]> {
  const totals = await reports.totals(query);
  return totals.map((group) => ({ ...groupColumns(query.by, group), ...numbers(group) }));
}

export async function seriesReport(reports: ReportStore, query: SeriesQuery): Promise<SeriesRow[]> {
  const points = await reports.series(query);
  return points.map((point) => ({
    at: new Date(point.at).toISOString(),
    group: query.by === "all" ? null : point.group,
    ...numbers(point),
  }));
}

export async function latencyReport(
  reports: ReportStore,
  range: { readonly from: number; readonly to: number },
): Promise<LatencyRow[]> {
  const totals = await reports.latency(range);
  return totals.map(({ model, requests, durationP50, durationP95, firstTokenP50, firstTokenP95 }) => ({
    model,
    requests,
    duration_p50_ms: durationP50,
    duration_p95_ms: durationP95,
    first_token_p50_ms: firstTokenP50,
    first_token_p95_ms: firstTokenP95,
  }));
}

export function usageCsv(by: UsageGrouping, rows: readonly UsageRow[]): string {
  const columns = [...groupColumnNames(by), ...USAGE_NUMBERS];
  return renderCsv(
    columns,
    rows.map((row) => columns.map((column) => row[column] ?? null)),
  );
}

/** The names of the columns that say what a row is about. */
export function groupColumnNames(by: UsageGrouping): readonly string[] {
  return by === "key" ? ["key_id", "name"] : [by];
}

/** Everything in the range. Rows by tag don't add up to it, as a call counts for each tag of its key. */
export async function usageTotal(reports: ReportStore, range: Pick<UsageQuery, "from" | "to">): Promise<UsageNumbers> {
  return numbers(await reports.total(range));
}

function groupColumns(by: UsageGrouping, { group, name }: UsageTotals): Record<string, string | null> {
  return by === "key" ? { key_id: group, name } : { [by]: group };
}

function numbers(group: Omit<UsageTotals, "name">): UsageNumbers {
  return {
    requests: group.requests,
    input_tokens: group.inputTokens,
    output_tokens: group.outputTokens,
    cache_read_tokens: group.cacheReadTokens,
    cache_write_tokens: group.cacheWriteTokens,
    cost_usd: group.cost === null ? null : formatUsd(group.cost),
    estimated_requests: group.estimatedRequests,
    unpriced_requests: group.unpricedRequests,
    errors: group.errors,
    interrupted: group.interrupted,
  };
}
