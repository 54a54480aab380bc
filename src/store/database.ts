/**
 * What the two databases have in common: the tables, and how the rest of this folder asks for rows.
 *
 * Integers are bigints when they are read, on both sides: 64 bits are more than a number holds.
 */
import type { ColumnType, Kysely, Transaction } from "kysely";

export type Integer = ColumnType<bigint, number | bigint, number | bigint>;
type IntegerOrNull = ColumnType<bigint | null, number | bigint | null | undefined, number | bigint | null>;
type Defaulted<T> = ColumnType<T, T | undefined, T>;
type DefaultedInteger = ColumnType<bigint, number | bigint | undefined, number | bigint>;
type TextOrNull = ColumnType<string | null, string | null | undefined, string | null>;

export interface KeysTable {
  id: string;
  name: string;
  owner: TextOrNull;
  team: TextOrNull;
  /** A JSON array. */
  tags: Defaulted<string>;
  note: TextOrNull;
  /** A JSON array. */
  models: string;
  rpm: IntegerOrNull;
  tpm: IntegerOrNull;
  parallel: IntegerOrNull;
  budget: IntegerOrNull;
  soft_budget: IntegerOrNull;
  budget_period: Defaulted<string>;
  expires_at: IntegerOrNull;
  blocked_at: IntegerOrNull;
  created_at: Integer;
  created_by: TextOrNull;
  revoked_at: IntegerOrNull;
  last_used_at: IntegerOrNull;
}

export interface SecretsTable {
  sha256: string;
  key_id: string;
  prefix: string;
  created_at: Integer;
  replaced_at: IntegerOrNull;
}

export interface TeamsTable {
  name: string;
  note: TextOrNull;
  rpm: IntegerOrNull;
  tpm: IntegerOrNull;
  parallel: IntegerOrNull;
  budget: IntegerOrNull;
  soft_budget: IntegerOrNull;
  budget_period: string;
  created_at: Integer;
}

export interface AuditTable {
  id: string;
  at: Integer;
  actor: string;
  action: string;
  subject: string;
  /** A JSON object. */
  changes: string;
}

export interface CallsTable {
  id: string;
  key_id: string;
  team: TextOrNull;
  dialect: string;
  model_requested: string;
  model_invoked: string;
  foundation_model: TextOrNull;
  region: string;
  /** 0 or 1, as all flags. */
  stream: Integer;
  started_at: Integer;
  call_id: TextOrNull;
  instance: TextOrNull;
  input_estimate: DefaultedInteger;
  reserved: DefaultedInteger;
  status: TextOrNull;
  abandoned: DefaultedInteger;
  http_status: IntegerOrNull;
  error_code: TextOrNull;
  input_tokens: DefaultedInteger;
  output_tokens: DefaultedInteger;
  cache_read_tokens: DefaultedInteger;
  cache_write_tokens: DefaultedInteger;
  cache_write_1h_tokens: DefaultedInteger;
  reasoning_tokens: IntegerOrNull;
  estimated: DefaultedInteger;
  cost: IntegerOrNull;
  service_tier: TextOrNull;
  finished_at: IntegerOrNull;
  first_token_at: IntegerOrNull;
  bedrock_request_id: TextOrNull;
}

export interface InstancesTable {
  id: string;
  host: string;
  pid: Integer;
  started_at: Integer;
  seen_at: Integer;
}

export interface SpendTable {
  subject: string;
  day: Integer;
  day_micro: Integer;
  day_rest: Integer;
  month: Integer;
  month_micro: Integer;
  month_rest: Integer;
  total_micro: Integer;
  total_rest: Integer;
  reserved_micro: Integer;
  reserved_rest: Integer;
}

export interface UsageHoursTable {
  /** Unix milliseconds of its begin. */
  hour: Integer;
  key_id: string;
  /** Empty: none. */
  team: string;
  /** The one that was invoked. */
  model: string;
  requests: Integer;
  errors: Integer;
  interrupted: Integer;
  input_tokens: Integer;
  output_tokens: Integer;
  cache_read_tokens: Integer;
  cache_write_tokens: Integer;
  cache_write_1h_tokens: Integer;
  reasoning_tokens: Integer;
  estimated_requests: Integer;
  unpriced_requests: Integer;
  priced_rows: Integer;
  cost_micro: Integer;
  cost_rest: Integer;
}

export interface AnswersTable {
  id: string;
  key_id: string;
  previous: TextOrNull;
  /** Of its items. */
  bytes: Integer;
  created_at: Integer;
  expires_at: Integer;
  /** JSON. */
  answer: string;
}

export interface AnswerItemsTable {
  answer_id: string;
  position: Integer;
  item_id: TextOrNull;
  /** JSON. */
  item: string;
}

export interface Tables {
  keys: KeysTable;
  secrets: SecretsTable;
  teams: TeamsTable;
  audit: AuditTable;
  calls: CallsTable;
  instances: InstancesTable;
  spend: SpendTable;
  usage_hours: UsageHoursTable;
  answers: AnswersTable;
  answer_items: AnswerItemsTable;
}

export interface Database {
  readonly kind: "sqlite" | "postgres";
  /** Single statements, which are short. */
  readonly query: Kysely<Tables>;
  /** Long reads: on connections of their own, off the event loop where the database runs in this process. */
  readonly reports: Kysely<Tables>;
  /**
   * One transaction. On SQLite it has locked out all other writers, this process's grouped writes among them, from its
   * begin: `work` must wait for nothing but its own statements. On PostgreSQL it may run again after a deadlock.
   */
  write<T>(work: (transaction: Transaction<Tables>) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}
