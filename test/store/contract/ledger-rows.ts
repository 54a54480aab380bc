/** Openings and closings of calls that a test says only the interesting part of, and the naive sum of what they used. */
import type { Budget, CallClosing, CallOpening, TokenUsage, UsageTotals } from "../../../src/store/store.ts";

export const NOON = Date.UTC(2026, 10, 22, 12);
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

/** Of the key `key_1`, at noon. */
export function opening(id: string, other: Partial<CallOpening> = {}): CallOpening {
  return {
    id,
    keyId: "key_1",
    team: null,
    instance: "instance-1",
    dialect: "openai-chat",
    modelRequested: "nova",
    modelInvoked: "us.nova",
    region: "us-east-1",
    stream: true,
    startedAt: NOON,
    inputEstimate: 10,
    reserved: 0n,
    budgets: [],
    ...other,
  };
}

/** An answer of 3 tokens, without a price. */
export function closing(other: Partial<CallClosing> = {}): CallClosing {
  return { status: "ok", httpStatus: 200, usage: tokens(1, 2), estimated: false, finishedAt: NOON + 1000, ...other };
}

export function tokens(inputTokens: number, outputTokens = 0): TokenUsage {
  return { inputTokens, outputTokens, cacheReadTokens: 0, cacheWriteTokens: 0, cacheWrite1hTokens: 0 };
}

export function keyBudget(limit: bigint | undefined, period: Budget["period"] = "total", key = "key_1"): Budget {
  return { subject: `key:${key}`, period, limit };
}

export function teamBudget(limit: bigint | undefined, period: Budget["period"] = "total", team = "core"): Budget {
  return { subject: `team:${team}`, period, limit };
}

/** A row of the ledger as a test remembers it. */
export interface Remembered {
  readonly opening: CallOpening;
  readonly closing: CallClosing | undefined;
}

/** What `rows` add up to. `all` are the rows that their calls may have besides. */
export function naiveTotals(
  rows: readonly Remembered[],
  all: readonly Remembered[],
): Omit<UsageTotals, "group" | "name"> {
  const closed = rows.flatMap(({ closing }) => (closing === undefined ? [] : [closing]));
  const sum = (pick: (usage: TokenUsage) => number | undefined) =>
    closed.reduce((total, { usage }) => total + (pick(usage) ?? 0), 0);
  const requests = rows.filter(({ opening }) => opening.callId === undefined);
  const withStatus = (status: string) => requests.filter(({ closing }) => closing?.status === status).length;
  const isUnpriced = ({ closing }: Remembered) => closing !== undefined && uses(closing) && closing.cost === undefined;
  const counted = (is: (row: Remembered) => boolean) => rows.filter((row) => is(row) && isFirst(row, all.filter(is)));
  const priced = closed.some((row) => uses(row) && row.cost !== undefined);
  return {
    requests: requests.length,
    errors: withStatus("error"),
    interrupted: withStatus("interrupted"),
    inputTokens: sum((usage) => usage.inputTokens),
    outputTokens: sum((usage) => usage.outputTokens),
    cacheReadTokens: sum((usage) => usage.cacheReadTokens),
    cacheWriteTokens: sum((usage) => usage.cacheWriteTokens),
    cacheWrite1hTokens: sum((usage) => usage.cacheWrite1hTokens),
    reasoningTokens: sum((usage) => usage.reasoningTokens),
    estimatedRequests: counted(({ closing }) => closing?.estimated === true).length,
    unpricedRequests: counted(isUnpriced).length,
    cost:
      closed.length === 0 || (closed.some(uses) && !priced)
        ? null
        : closed.reduce((total, { cost }) => total + (cost ?? 0n), 0n),
  };
}

function uses({ usage }: CallClosing): boolean {
  return usage.inputTokens + usage.outputTokens + usage.cacheReadTokens + usage.cacheWriteTokens > 0;
}

/** Whether no other one of the same call began earlier. */
function isFirst({ opening }: Remembered, others: readonly Remembered[]): boolean {
  const call = opening.callId ?? opening.id;
  return others.every(
    ({ opening: other }) =>
      (other.callId ?? other.id) !== call ||
      other.startedAt > opening.startedAt ||
      (other.startedAt === opening.startedAt && other.id >= opening.id),
  );
}
