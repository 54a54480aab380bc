/**
 * The ledger: one row a call, opened before it is forwarded and closed with what it used.
 *
 * What every request writes goes through the ledger's queue, in batches; here is what is read and what is pruned, by
 * Kysely for both databases. Searches run where reports do, off the event loop.
 */
import { type ExpressionBuilder, type SqlBool, sql } from "kysely";
import { callOf, spendOf } from "./calls-row.ts";
import { integer } from "./columns.ts";
import type { Database, Tables } from "./database.ts";
import type { CloseOperation } from "./ledger-batch.ts";
import type { LedgerQueue } from "./ledger-queue.ts";
import { budgetState, NO_SPEND } from "./spend.ts";
import type { Amendment, Call, CallClosing, CallQuery, CallStore, OpenedCall } from "./store.ts";

/** Amendments in one transaction: it must not hold up the calls. */
const AMENDED_AT_ONCE = 200;
const PAGE = 500;
/** Names of rows to remove that one statement takes. */
const MAX_PRUNED = 5000;

export function createCalls(database: Database, queue: LedgerQueue): CallStore {
  const { query, reports } = database;

  function end(id: string, closing: CallClosing, abandoned: boolean): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const operation: CloseOperation = { kind: "close", id, closing, abandoned, resolve, reject };
      queue.add(operation);
    });
  }

  function amendOne(amendment: Amendment): Promise<boolean> {
    return new Promise((resolve, reject) => {
      queue.add({ kind: "amend", id: amendment.id, amendment, resolve, reject });
    });
  }

  return {
    open: (call) =>
      new Promise<OpenedCall>((resolve, reject) => {
        queue.add({ kind: "open", id: call.id, call, resolve, reject });
      }),
    async close(id, closing) {
      await end(id, closing, false);
    },
    abandon: (id, closing) => end(id, closing, true),
    async amend(amendments) {
      let count = 0;
      for (let done = 0; done < amendments.length; done += AMENDED_AT_ONCE) {
        const found = await Promise.all(amendments.slice(done, done + AMENDED_AT_ONCE).map(amendOne));
        count += found.filter((was) => was).length;
      }
      return count;
    },
    async get(id) {
      const row = await query.selectFrom("calls").selectAll().where("id", "=", id).executeTakeFirst();
      return row && callOf(row);
    },
    list: async (wanted) => (await listed(database, wanted).execute()).map(callOf),
    async orphans(instances, limit) {
      let open = query.selectFrom("calls").selectAll().where("status", "is", null);
      if (instances.length > 0) {
        open = open.where((call) => call.or([call("instance", "is", null), call("instance", "not in", instances)]));
      }
      return (await open.orderBy("started_at").orderBy("id").limit(limit).execute()).map(callOf);
    },
    async budgets(budgets, at) {
      if (budgets.length === 0) return [];
      const subjects = [...new Set(budgets.map(({ subject }) => subject))];
      const rows = await query.selectFrom("spend").selectAll().where("subject", "in", subjects).execute();
      const spent = new Map(rows.map((row) => [row.subject, spendOf(row)]));
      return budgets.map((budget) => budgetState(budget, spent.get(budget.subject) ?? NO_SPEND, at));
    },
    async *byBedrockRequest({ from, to }): AsyncGenerator<Call> {
      let last = { at: from, id: "" };
      for (;;) {
        const { at, id } = last;
        const rows = await reports
          .selectFrom("calls")
          .selectAll()
          .where("bedrock_request_id", "is not", null)
          .where("started_at", ">=", BigInt(at))
          .where("started_at", "<", BigInt(to))
          .where((call) => call.or([call("started_at", ">", BigInt(at)), call("id", ">", id)]))
          .orderBy("started_at")
          .orderBy("id")
          .limit(PAGE)
          .execute();
        const calls = rows.map(callOf);
        yield* calls;
        const end = calls.at(-1);
        if (end === undefined || calls.length < PAGE) return;
        last = { at: end.startedAt, id: end.id };
      }
    },
    prune: (before, limit) => prune(database, before, Math.min(limit, MAX_PRUNED)),
  };
}

function listed({ reports }: Database, { keyId, team, status, model, from, to, limit }: CallQuery) {
  let calls = reports.selectFrom("calls").selectAll();
  if (keyId !== undefined) calls = calls.where("key_id", "=", keyId);
  if (team !== undefined) calls = calls.where("team", "=", team);
  if (status === "open") calls = calls.where("status", "is", null);
  else if (status !== undefined) calls = calls.where("status", "=", status);
  if (model !== undefined) {
    calls = calls.where((call) => call.or([call("model_invoked", "=", model), call("model_requested", "=", model)]));
  }
  if (from !== undefined) calls = calls.where("started_at", ">=", BigInt(from));
  if (to !== undefined) calls = calls.where("started_at", "<", BigInt(to));
  return calls.orderBy("started_at", "desc").orderBy("id", "desc").limit(limit);
}

/** A call goes with all its attempts, and only once each of them may: none is left that points to nothing. */
function prune(database: Database, before: number, limit: number): Promise<number> {
  return database.write(async (transaction) => {
    const calls = await transaction
      .selectFrom("calls as call")
      .select((call) => [
        "call.id",
        attempts(call)
          .select((row) => row.fn.countAll<bigint>().as("n"))
          .as("attempts"),
      ])
      .where("call.call_id", "is", null)
      .where("call.status", "is not", null)
      .where("call.started_at", "<", BigInt(before))
      .where((call) =>
        call.not(
          call.exists(
            attempts(call)
              .select(sql<SqlBool>`1`.as("one"))
              .where((row) =>
                row.or([row("attempt.status", "is", null), row("attempt.started_at", ">=", BigInt(before))]),
              ),
          ),
        ),
      )
      .orderBy("call.started_at")
      .limit(limit)
      .execute();
    const ids: string[] = [];
    let rows = 0;
    for (const { id, attempts } of calls) {
      rows += 1 + integer(attempts ?? 0n);
      // One call may have more rows than the limit, and goes nevertheless.
      if (rows > limit && ids.length > 0) break;
      ids.push(id);
    }
    if (ids.length === 0) return 0;
    const removed = await transaction.deleteFrom("calls").where("call_id", "in", ids).executeTakeFirst();
    const roots = await transaction.deleteFrom("calls").where("id", "in", ids).executeTakeFirst();
    return integer(removed.numDeletedRows + roots.numDeletedRows);
  });
}

function attempts(call: ExpressionBuilder<Tables & { call: Tables["calls"] }, "call">) {
  return call.selectFrom("calls as attempt").whereRef("attempt.call_id", "=", "call.id");
}
