/** What PostgreSQL's and the network's errors mean for who asked: no database now, a forbidden change, or a fault of ours. */
import pg from "pg";
import { StoreConflict, StoreUnavailable } from "./store.ts";

/**
 * SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html) that say nothing of the statement: the
 * connection, access, resources, an operator at work, the system; a server that only reads; a statement that took too long.
 */
const UNAVAILABLE = /^(08|28|3D|53|57P|58)|^(25006|25P03|57014)$/;
/** Of those the ones after which the connection is as good as before. */
const HARMLESS = /^53|^57014$/;
/** A foreign key, a unique index. */
const CONFLICT = /^(23503|23505)$/;
const DEADLOCK = "40P01";
const STARTING = "57P03";

/** The store's error for one of `pg`; every other error as it is. */
export function postgresError(error: unknown): unknown {
  if (error instanceof StoreUnavailable || error instanceof StoreConflict) return error;
  const state = sqlState(error);
  if (state !== undefined && CONFLICT.test(state)) return new StoreConflict(reasonOf(error), { cause: error });
  if (!isUnavailable(error)) return error;
  return new StoreUnavailable(`PostgreSQL can't be used: ${reasonOf(error)}`, { cause: error });
}

/** Whether the connection is of no use any more: it is gone, or leads to a server that has become a standby. */
export function isLost(error: unknown): boolean {
  return isUnavailable(error) && !HARMLESS.test(sqlState(error) ?? "");
}

/** Whether the transaction was given up for another one: it may be run again. */
export function isDeadlock(error: unknown): boolean {
  return sqlState(error) === DEADLOCK;
}

/** Whether the server has just been started, and will take connections in a moment. */
export function isStarting(error: unknown): boolean {
  return sqlState(error) === STARTING;
}

/** In words. Where a name has several addresses, each has failed for a reason of its own. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join("; ");
  return error instanceof Error ? error.message : String(error);
}

/** Of the server's own errors. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

function isUnavailable(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined) return UNAVAILABLE.test(state);
  // What is not the server's answer comes from the network or the driver, but for mistakes of ours.
  return error instanceof Error && !(error instanceof TypeError || error instanceof RangeError);
}
