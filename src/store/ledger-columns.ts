/**
 * The ledger's columns as both databases write them: their names, their values in the same order, and how a row of totals
 * takes what is added to it.
 */
import type { CloseOperation, NewRow } from "./ledger-batch.ts";
import { type SpendIncrement, toColumns } from "./spend.ts";
import type { Amendment, TokenUsage } from "./store.ts";
import type { HourIncrement } from "./usage-hours.ts";

type Value = string | number | bigint | null;

export interface Columns<T> {
  /** Name and PostgreSQL's type. */
  readonly names: readonly (readonly [name: string, type: "text" | "int8"])[];
  readonly values: (row: T) => Value[];
}

const USAGE = [
  ["input_tokens", "int8"],
  ["output_tokens", "int8"],
  ["cache_read_tokens", "int8"],
  ["cache_write_tokens", "int8"],
  ["cache_write_1h_tokens", "int8"],
  ["reasoning_tokens", "int8"],
  ["estimated", "int8"],
  ["cost", "int8"],
  ["service_tier", "text"],
  ["bedrock_request_id", "text"],
] as const;

export const OPENING: Columns<NewRow> = {
  names: [
    ["id", "text"],
    ["key_id", "text"],
    ["team", "text"],
    ["dialect", "text"],
    ["model_requested", "text"],
    ["model_invoked", "text"],
    ["foundation_model", "text"],
    ["region", "text"],
    ["stream", "int8"],
    ["started_at", "int8"],
    ["call_id", "text"],
    ["instance", "text"],
    ["input_estimate", "int8"],
    ["reserved", "int8"],
  ],
  values: ({ call, held }) => [
    call.id,
    call.keyId,
    call.team,
    call.dialect,
    call.modelRequested,
    call.modelInvoked,
    call.foundationModel ?? null,
    call.region,
    Number(call.stream),
    call.startedAt,
    call.callId ?? null,
    call.instance,
    call.inputEstimate,
    held,
  ],
};

/** The row's id comes last. */
export const CLOSING: Columns<CloseOperation> = {
  names: [
    ...USAGE,
    ["status", "text"],
    ["http_status", "int8"],
    ["error_code", "text"],
    ["finished_at", "int8"],
    ["first_token_at", "int8"],
    ["abandoned", "int8"],
    ["id", "text"],
  ],
  values: ({ id, closing, abandoned }) => [
    ...usageValues(closing),
    closing.status,
    closing.httpStatus,
    closing.errorCode ?? null,
    closing.finishedAt,
    closing.firstTokenAt ?? null,
    Number(abandoned),
    id,
  ],
};

/** The row's id comes last. What a closing in a lost process's place had guessed is known now: no late one may replace it. */
export const AMENDMENT: Columns<Amendment> = {
  names: [...USAGE, ["abandoned", "int8"], ["id", "text"]],
  values: (amendment) => [...usageValues(amendment), 0, amendment.id],
};

export const SPEND: Columns<SpendIncrement> = {
  names: [
    ["subject", "text"],
    ["day", "int8"],
    ["day_micro", "int8"],
    ["day_rest", "int8"],
    ["month", "int8"],
    ["month_micro", "int8"],
    ["month_rest", "int8"],
    ["total_micro", "int8"],
    ["total_rest", "int8"],
    ["reserved_micro", "int8"],
    ["reserved_rest", "int8"],
  ],
  values({ subject, day, dayCost, month, monthCost, total, reserved }) {
    const days = toColumns(dayCost);
    const months = toColumns(monthCost);
    const all = toColumns(total);
    const held = toColumns(reserved);
    return [
      subject,
      day,
      days.micro,
      days.rest,
      month,
      months.micro,
      months.rest,
      all.micro,
      all.rest,
      held.micro,
      held.rest,
    ];
  },
};

export const HOUR: Columns<HourIncrement> = {
  names: [
    ["hour", "int8"],
    ["key_id", "text"],
    ["team", "text"],
    ["model", "text"],
    ["requests", "int8"],
    ["errors", "int8"],
    ["interrupted", "int8"],
    ["input_tokens", "int8"],
    ["output_tokens", "int8"],
    ["cache_read_tokens", "int8"],
    ["cache_write_tokens", "int8"],
    ["cache_write_1h_tokens", "int8"],
    ["reasoning_tokens", "int8"],
    ["estimated_requests", "int8"],
    ["unpriced_requests", "int8"],
    ["priced_rows", "int8"],
    ["cost_micro", "int8"],
    ["cost_rest", "int8"],
  ],
  values(sum) {
    const cost = toColumns(sum.cost);
    return [
      sum.hour,
      sum.keyId,
      sum.team,
      sum.model,
      sum.requests,
      sum.errors,
      sum.interrupted,
      sum.inputTokens,
      sum.outputTokens,
      sum.cacheReadTokens,
      sum.cacheWriteTokens,
      sum.cacheWrite1hTokens,
      sum.reasoningTokens,
      sum.estimatedRequests,
      sum.unpricedRequests,
      sum.pricedRows,
      cost.micro,
      cost.rest,
    ];
  },
};

/** What both databases take the increments with, after an INSERT of them. */
export const ON_SPEND_CONFLICT = `ON CONFLICT (subject) DO UPDATE SET ${[
  ...newest("day"),
  ...newest("month"),
  ...["total", "reserved"].flatMap((sum) => [added("spend", `${sum}_micro`), added("spend", `${sum}_rest`)]),
].join(", ")}`;

export const ON_HOUR_CONFLICT = `ON CONFLICT (hour, key_id, team, model) DO UPDATE SET ${HOUR.names
  .slice(4)
  .map(([name]) => added("usage_hours", name))
  .join(", ")}`;

export function namesOf<T>({ names }: Columns<T>): string[] {
  return names.map(([name]) => name);
}

/** An amendment leaves the tier and Bedrock's request id as they are where it has none. */
export function amended(name: string, value: string): string {
  const kept = name === "service_tier" || name === "bedrock_request_id";
  return `${name} = ${kept ? `coalesce(${value}, calls.${name})` : value}`;
}

function newest(period: "day" | "month"): string[] {
  const sums = ["micro", "rest"].map(
    (part) => `${period}_${part} = CASE
      WHEN excluded.${period} > spend.${period} THEN excluded.${period}_${part}
      WHEN excluded.${period} = spend.${period} THEN spend.${period}_${part} + excluded.${period}_${part}
      ELSE spend.${period}_${part} END`,
  );
  return [
    ...sums,
    `${period} = CASE WHEN excluded.${period} > spend.${period} THEN excluded.${period} ELSE spend.${period} END`,
  ];
}

function added(table: string, column: string): string {
  return `${column} = ${table}.${column} + excluded.${column}`;
}

function usageValues({
  usage,
  estimated,
  cost,
  serviceTier,
  bedrockRequestId,
}: {
  readonly usage: TokenUsage;
  readonly estimated: boolean;
  readonly cost?: bigint;
  readonly serviceTier?: string;
  readonly bedrockRequestId?: string;
}): Value[] {
  return [
    usage.inputTokens,
    usage.outputTokens,
    usage.cacheReadTokens,
    usage.cacheWriteTokens,
    usage.cacheWrite1hTokens ?? 0,
    usage.reasoningTokens ?? null,
    Number(estimated),
    cost ?? null,
    serviceTier ?? null,
    bedrockRequestId ?? null,
  ];
}
