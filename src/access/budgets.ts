/**
 * Budgets of keys and teams: which ones a call is held to, and what a caller hears when one is used up or nearly.
 *
 * Whether a call may begin is decided where its row is opened, exactly. The gate before it only spares the gateway the body
 * of a request that would be refused anyway: it knows the state of a moment ago.
 */
import { LRUCache } from "lru-cache";
import { GatewayError } from "../errors.ts";
import { formatUsd } from "../money.ts";
import type { Budget, BudgetPeriod, BudgetState, CallStore, Limits } from "../store/store.ts";
import { isCurrent } from "../time.ts";
import type { Caller } from "./authenticate.ts";

export interface BudgetGateOptions {
  readonly calls: Pick<CallStore, "budgets">;
  /** Unix milliseconds. */
  readonly now: () => number;
  /** How long a state that was read counts as current. */
  readonly maxAgeMs?: number;
  readonly maxCachedKeys?: number;
}

export interface BudgetGate {
  /** Throws GatewayError: `insufficient_quota`, or `unavailable` when the store can't be read. */
  check(caller: Caller): Promise<void>;
}

interface Entry {
  readonly readAt: number;
  readonly states: Promise<readonly BudgetState[]>;
}

const PERIODS: Readonly<Record<BudgetPeriod, string>> = { day: "a day", month: "a month", total: "in all" };

const DONE = Promise.resolve();

/** The key's first, then its team's. */
export function budgetsOf({ key, team }: Caller): Budget[] {
  const budgets: Budget[] = [];
  if (hasBudget(key)) budgets.push(budgetOf(`key:${key.id}`, key));
  if (team !== null && hasBudget(team)) budgets.push(budgetOf(`team:${team.name}`, team));
  return budgets;
}

/** `insufficient_quota` for the first budget that has been reached by what is spent and in flight; undefined: for none. */
export function budgetRefusal(states: readonly BudgetState[], now: number): GatewayError | undefined {
  const reached = states.find(
    ({ budget, spent, reserved }) => budget.limit !== undefined && spent + reserved >= budget.limit,
  );
  if (reached === undefined) return undefined;
  const { subject, period, limit = 0n } = reached.budget;
  const { spent, reserved } = reached;
  const whose = isOfKey(subject) ? "this API key" : `the team ${JSON.stringify(subject.slice("team:".length))}`;
  const held = reserved > 0n ? ` and ${formatUsd(reserved)} USD held by calls that still run` : "";
  return new GatewayError(
    "insufficient_quota",
    `The budget of ${whose} is used up: of ${formatUsd(limit)} USD ${PERIODS[period]}, ` +
      `${formatUsd(spent)} USD are spent${held}. ${remedy(period, now)}`,
    { reached: { limit: "budget", subject: isOfKey(subject) ? "key" : "team" } },
  );
}

/** A sentence for each soft budget that has been reached; they are fit for a header. */
export function budgetWarnings(states: readonly BudgetState[], { key, team }: Caller): string[] {
  return states.flatMap(({ budget: { subject, period }, spent }) => {
    const soft = isOfKey(subject) ? key.softBudget : (team?.softBudget ?? null);
    if (soft === null || spent < soft) return [];
    const whose = isOfKey(subject) ? "this API key" : "the team of this API key";
    const amounts = `of ${formatUsd(soft)} USD ${PERIODS[period]}, ${formatUsd(spent)} USD are spent`;
    return [`The soft budget of ${whose} has been reached: ${amounts}.`];
  });
}

export function createBudgetGate(options: BudgetGateOptions): BudgetGate {
  const { calls, now, maxAgeMs = 1000, maxCachedKeys = 10_000 } = options;
  const entries = new LRUCache<string, Entry>({ max: maxCachedKeys });

  function read(keyId: string, budgets: readonly Budget[], at: number): Entry {
    const entry = { readAt: at, states: calls.budgets(budgets, at) };
    entries.set(keyId, entry);
    return entry;
  }

  async function check(caller: Caller): Promise<void> {
    const at = now();
    const known = entries.get(caller.key.id);
    const current = known !== undefined && isCurrent(known.readAt, at, maxAgeMs);
    const { states } = current ? known : read(caller.key.id, budgetsOf(caller), at);
    const refusal = budgetRefusal(await readable(states, caller), at);
    if (refusal !== undefined) throw refusal;
  }

  async function readable(states: Entry["states"], caller: Caller): Promise<readonly BudgetState[]> {
    try {
      return await states;
    } catch (cause) {
      entries.delete(caller.key.id);
      throw new GatewayError("unavailable", "The budget of this API key can't be checked now. Try again in a moment.", {
        retryAfter: 1,
        cause,
      });
    }
  }

  // Soft budgets alone refuse nothing.
  const mayRefuse = ({ key, team }: Caller) => key.budget !== null || (team !== null && team.budget !== null);
  return { check: (caller) => (mayRefuse(caller) ? check(caller) : DONE) };
}

function hasBudget({ budget, softBudget }: Limits): boolean {
  return budget !== null || softBudget !== null;
}

function budgetOf(subject: Budget["subject"], { budget, budgetPeriod }: Limits): Budget {
  return { subject, period: budgetPeriod, limit: budget ?? undefined };
}

function isOfKey(subject: Budget["subject"]): boolean {
  return subject.startsWith("key:");
}

function remedy(period: BudgetPeriod, now: number): string {
  if (period === "total") return "Ask the gateway's operator for a higher one.";
  const date = new Date(now);
  const day = period === "day" ? date.getUTCDate() + 1 : 1;
  const month = date.getUTCMonth() + (period === "month" ? 1 : 0);
  const begin = new Date(Date.UTC(date.getUTCFullYear(), month, day)).toISOString();
  return `It begins anew on ${begin.slice(0, 10)} at 00:00 UTC; or ask the gateway's operator for a higher one.`;
}
