/**
 * What was used: the ledger's totals by key, team, model or day, in the shape that `usage --json` prints.
 */
import type { CallStore, UsageGrouping, UsageQuery, UsageTotals } from "../store/store.ts";

import { formatUsd, parseUsd } from "./cost.ts";

export type { UsageGrouping, UsageQuery } from "../store/store.ts";

export const USAGE_GROUPINGS: readonly UsageGrouping[] = ["key", "team", "model", "day"];

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
}

/** What a row is about comes first: `key_id` and `name`, `team`, `model` or `day`. */
export type UsageRow = Readonly<Record<string, string | number | null>> & UsageNumbers;

export async function usageReport(calls: CallStore, query: UsageQuery): Promise<UsageRow[]> {
  const totals = await calls.totals(query);
  return totals.map((group) => ({ ...groupColumns(query.by, group), ...numbers(group) }));
}

/** The names of the columns that say what a row is about. */
export function groupColumnNames(by: UsageGrouping): readonly string[] {
  return by === "key" ? ["key_id", "name"] : [by];
}

/** The sum of all rows. */
export function usageTotal(rows: readonly UsageRow[]): UsageNumbers {
  const sum = (pick: (row: UsageRow) => number) => rows.reduce((total, row) => total + pick(row), 0);
  const costs = rows.flatMap(({ cost_usd }) => (cost_usd === null ? [] : [parseUsd(cost_usd)]));
  return {
    requests: sum((row) => row.requests),
    input_tokens: sum((row) => row.input_tokens),
    output_tokens: sum((row) => row.output_tokens),
    cache_read_tokens: sum((row) => row.cache_read_tokens),
    cache_write_tokens: sum((row) => row.cache_write_tokens),
    cost_usd: costs.length === 0 ? null : formatUsd(costs.reduce((total, cost) => total + cost, 0n)),
    estimated_requests: sum((row) => row.estimated_requests),
    unpriced_requests: sum((row) => row.unpriced_requests),
  };
}

function groupColumns(by: UsageGrouping, { group, name }: UsageTotals): Record<string, string | null> {
  return by === "key" ? { key_id: group, name } : { [by]: group };
}

function numbers(group: UsageTotals): UsageNumbers {
  return {
    requests: group.requests,
    input_tokens: group.inputTokens,
    output_tokens: group.outputTokens,
    cache_read_tokens: group.cacheReadTokens,
    cache_write_tokens: group.cacheWriteTokens,
    cost_usd: group.cost === null ? null : formatUsd(group.cost),
    estimated_requests: group.estimatedRequests,
    unpriced_requests: group.unpricedRequests,
  };
}
