/** Rows of the ledger's tables as records; a column of another type is an error, never a silent conversion. */
import type { JustClosed, StoredRow } from "./ledger-batch.ts";
import { fromColumns, type Spend } from "./spend.ts";
import type { Call, CallClosing, CallStatus, TokenUsage } from "./store.ts";

/** As both databases give it: texts, bigints and nulls. */
export type LedgerColumns = Readonly<Record<string, unknown>>;

export function justClosed(row: LedgerColumns): JustClosed {
  return {
    id: text(row, "id"),
    callId: textOrNull(row, "call_id"),
    keyId: text(row, "key_id"),
    team: textOrNull(row, "team"),
    modelInvoked: text(row, "model_invoked"),
    startedAt: integer(row, "started_at"),
    reserved: bigint(row, "reserved"),
  };
}

export function storedRow(row: LedgerColumns): StoredRow {
  return {
    ...justClosed(row),
    status: textOrNull(row, "status"),
    usage: usageOf(row),
    estimated: integer(row, "estimated") === 1,
    cost: row.cost === null ? null : bigint(row, "cost"),
    instance: textOrNull(row, "instance"),
    abandoned: integer(row, "abandoned") === 1,
  };
}

export function spendOf(row: LedgerColumns): Spend {
  const sum = (name: string) => fromColumns(bigint(row, `${name}_micro`), bigint(row, `${name}_rest`));
  return {
    day: integer(row, "day"),
    dayCost: sum("day"),
    month: integer(row, "month"),
    monthCost: sum("month"),
    total: sum("total"),
    reserved: sum("reserved"),
  };
}

export function callOf(row: LedgerColumns): Call {
  return {
    id: text(row, "id"),
    keyId: text(row, "key_id"),
    team: textOrNull(row, "team"),
    // Rows from before processes were noted have none.
    instance: textOrNull(row, "instance") ?? "",
    dialect: text(row, "dialect"),
    modelRequested: text(row, "model_requested"),
    modelInvoked: text(row, "model_invoked"),
    ...present("foundationModel", textOrNull(row, "foundation_model")),
    region: text(row, "region"),
    stream: integer(row, "stream") === 1,
    startedAt: integer(row, "started_at"),
    ...present("callId", textOrNull(row, "call_id")),
    inputEstimate: integer(row, "input_estimate"),
    reserved: bigint(row, "reserved"),
    closing: row.status === null ? undefined : closingOf(row),
  };
}

function closingOf(row: LedgerColumns): CallClosing {
  return {
    status: statusOf(text(row, "status")),
    httpStatus: integer(row, "http_status"),
    ...present("errorCode", textOrNull(row, "error_code")),
    usage: usageOf(row),
    estimated: integer(row, "estimated") === 1,
    ...present("cost", row.cost === null ? null : bigint(row, "cost")),
    ...present("serviceTier", textOrNull(row, "service_tier")),
    finishedAt: integer(row, "finished_at"),
    ...present("firstTokenAt", integerOrNull(row, "first_token_at")),
    ...present("bedrockRequestId", textOrNull(row, "bedrock_request_id")),
  };
}

function usageOf(row: LedgerColumns): TokenUsage {
  return {
    inputTokens: integer(row, "input_tokens"),
    outputTokens: integer(row, "output_tokens"),
    cacheReadTokens: integer(row, "cache_read_tokens"),
    cacheWriteTokens: integer(row, "cache_write_tokens"),
    cacheWrite1hTokens: integer(row, "cache_write_1h_tokens"),
    ...present("reasoningTokens", integerOrNull(row, "reasoning_tokens")),
  };
}

function statusOf(status: string): CallStatus {
  if (status === "ok" || status === "error" || status === "interrupted") return status;
  throw new Error(`column status of the database holds ${JSON.stringify(status)}`);
}

function present<N extends string, T>(name: N, value: T | null): { [key in N]?: T } {
  return value === null ? {} : ({ [name]: value } as { [key in N]: T });
}

export function text(row: LedgerColumns, column: string): string {
  const value = row[column];
  return typeof value === "string" ? value : mismatch(column, "text");
}

export function textOrNull(row: LedgerColumns, column: string): string | null {
  return row[column] === null ? null : text(row, column);
}

export function bigint(row: LedgerColumns, column: string): bigint {
  const value = row[column];
  return typeof value === "bigint" ? value : mismatch(column, "an integer");
}

export function integer(row: LedgerColumns, column: string): number {
  const value = Number(bigint(row, column));
  return Number.isSafeInteger(value) ? value : mismatch(column, "an integer of 53 bits");
}

export function integerOrNull(row: LedgerColumns, column: string): number | null {
  return row[column] === null ? null : integer(row, column);
}

function mismatch(column: string, expected: string): never {
  throw new Error(`column ${column} of the database does not hold ${expected}`);
}
