/**
 * What a key or a team has spent: one row each with its newest day, its newest month and all time, and what its calls in
 * flight hold.
 *
 * A call counts in the UTC day and month in which it began. One that ends after the row has moved on to a newer day counts
 * in the month, if that is still the newest, and in all time. Sums are micro-dollars and the pico-dollars that are left of
 * each addend, apart: one sum of pico-dollars would leave 64 bits at 9 million USD.
 */
import type { Budget, BudgetState, BudgetSubject, CallOpening } from "./store.ts";

/** A row of `spend` as it is read; of a subject without one all is 0. In pico-dollars. */
export interface Spend {
  readonly day: number;
  readonly dayCost: bigint;
  readonly month: number;
  readonly monthCost: bigint;
  readonly total: bigint;
  readonly reserved: bigint;
}

export const NO_SPEND: Spend = { day: 0, dayCost: 0n, month: 0, monthCost: 0n, total: 0n, reserved: 0n };

/** What is added to a row: to its day and month only where they are not older than the row's. */
export interface SpendIncrement {
  readonly subject: string;
  day: number;
  dayCost: bigint;
  month: number;
  monthCost: bigint;
  total: bigint;
  reserved: bigint;
}

const DAY_MS = 86_400_000;

/** Since 1970. */
export function dayOf(at: number): number {
  return Math.floor(at / DAY_MS);
}

/** Since January 1970. */
export function monthOf(at: number): number {
  const date = new Date(at);
  return (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth();
}

/** Of the period in which a call that begins at `at` counts. Once the row has moved on, that is the row's own. */
export function spentAt(spend: Spend, period: Budget["period"], at: number): bigint {
  if (period === "total") return spend.total;
  if (period === "day") return spend.day >= dayOf(at) ? spend.dayCost : 0n;
  return spend.month >= monthOf(at) ? spend.monthCost : 0n;
}

export function budgetState(budget: Budget, spend: Spend, at: number): BudgetState {
  return { budget, spent: spentAt(spend, budget.period, at), reserved: spend.reserved };
}

export function isReached({ budget, spent, reserved }: BudgetState): boolean {
  return budget.limit !== undefined && spent + reserved >= budget.limit;
}

/** Whom a call's cost is charged to, and who holds what it reserves. */
export function subjectsOf({ keyId, team }: Pick<CallOpening, "keyId" | "team">): BudgetSubject[] {
  return team === null ? [`key:${keyId}`] : [`key:${keyId}`, `team:${team}`];
}

/** Whose it is, and when it counts. */
export type Spending = Pick<CallOpening, "keyId" | "team" | "startedAt">;

/** In pico-dollars. */
export interface SpendChange {
  readonly cost: bigint;
  readonly reserved: bigint;
}

/** What a batch adds, one increment a subject. */
export class SpendSums {
  readonly #sums = new Map<string, SpendIncrement>();

  add(call: Spending, change: SpendChange): void {
    if (change.cost === 0n && change.reserved === 0n) return;
    for (const subject of subjectsOf(call)) this.#addTo(subject, call.startedAt, change);
  }

  /** In the order of the subjects: whoever writes several rows takes them in one order, and nobody waits in a circle. */
  sorted(): SpendIncrement[] {
    return [...this.#sums.values()].sort((a, b) => (a.subject < b.subject ? -1 : 1));
  }

  subjects(): string[] {
    return [...this.#sums.keys()];
  }

  #addTo(subject: string, startedAt: number, { cost, reserved }: SpendChange): void {
    let sum = this.#sums.get(subject);
    if (sum === undefined) {
      sum = { subject, day: 0, dayCost: 0n, month: 0, monthCost: 0n, total: 0n, reserved: 0n };
      this.#sums.set(subject, sum);
    }
    sum.reserved += reserved;
    if (cost === 0n) return;
    sum.total += cost;
    const day = dayOf(startedAt);
    if (day > sum.day) Object.assign(sum, { day, dayCost: 0n });
    if (day === sum.day) sum.dayCost += cost;
    const month = monthOf(startedAt);
    if (month > sum.month) Object.assign(sum, { month, monthCost: 0n });
    if (month === sum.month) sum.monthCost += cost;
  }
}

const MICRO = 1_000_000n;

/** A sum of pico-dollars as its two columns have it; their signs are the same. */
export function toColumns(pico: bigint): { readonly micro: bigint; readonly rest: bigint } {
  return { micro: pico / MICRO, rest: pico % MICRO };
}

export function fromColumns(micro: bigint, rest: bigint): bigint {
  return micro * MICRO + rest;
}
