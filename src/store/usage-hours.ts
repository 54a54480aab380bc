/**
 * What the calls of an hour used, by key, team and model: kept as rows of their own, so that a report costs the same
 * however many calls there were, and outlives them.
 *
 * A call and its further attempts are several rows of the ledger with tokens of their own, but one request. Whether that
 * request was estimated or unpriced counts once, in the hour and for the model of the first row that was.
 */
import type { TokenUsage } from "./store.ts";

export const HOUR_MS = 3_600_000;

/** What totals need of a row of the ledger. */
export interface LedgerRow {
  readonly id: string;
  readonly callId: string | null;
  readonly keyId: string;
  readonly team: string | null;
  readonly modelInvoked: string;
  readonly startedAt: number;
  /** Null while the call runs. */
  readonly status: string | null;
  readonly usage: TokenUsage;
  readonly estimated: boolean;
  readonly cost: bigint | null;
}

export interface HourIncrement {
  readonly hour: number;
  readonly keyId: string;
  /** Empty: none. */
  readonly team: string;
  readonly model: string;
  requests: number;
  errors: number;
  interrupted: number;
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheWriteTokens: number;
  cacheWrite1hTokens: number;
  reasoningTokens: number;
  estimatedRequests: number;
  unpricedRequests: number;
  /** Rows that used tokens and have a cost. */
  pricedRows: number;
  cost: bigint;
}

export function usesTokens({ usage }: Pick<LedgerRow, "usage">): boolean {
  return usage.inputTokens + usage.outputTokens + usage.cacheReadTokens + usage.cacheWriteTokens > 0;
}

export function isUnpriced(row: Pick<LedgerRow, "usage" | "cost">): boolean {
  return row.cost === null && usesTokens(row);
}

/** The row that belongs to no other one: a call's attempts point to it. */
export function rootOf({ id, callId }: Pick<LedgerRow, "id" | "callId">): string {
  return callId ?? id;
}

/** What a batch adds, one increment a row of totals. */
export class HourSums {
  readonly #sums = new Map<string, HourIncrement>();

  /** Adds a closed row, or takes it away again. Not what counts once a call: see `countCall`. */
  addRow(row: LedgerRow, sign: 1 | -1): void {
    const sum = this.#of(row);
    if (row.callId === null) {
      sum.requests += sign;
      if (row.status === "error") sum.errors += sign;
      if (row.status === "interrupted") sum.interrupted += sign;
    }
    const { usage } = row;
    sum.inputTokens += sign * usage.inputTokens;
    sum.outputTokens += sign * usage.outputTokens;
    sum.cacheReadTokens += sign * usage.cacheReadTokens;
    sum.cacheWriteTokens += sign * usage.cacheWriteTokens;
    sum.cacheWrite1hTokens += sign * (usage.cacheWrite1hTokens ?? 0);
    sum.reasoningTokens += sign * (usage.reasoningTokens ?? 0);
    if (row.cost === null) return;
    if (usesTokens(row)) sum.pricedRows += sign;
    sum.cost += sign === 1 ? row.cost : -row.cost;
  }

  /** Counts a call that was estimated or unpriced once, however many of its rows are; `rows` are all of its closed ones. */
  countCall(rows: readonly LedgerRow[], sign: 1 | -1): void {
    const estimated = first(rows.filter((row) => row.estimated));
    if (estimated !== undefined) this.#of(estimated).estimatedRequests += sign;
    const unpriced = first(rows.filter(isUnpriced));
    if (unpriced !== undefined) this.#of(unpriced).unpricedRequests += sign;
  }

  /** In the order of their keys, as `SpendSums.sorted`. */
  sorted(): HourIncrement[] {
    return [...this.#sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, sum]) => sum);
  }

  #of(row: LedgerRow): HourIncrement {
    const hour = row.startedAt - (row.startedAt % HOUR_MS);
    const key = `${hour}\n${row.keyId}\n${row.team ?? ""}\n${row.modelInvoked}`;
    let sum = this.#sums.get(key);
    if (sum === undefined) {
      sum = nothing(hour, row);
      this.#sums.set(key, sum);
    }
    return sum;
  }
}

function nothing(hour: number, { keyId, team, modelInvoked }: LedgerRow): HourIncrement {
  return {
    hour,
    keyId,
    team: team ?? "",
    model: modelInvoked,
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
    cost: 0n,
  };
}

function first(rows: readonly LedgerRow[]): LedgerRow | undefined {
  return rows.reduce<LedgerRow | undefined>(
    (best, row) => (best === undefined || isBefore(row, best) ? row : best),
    undefined,
  );
}

function isBefore(a: LedgerRow, b: LedgerRow): boolean {
  return a.startedAt < b.startedAt || (a.startedAt === b.startedAt && a.id < b.id);
}
