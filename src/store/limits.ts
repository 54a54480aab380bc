/** The columns that keys and teams have in common: what they may use. */
import { integerOrNull } from "./columns.ts";
import type { BudgetPeriod, Limits } from "./store.ts";

interface LimitColumns {
  readonly rpm: bigint | null;
  readonly tpm: bigint | null;
  readonly parallel: bigint | null;
  readonly budget: bigint | null;
  readonly soft_budget: bigint | null;
  readonly budget_period: string;
}

export function toLimits(row: LimitColumns): Limits {
  return {
    rpm: integerOrNull(row.rpm),
    tpm: integerOrNull(row.tpm),
    parallel: integerOrNull(row.parallel),
    budget: row.budget,
    softBudget: row.soft_budget,
    budgetPeriod: toPeriod(row.budget_period),
  };
}

export function limitColumns({ rpm, tpm, parallel, budget, softBudget, budgetPeriod }: Limits) {
  return { rpm, tpm, parallel, budget, soft_budget: softBudget, budget_period: budgetPeriod };
}

function toPeriod(text: string): BudgetPeriod {
  if (text === "day" || text === "month" || text === "total") return text;
  throw new Error(`the database holds a budget by ${JSON.stringify(text)}`);
}
