/**
 * What the admin API answers, as far as the page shows it.
 */
import { anything, entries, flag, list, nullable, number, object, text, time, usd } from "./decode.js";

export { anything };

/** @type {import("./decode.js").Decoder<undefined>} */
export const nothing = () => undefined;

export const refusal = object({ error: object({ message: text, field: anything }) });

const totals = {
  requests: number,
  errors: number,
  interrupted: number,
  input_tokens: number,
  output_tokens: number,
  cache_read_tokens: number,
  cache_write_tokens: number,
  cost_usd: nullable(usd),
  estimated_requests: number,
  unpriced_requests: number,
};

const usageRow = object(totals);

/**
 * Tokens, money and counts of some calls.
 * @typedef {ReturnType<typeof usageRow>} Totals
 */

/**
 * `group` is the key's id, the team, the model or the day; null: no team.
 * @typedef {Totals & { group: string | null, name: string | null }} UsageRow
 */

/**
 * @param {"key" | "team" | "model" | "day"} by
 * @returns {import("./decode.js").Decoder<UsageRow[]>}
 */
export function usage(by) {
  const member = by === "key" ? "key_id" : by;
  const group = object({ [member]: nullable(text) });
  const name = object({ name: nullable(text) });
  return list((value, at) => ({
    ...usageRow(value, at),
    group: group(value, at)[member] ?? null,
    name: by === "key" ? name(value, at).name : null,
  }));
}

const point = object({ ...totals, at: time, group: nullable(text) });
export const series = list(point);

/** @typedef {ReturnType<typeof point>} SeriesPoint */

const modelLatency = object({
  model: text,
  requests: number,
  duration_p50_ms: nullable(number),
  duration_p95_ms: nullable(number),
  first_token_p50_ms: nullable(number),
  first_token_p95_ms: nullable(number),
});
export const latency = list(modelLatency);

/** @typedef {ReturnType<typeof modelLatency>} ModelLatency */

const budget = object({
  kind: text,
  id: text,
  name: text,
  period: text,
  budget_usd: nullable(usd),
  soft_budget_usd: nullable(usd),
  spent_usd: usd,
  reserved_usd: usd,
  resets_at: nullable(time),
});
export const budgets = list(budget);

/** @typedef {ReturnType<typeof budget>} Budget */

const limits = {
  rpm: nullable(number),
  tpm: nullable(number),
  parallel: nullable(number),
  budget_usd: nullable(usd),
  soft_budget_usd: nullable(usd),
  budget_period: text,
};

const keyMembers = {
  ...limits,
  id: text,
  name: text,
  owner: nullable(text),
  team: nullable(text),
  tags: list(text),
  note: nullable(text),
  prefix: text,
  models: list(text),
  status: text,
  expires_at: nullable(time),
  created_at: time,
  last_used_at: nullable(time),
};
const key = object(keyMembers);
export const keys = list(key);
/** The answer that has the secret, as `key`: the only time. */
export const issuedKey = object({ ...keyMembers, key: text });

/** @typedef {ReturnType<typeof key>} Key */

const team = object({ ...limits, name: text, note: nullable(text), keys: number, created_at: nullable(time) });
export const teams = list(team);

/** @typedef {ReturnType<typeof team>} Team */

const call = object({
  id: text,
  call_id: nullable(text),
  key_id: text,
  key_name: nullable(text),
  model: text,
  model_requested: text,
  region: text,
  status: text,
  http_status: nullable(number),
  error_code: nullable(text),
  started_at: time,
  duration_ms: nullable(number),
  first_token_ms: nullable(number),
  input_tokens: number,
  output_tokens: number,
  cache_read_tokens: number,
  cache_write_tokens: number,
  cost_usd: nullable(usd),
  estimated: flag,
});
export const calls = list(call);

/** @typedef {ReturnType<typeof call>} Call */

const auditEntry = object({
  id: text,
  at: time,
  by: text,
  action: text,
  subject: text,
  changes: entries(object({ from: anything, to: anything })),
});
export const audit = list(auditEntry);

/** @typedef {ReturnType<typeof auditEntry>} AuditEntry */
