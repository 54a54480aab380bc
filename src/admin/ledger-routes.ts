/** Single calls, what is left of budgets, and who changed what. Prompts and answers are nowhere, so they are not here. */
import { auditJson } from "../access/key-json.ts";
import { formatUsd } from "../money.ts";
import type { Budget, BudgetPeriod, BudgetState, Call, Key, Limits, Store } from "../store/store.ts";
import type { AdminApp } from "./gate.ts";
import { failure, ok, operation, takes } from "./openapi.ts";
import * as schemas from "./schemas.ts";
import type { Turns } from "./turns.ts";

export interface LedgerRoutesOptions {
  readonly store: Pick<Store, "keys" | "teams" | "calls" | "audit">;
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly turns: Turns;
}

const WRONG = { 400: failure("A parameter is wrong; `field` names it") };
/** Budgets that the store is asked for at once. */
const BATCH = 500;

export function mountLedger(app: AdminApp, { store, now, turns }: LedgerRoutesOptions): void {
  app.get(
    "/api/calls",
    operation({
      tag: "usage",
      summary: "Recent calls, the newest first",
      description: "Page by giving the last row's started_at as `to`.",
      answers: { 200: ok("Calls and their further attempts", schemas.callsJson), ...WRONG },
    }),
    takes("query", schemas.callsQuery),
    async (context) => {
      const { key, ...query } = context.req.valid("query");
      const wanted = { ...query, ...(key !== undefined && { keyId: key }) };
      const calls = await turns.take(context.req.raw.signal, () => store.calls.list(wanted));
      const ids = [...new Set(calls.map(({ keyId }) => keyId))];
      const keys = await Promise.all(ids.map((id) => store.keys.get(id)));
      const names = new Map(keys.map((found, index) => [ids[index], found?.name]));
      return context.json(calls.map((call) => callJson(call, names.get(call.keyId) ?? null)));
    },
  );

  app.get(
    "/api/budgets",
    operation({
      tag: "usage",
      summary: "What every key and team with a budget has spent of it",
      description: "Revoked keys are left out.",
      answers: { 200: ok("Budgets of teams, then of keys", schemas.budgetsJson), ...WRONG },
    }),
    takes("query", schemas.noParameters),
    async (context) => {
      const at = now();
      const [keys, teams] = await Promise.all([store.keys.list(), store.teams.list()]);
      const holders = [
        ...teams.map((team) => ({ kind: "team" as const, id: team.name, name: team.name, limits: team })),
        ...keys.filter(isLeft).map((key) => ({ kind: "key" as const, id: key.id, name: key.name, limits: key })),
      ].filter(({ limits: { budget, softBudget } }) => budget !== null || softBudget !== null);
      const states = await statesOf(holders.map(budgetOf), at);
      return context.json(holders.map((holder, index) => budgetJson(holder, states[index], at)));
    },
  );

  app.get(
    "/api/audit",
    operation({
      tag: "operation",
      summary: "Who changed which key or team, the newest first",
      answers: { 200: ok("Changes", schemas.auditJson), ...WRONG },
    }),
    takes("query", schemas.auditQuery),
    async (context) => context.json((await store.audit.list(context.req.valid("query"))).map(auditJson)),
  );

  async function statesOf(budgets: readonly Budget[], at: number): Promise<BudgetState[]> {
    const states: BudgetState[] = [];
    for (let start = 0; start < budgets.length; start += BATCH) {
      states.push(...(await store.calls.budgets(budgets.slice(start, start + BATCH), at)));
    }
    return states;
  }
}

interface Holder {
  readonly kind: "key" | "team";
  readonly id: string;
  readonly name: string;
  readonly limits: Limits;
}

function isLeft({ revokedAt }: Key): boolean {
  return revokedAt === null;
}

function budgetOf({ kind, id, limits }: Holder): Budget {
  return { subject: `${kind}:${id}`, period: limits.budgetPeriod, limit: limits.budget ?? undefined };
}

function budgetJson({ kind, id, name, limits }: Holder, state: BudgetState | undefined, at: number) {
  const { budget, softBudget, budgetPeriod } = limits;
  return {
    kind,
    id,
    name,
    period: budgetPeriod,
    budget_usd: usdOrNull(budget),
    soft_budget_usd: usdOrNull(softBudget),
    spent_usd: formatUsd(state?.spent ?? 0n),
    reserved_usd: formatUsd(state?.reserved ?? 0n),
    resets_at: isoOrNull(periodEnd(budgetPeriod, at)),
  };
}

/** When the period that `at` lies in ends, UTC. */
function periodEnd(period: BudgetPeriod, at: number): number | undefined {
  const date = new Date(at);
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
  if (period === "day") return Date.UTC(year, month, date.getUTCDate() + 1);
  return period === "month" ? Date.UTC(year, month + 1) : undefined;
}

function callJson(call: Call, keyName: string | null) {
  const { closing } = call;
  const since = (moment: number | undefined) =>
    moment === undefined ? null : Math.max(0, Math.round(moment - call.startedAt));
  return {
    id: call.id,
    call_id: call.callId ?? null,
    key_id: call.keyId,
    key_name: keyName,
    team: call.team,
    dialect: call.dialect,
    model: call.modelInvoked,
    model_requested: call.modelRequested,
    region: call.region,
    stream: call.stream,
    status: closing?.status ?? "open",
    http_status: closing?.httpStatus ?? null,
    error_code: closing?.errorCode ?? null,
    started_at: isoOrNull(call.startedAt),
    finished_at: isoOrNull(closing?.finishedAt),
    duration_ms: since(closing?.finishedAt),
    first_token_ms: since(closing?.firstTokenAt),
    input_tokens: closing?.usage.inputTokens ?? 0,
    output_tokens: closing?.usage.outputTokens ?? 0,
    cache_read_tokens: closing?.usage.cacheReadTokens ?? 0,
    cache_write_tokens: closing?.usage.cacheWriteTokens ?? 0,
    reasoning_tokens: closing?.usage.reasoningTokens ?? null,
    cost_usd: usdOrNull(closing?.cost),
    reserved_usd: closing === undefined ? formatUsd(call.reserved) : null,
    estimated: closing?.estimated ?? false,
    service_tier: closing?.serviceTier ?? null,
    bedrock_request_id: closing?.bedrockRequestId ?? null,
  };
}

function usdOrNull(pico: bigint | null | undefined): string | null {
  return pico == null ? null : formatUsd(pico);
}

function isoOrNull(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}
