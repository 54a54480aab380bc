/**
 * What the gateway remembers: keys with their secrets, teams, who changed what, the ledger of calls and its totals, and
 * answers where the operator lets them be stored.
 *
 * Plain records and asynchronous interfaces, the same over SQLite and PostgreSQL; SQL stays behind them, in this folder.
 * Times are Unix milliseconds, money is pico-dollars (10⁻¹² USD), days, months and hours are UTC. Secrets never get here:
 * only their SHA-256 and the prefix that is shown.
 */

export interface Store {
  readonly keys: KeyStore;
  readonly teams: TeamStore;
  readonly audit: AuditStore;
  readonly calls: CallStore;
  readonly instances: InstanceStore;
  readonly reports: ReportStore;
  readonly answers: AnswerStore;
  /** Finishes the writes that were asked for, then closes the database. */
  close(): Promise<void>;
}

/**
 * The database can't be reached or can't write; what was asked for has not happened. Only where the connection was lost
 * during the commit itself nobody knows. Its message is for the operator.
 */
export class StoreUnavailable extends Error {
  override readonly name = "StoreUnavailable";
}

/** A change that another one forbids: a name that is taken, a key that is not there any more. */
export class StoreConflict extends Error {
  override readonly name = "StoreConflict";
}

// Keys and teams

export type BudgetPeriod = "day" | "month" | "total";

/** What a key or a team may use; null: unlimited. */
export interface Limits {
  /** Requests per minute. */
  readonly rpm: number | null;
  /** Tokens per minute. */
  readonly tpm: number | null;
  /** Requests at once. */
  readonly parallel: number | null;
  /** Pico-dollars, whole micro-dollars: nothing more is forwarded once it is spent. */
  readonly budget: bigint | null;
  /** Pico-dollars, whole micro-dollars: from here on answers carry a warning. */
  readonly softBudget: bigint | null;
  /** Of both budgets. */
  readonly budgetPeriod: BudgetPeriod;
}

export const NO_LIMITS: Limits = {
  rpm: null,
  tpm: null,
  parallel: null,
  budget: null,
  softBudget: null,
  budgetPeriod: "month",
};

export interface Key extends Limits {
  /** `key_` and 20 hex digits. */
  readonly id: string;
  readonly name: string;
  /** Who answers for it: a person's address or a service. */
  readonly owner: string | null;
  readonly team: string | null;
  readonly tags: readonly string[];
  readonly note: string | null;
  /** The first characters of the newest secret, to recognise it by. */
  readonly prefix: string;
  /** Model ids, aliases, or patterns with `*`. Empty: every model. */
  readonly models: readonly string[];
  readonly expiresAt: number | null;
  /** Refused from this time on, until somebody unblocks it. */
  readonly blockedAt: number | null;
  readonly createdAt: number;
  /** Null for keys from before it was noted. */
  readonly createdBy: string | null;
  readonly revokedAt: number | null;
  /** To the minute or so: it is not written on every request. */
  readonly lastUsedAt: number | null;
}

export type KeySettings = Pick<Key, "name" | "owner" | "team" | "tags" | "note" | "models" | "expiresAt"> & Limits;

/** Who changes something, and when: a row of the audit. */
export interface Change {
  readonly at: number;
  /** `cli:alice`, `admin`, `gateway`. */
  readonly by: string;
}

export interface NewSecret {
  /** 64 hex digits. */
  readonly sha256: string;
  readonly prefix: string;
  readonly createdAt: number;
}

export interface NewKey {
  readonly id: string;
  readonly settings: KeySettings;
  readonly secret: NewSecret;
}

export interface FoundSecret {
  readonly key: Key;
  /** Of the key, when its team has been given limits. */
  readonly team: Team | null;
  readonly prefix: string;
  /** When a rotation ended it, or will; null: it ends with its key. */
  readonly replacedAt: number | null;
}

/** Every change is one transaction with its row in the audit. */
export interface KeyStore {
  /** All of them or, when one fails, none. */
  create(keys: readonly NewKey[], change: Change): Promise<Key[]>;
  get(id: string): Promise<Key | undefined>;
  /** Oldest first. */
  list(): Promise<Key[]>;
  findByName(name: string): Promise<Key[]>;
  findBySecret(sha256: string): Promise<FoundSecret | undefined>;
  /** Undefined when there is no such key; so with the ones below. Nothing to change leaves no row in the audit. */
  update(id: string, changes: Partial<KeySettings>, change: Change): Promise<Key | undefined>;
  block(id: string, change: Change): Promise<Key | undefined>;
  unblock(id: string, change: Change): Promise<Key | undefined>;
  /** The first revocation counts. */
  revoke(id: string, change: Change): Promise<Key | undefined>;
  /** Adds a secret; the older ones end at `oldEndAt`, or earlier where they already did. */
  rotate(id: string, secret: NewSecret, oldEndAt: number, change: Change): Promise<Key | undefined>;
  /** Notes that the key was used; never moves back. No row in the audit. */
  touch(id: string, at: number): Promise<void>;
}

/** A team exists by being named in keys; it has a row when it has limits or a note. */
export interface Team extends Limits {
  readonly name: string;
  readonly note: string | null;
  readonly createdAt: number;
}

export type TeamSettings = Pick<Team, "note"> & Limits;

export interface TeamStore {
  get(name: string): Promise<Team | undefined>;
  /** By name. */
  list(): Promise<Team[]>;
  /** Makes it where it is not there yet: what is not given is then unlimited, and the budgets' period a month. */
  set(name: string, changes: Partial<TeamSettings>, change: Change): Promise<Team>;
  /** Ends its limits; its keys stay. False when it had none. */
  remove(name: string, change: Change): Promise<boolean>;
}

export type AuditAction =
  | "key.create"
  | "key.update"
  | "key.block"
  | "key.unblock"
  | "key.revoke"
  | "key.rotate"
  | "team.set"
  | "team.remove";

export interface AuditEntry {
  readonly id: string;
  readonly at: number;
  readonly by: string;
  readonly action: AuditAction;
  /** The key's id or the team's name. */
  readonly subject: string;
  /** Of each setting that changed: what it was and what it became, as JSON has it; money as a decimal in USD. */
  readonly changes: Readonly<Record<string, { readonly from: unknown; readonly to: unknown }>>;
}

export interface AuditQuery {
  readonly subject?: string;
  /** Entries before this time. */
  readonly before?: number;
  readonly limit: number;
}

export interface AuditStore {
  /** Newest first. */
  list(query: AuditQuery): Promise<AuditEntry[]>;
}

// The ledger

export interface CallOpening {
  /** The request id. */
  readonly id: string;
  readonly keyId: string;
  /** The key's team at this moment: moving a key later does not move what its old team has spent. */
  readonly team: string | null;
  /** The process that forwards the call. */
  readonly instance: string;
  readonly dialect: string;
  /** As the client wrote it. */
  readonly modelRequested: string;
  /** The id in Bedrock's path. */
  readonly modelInvoked: string;
  /** What the id stands for, where AWS says so: its price is that model's. */
  readonly foundationModel?: string;
  readonly region: string;
  readonly stream: boolean;
  readonly startedAt: number;
  /** Set on a further attempt: the call that it belongs to. Its tokens count, but it is no request of its own. */
  readonly callId?: string;
  /** What the prompt has by rule of thumb: counted if the call's usage never arrives. */
  readonly inputEstimate: number;
  /** What the call may cost at most, in pico-dollars; 0 where that is not known. Held against the budgets until it is closed. */
  readonly reserved: bigint;
  /** Budgets to be held; none for a further attempt, which belongs to a call that was let through. */
  readonly budgets: readonly Budget[];
}

/** A budget of a key or of a team. */
export interface Budget {
  readonly subject: BudgetSubject;
  readonly period: BudgetPeriod;
  /** Pico-dollars. Undefined: only a soft one; it refuses nothing. */
  readonly limit: bigint | undefined;
}

/** `key:` and the id, `team:` and the name. */
export type BudgetSubject = `key:${string}` | `team:${string}`;

export interface BudgetState {
  readonly budget: Budget;
  /** Pico-dollars of closed calls that began in the period. */
  readonly spent: bigint;
  /** Pico-dollars that calls in flight hold, whenever they began. */
  readonly reserved: bigint;
}

export interface OpenedCall {
  /** False: one of the budgets had been reached by what is spent and in flight, and nothing was written. */
  readonly opened: boolean;
  /** As they were before this call, in the order of the request. */
  readonly budgets: readonly BudgetState[];
}

export interface TokenUsage {
  /** Without cached ones, as Bedrock counts. */
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cacheReadTokens: number;
  /** All cache writes, the one-hour ones included. */
  readonly cacheWriteTokens: number;
  readonly cacheWrite1hTokens?: number;
  /** Part of the output tokens; undefined where the model does not say. */
  readonly reasoningTokens?: number;
}

/** ok: answered whole. error: Bedrock or the gateway refused. interrupted: the client or Bedrock went away half-way. */
export type CallStatus = "ok" | "error" | "interrupted";

export interface CallClosing {
  readonly status: CallStatus;
  /** What the client was sent; 0 when nobody knows, as its process was killed. */
  readonly httpStatus: number;
  readonly errorCode?: string;
  readonly usage: TokenUsage;
  /** The usage is ours, because Bedrock's never arrived. */
  readonly estimated: boolean;
  /** Pico-dollars. Undefined where the model had no price: that is not zero. */
  readonly cost?: bigint;
  /** The tier that Bedrock served, as far as it said so. */
  readonly serviceTier?: string;
  readonly finishedAt: number;
  readonly firstTokenAt?: number;
  readonly bedrockRequestId?: string;
}

/** A row of the ledger; `closing` is undefined while the call runs, and after its process was killed until it is closed for it. */
export interface Call extends Omit<CallOpening, "budgets"> {
  readonly closing: CallClosing | undefined;
}

/** Another account of what a closed call used: AWS's own, or the caller's that came after the call was given up. */
export interface Amendment {
  readonly id: string;
  readonly usage: TokenUsage;
  readonly estimated: boolean;
  readonly cost?: bigint;
  readonly serviceTier?: string;
  readonly bedrockRequestId?: string;
}

export interface CallQuery {
  readonly keyId?: string;
  readonly team?: string;
  readonly status?: CallStatus | "open";
  readonly model?: string;
  readonly from?: number;
  /** Calls that started before this time. */
  readonly to?: number;
  readonly limit: number;
}

export interface CallStore {
  /**
   * Resolves when the row is committed, or refused by a budget: what several processes open at once is decided one after
   * the other. Rejects with StoreUnavailable.
   */
  open(call: CallOpening): Promise<OpenedCall>;
  /**
   * Closes the row, frees what it had reserved, adds it to the totals and to what its key and team have spent, in one
   * transaction. The first closing of a call counts, later ones change nothing; but one takes the place of a closing
   * that was made by `abandon` for a process that still lives. Rejects when the call was never opened.
   */
  close(id: string, closing: CallClosing): Promise<void>;
  /** Closes the row of a process that is gone: as `close`, but a later `close` wins. False when it is closed already. */
  abandon(id: string, closing: CallClosing): Promise<boolean>;
  /** Replaces what closed rows used, in totals and budgets too. Resolves with how many there were. */
  amend(amendments: readonly Amendment[]): Promise<number>;
  get(id: string): Promise<Call | undefined>;
  /** Newest first. */
  list(query: CallQuery): Promise<Call[]>;
  /** Rows that are open and belong to none of `instances`, oldest first. */
  orphans(instances: readonly string[], limit: number): Promise<Call[]>;
  /** In the order given, as a call that begins at `at` would find them. */
  budgets(budgets: readonly Budget[], at: number): Promise<BudgetState[]>;
  /** Rows by Bedrock's request id, of calls that started in a range of time. */
  byBedrockRequest(range: { readonly from: number; readonly to: number }): AsyncIterable<Call>;
  /** Removes closed rows that started before `before`, at most `limit` at once; totals keep them. Resolves with how many. */
  prune(before: number, limit: number): Promise<number>;
}

/** A gateway process. */
export interface Instance {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly startedAt: number;
  /** Its last sign of life. */
  readonly seenAt: number;
}

export interface InstanceStore {
  /** Writes the instance, or its new sign of life. */
  seen(instance: Instance): Promise<void>;
  list(): Promise<Instance[]>;
  remove(id: string): Promise<void>;
}

// Reports: totals that are kept by the hour, so that they cost the same however many calls there were. They never hold up
// the process's other work.

export type UsageGrouping = "key" | "team" | "model" | "day" | "tag";

export interface UsageQuery {
  readonly by: UsageGrouping;
  /** Calls that started at this time or later. */
  readonly from?: number;
  /** Calls that started before this time. */
  readonly to?: number;
}

export interface UsageTotals extends TokenUsage {
  /** The key's id, the team (null: none), the model that was invoked, the UTC day as 2026-12-31, or a tag of the key's (null: none). */
  readonly group: string | null;
  /** The key's name, when grouped by key. */
  readonly name: string | null;
  /** Calls that were forwarded, those that still run too; further attempts are no requests. */
  readonly requests: number;
  readonly errors: number;
  readonly interrupted: number;
  readonly estimatedRequests: number;
  /** Pico-dollars; null when no call that used tokens had a price. */
  readonly cost: bigint | null;
  /** Calls that used tokens and had no price. */
  readonly unpricedRequests: number;
}

export interface SeriesQuery {
  readonly by: "key" | "team" | "model" | "all";
  readonly bucket: "hour" | "day";
  readonly from: number;
  readonly to: number;
  /** How many points at most, the first ones; all when left out. */
  readonly limit?: number;
}

export interface SeriesPoint extends Omit<UsageTotals, "name"> {
  /** The bucket's begin. */
  readonly at: number;
}

export interface LatencyTotals {
  readonly model: string;
  readonly requests: number;
  /** Milliseconds; null where nothing was measured. */
  readonly durationP50: number | null;
  readonly durationP95: number | null;
  readonly firstTokenP50: number | null;
  readonly firstTokenP95: number | null;
}

export interface ReportStore {
  /**
   * Ordered by name or group, what has no group last. By tag a call counts for each tag that its key has now, so the rows
   * do not add up; `total` does.
   */
  totals(query: UsageQuery): Promise<UsageTotals[]>;
  /** One row over everything in the range. */
  total(range: Pick<UsageQuery, "from" | "to">): Promise<UsageTotals>;
  /** By time, then group: every bucket that the range touches, whole. */
  series(query: SeriesQuery): Promise<SeriesPoint[]>;
  /** Of calls that were answered and whose rows are still there, by model. */
  latency(range: { readonly from: number; readonly to: number }): Promise<LatencyTotals[]>;
  /** Removes totals of hours before `before`. Resolves with how many. */
  prune(before: number): Promise<number>;
}

// Stored answers

/** A whole answer with what it has added to its conversation, in JSON. */
export interface StoredAnswer {
  readonly id: string;
  readonly keyId: string;
  /** The answer that it goes on from. */
  readonly previous: string | undefined;
  readonly items: readonly StoredItem[];
  readonly answer: string;
  readonly createdAt: number;
  readonly expiresAt: number;
}

export interface StoredItem {
  /** Undefined where nothing can refer to it. */
  readonly id: string | undefined;
  readonly json: string;
}

/** Each key sees its own answers alone, and none from the moment on that it expires. */
export interface AnswerStore {
  /** Rejects when there is one with that id. */
  put(answer: StoredAnswer): Promise<void>;
  /** The answer's JSON. */
  get(keyId: string, id: string, now: number): Promise<string | undefined>;
  /** False when there was none. */
  remove(keyId: string, id: string, now: number): Promise<boolean>;
  /**
   * The items of the answer and of all that it goes on from, oldest first. "absent" when one of them is not there, or not any
   * more; "too_large" when it is more than `CONVERSATION_LIMITS`.
   */
  conversation(keyId: string, id: string, now: number): Promise<readonly string[] | "absent" | "too_large">;
  /** By their ids, those that were found: where one was stored more than once the newest. */
  items(keyId: string, ids: readonly string[], now: number): Promise<ReadonlyMap<string, string>>;
  /** Removes at most `limit` answers that have expired, oldest first. Resolves with how many. */
  prune(now: number, limit: number): Promise<number>;
}

export const CONVERSATION_LIMITS = { answers: 1_000, bytes: 32 * 1024 * 1024 } as const;
