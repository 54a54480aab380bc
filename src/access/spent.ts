/** What a key or a team has spent in the running period of its budget, for those who show it; what refuses calls asks the store itself. */
import type { BudgetSubject, CallStore, Limits } from "../store/store.ts";

/** Pico-dollars of calls that have ended; null without a budget, as nothing says over what time. */
export async function spentOf(
  calls: Pick<CallStore, "budgets">,
  subject: BudgetSubject,
  { budget, softBudget, budgetPeriod: period }: Limits,
  at: number,
): Promise<bigint | null> {
  if (budget === null && softBudget === null) return null;
  const [state] = await calls.budgets([{ subject, period, limit: budget ?? undefined }], at);
  return state?.spent ?? 0n;
}
