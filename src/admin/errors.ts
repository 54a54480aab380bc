/**
 * What the admin API answers when it can't do what it was asked: `{"error":{"message","field"}}`.
 *
 * Messages are for the operator who asked. They never repeat a token, a key or the inside of a fault.
 */
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { KeyInputError, KeyNotFoundError } from "../access/keys.ts";
import { LineFull } from "../media/slots.ts";
import { StoreConflict, StoreUnavailable } from "../store/store.ts";

export interface AdminErrorOptions {
  /** The member of the body, or the parameter, at fault. */
  readonly field?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

export class AdminError extends Error {
  override readonly name = "AdminError";
  readonly status: ContentfulStatusCode;
  readonly field: string | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: ContentfulStatusCode, message: string, { field, headers = {} }: AdminErrorOptions = {}) {
    super(message);
    this.status = status;
    this.field = field;
    this.headers = headers;
  }
}

const BUSY_SECONDS = "2";

/** The names that settings have in JSON, where they are not the same. */
const FIELDS: Readonly<Record<string, string>> = {
  expiresAt: "expires_at",
  budget: "budget_usd",
  softBudget: "soft_budget_usd",
  budgetPeriod: "budget_period",
};

/** `onFault` hears of what is nobody's mistake. */
export function answerError(context: Context, error: unknown, onFault: (error: unknown) => void): Response {
  const { status, message, field, headers } = toAdminError(error, onFault);
  return context.json({ error: { message, ...(field !== undefined && { field }) } }, status, { ...headers });
}

function toAdminError(error: unknown, onFault: (error: unknown) => void): AdminError {
  if (error instanceof AdminError) return error;
  if (error instanceof KeyNotFoundError) return new AdminError(404, error.message);
  if (error instanceof KeyInputError) {
    const setting = error.problems.find((problem) => problem.setting !== undefined)?.setting;
    // Settings that are right, on a key whose state forbids it: a revoked one stays revoked.
    if (setting === undefined) return new AdminError(409, error.message);
    return new AdminError(400, error.message, { field: FIELDS[setting] ?? setting });
  }
  if (error instanceof StoreConflict) return new AdminError(409, error.message);
  if (error instanceof HTTPException) return new AdminError(error.status, error.message || "The request is malformed.");
  if (error instanceof LineFull) return busy();
  onFault(error);
  const headers = { "retry-after": BUSY_SECONDS };
  if (error instanceof StoreUnavailable) {
    return new AdminError(503, "The database can't be reached; the gateway's log says why.", { headers });
  }
  return new AdminError(500, "The gateway failed; its log says why.");
}

export function busy(): AdminError {
  return new AdminError(429, "Too many reports are being made; try again.", {
    headers: { "retry-after": BUSY_SECONDS },
  });
}
