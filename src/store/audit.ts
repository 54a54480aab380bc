/**
 * Who changed what: one row a change, written in the change's own transaction.
 *
 * Settings have the names that the command line's JSON gives them. Secrets appear as the prefix that may be shown; a hash
 * never does.
 */
import { randomBytes } from "node:crypto";
import type { Transaction } from "kysely";
import { formatUsd } from "../money.ts";
import { integer } from "./columns.ts";
import type { Database, Tables } from "./database.ts";
import type { AuditAction, AuditEntry, AuditStore, Change, Limits } from "./store.ts";

export type Changes = AuditEntry["changes"];
/** Settings by their JSON names. */
export type Described = Readonly<Record<string, unknown>>;

const ACTIONS: readonly AuditAction[] = [
  "key.create",
  "key.update",
  "key.block",
  "key.unblock",
  "key.revoke",
  "key.rotate",
  "team.set",
  "team.remove",
];

export function createAudit({ query }: Database): AuditStore {
  return {
    async list({ subject, before, limit }) {
      const rows = await query
        .selectFrom("audit")
        .selectAll()
        .$if(subject !== undefined, (select) => select.where("subject", "=", subject ?? ""))
        .$if(before !== undefined, (select) => select.where("at", "<", BigInt(before ?? 0)))
        .orderBy("at", "desc")
        .orderBy("id", "desc")
        .limit(limit)
        .execute();
      return rows.map((row) => ({
        id: row.id,
        at: integer(row.at),
        by: row.actor,
        action: toAction(row.action),
        subject: row.subject,
        changes: JSON.parse(row.changes),
      }));
    },
  };
}

export async function writeAudit(
  transaction: Transaction<Tables>,
  { at, by }: Change,
  entries: readonly { readonly action: AuditAction; readonly subject: string; readonly changes: Changes }[],
): Promise<void> {
  const rows = entries.map(({ action, subject, changes }) => ({
    id: nextId(),
    at,
    actor: by,
    action,
    subject,
    changes: JSON.stringify(changes),
  }));
  await transaction.insertInto("audit").values(rows).execute();
}

let lastTick = 0n;

/** Ordered by time: what one process changes within a millisecond is listed in its order. */
function nextId(): string {
  const tick = BigInt(Date.now()) * 4096n;
  lastTick = tick > lastTick ? tick : lastTick + 1n;
  return lastTick.toString(16).padStart(16, "0") + randomBytes(4).toString("hex");
}

/** What differs between two descriptions; what one of them does not name is null there. */
export function difference(before: Described, after: Described): Changes {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const pairs = names.map((name) => [name, { from: before[name] ?? null, to: after[name] ?? null }] as const);
  return Object.fromEntries(pairs.filter(([, { from, to }]) => JSON.stringify(from) !== JSON.stringify(to)));
}

export function describeLimits({ rpm, tpm, parallel, budget, softBudget, budgetPeriod }: Limits): Described {
  return {
    rpm,
    tpm,
    parallel,
    budget_usd: usdOrNull(budget),
    soft_budget_usd: usdOrNull(softBudget),
    budget_period: budgetPeriod,
  };
}

export function isoOrNull(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}

function usdOrNull(pico: bigint | null): string | null {
  return pico === null ? null : formatUsd(pico);
}

function toAction(text: string): AuditAction {
  const action = ACTIONS.find((known) => known === text);
  if (action === undefined) throw new Error(`the audit holds ${JSON.stringify(text)}, which is no action`);
  return action;
}
