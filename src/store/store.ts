/**
 * What the gateway remembers: keys with their secrets, and the ledger of calls.
 *
 * Plain records and asynchronous interfaces; SQL stays behind them, in this folder. Times are Unix milliseconds. Secrets
 * never get here: only their SHA-256 and the prefix that is shown.
 */

export interface Store {
  readonly keys: KeyStore;
  readonly calls: CallStore;
  /** Finishes the writes that were asked for, then closes the database. */
  close(): Promise<void>;
}

export interface Key {
  /** `key_` and 20 hex digits. */
  readonly id: string;
  readonly name: string;
  readonly team: string | null;
  /** The first characters of the newest secret, to recognise it by. */
  readonly prefix: string;
  /** Model ids, or patterns with `*`. Empty: every model. */
  readonly models: readonly string[];
  /** Requests per minute; null: unlimited. */
  readonly rpm: number | null;
  readonly expiresAt: number | null;
  readonly createdAt: number;
  readonly revokedAt: number | null;
  /** To the minute or so: it is not written on every request. */
  readonly lastUsedAt: number | null;
}

export type KeySettings = Pick<Key, "name" | "team" | "models" | "rpm" | "expiresAt">;

export interface NewSecret {
  /** 64 hex digits. */
  readonly sha256: string;
  readonly prefix: string;
  readonly createdAt: number;
}

export interface FoundSecret {
  readonly key: Key;
  readonly prefix: string;
  /** When a rotation ended it, or will; null: it ends with its key. */
  readonly replacedAt: number | null;
}

export interface KeyStore {
  create(key: KeySettings & Pick<Key, "id" | "createdAt">, secret: NewSecret): Promise<Key>;
  get(id: string): Promise<Key | undefined>;
  /** Oldest first. */
  list(): Promise<Key[]>;
  findByName(name: string): Promise<Key[]>;
  findBySecret(sha256: string): Promise<FoundSecret | undefined>;
  /** Undefined when there is no such key; so with the ones below. */
  update(id: string, changes: Partial<KeySettings>): Promise<Key | undefined>;
  /** The first revocation counts. */
  revoke(id: string, at: number): Promise<Key | undefined>;
  /** Adds a secret; the older ones end at `oldEndAt`, or earlier where they already did. */
  rotate(id: string, secret: NewSecret, oldEndAt: number): Promise<Key | undefined>;
  /** Notes that the key was used; never moves back. */
  touch(id: string, at: number): Promise<void>;
}

export interface CallOpening {
  /** The request id. */
  readonly id: string;
  readonly keyId: string;
  readonly dialect: string;
  /** As the client wrote it. */
  readonly modelRequested: string;
  /** The id in Bedrock's path. */
  readonly modelInvoked: string;
  readonly region: string;
  readonly stream: boolean;
  readonly startedAt: number;
  /** Set on a further attempt: the call that it belongs to. Its tokens count, but it is no request of its own. */
  readonly callId?: string;
}

export interface TokenUsage {
  /** Without cached ones, as Bedrock counts. */
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cacheReadTokens: number;
  /** All cache writes, the one-hour ones included. */
  readonly cacheWriteTokens: number;
  readonly cacheWrite1hTokens?: number;
}

/** ok: answered whole. error: Bedrock or the gateway refused. interrupted: the client or Bedrock went away half-way. */
export type CallStatus = "ok" | "error" | "interrupted";

export interface CallClosing {
  readonly status: CallStatus;
  /** What the client was sent. */
  readonly httpStatus: number;
  readonly errorCode?: string;
  readonly usage: TokenUsage;
  /** The usage is ours, because Bedrock's never arrived. */
  readonly estimated: boolean;
  /** Pico-dollars (10⁻¹² USD). Undefined where the model had no price: that is not zero. */
  readonly cost?: bigint;
  /** The tier that Bedrock served, as far as it said so. */
  readonly serviceTier?: string;
  readonly finishedAt: number;
  readonly firstTokenAt?: number;
  readonly bedrockRequestId?: string;
}

/** A row of the ledger; `closing` is undefined while the call runs, and after its process was killed. */
export interface Call extends CallOpening {
  /** The key's team when the call began. */
  readonly team: string | null;
  readonly closing: CallClosing | undefined;
}

export type UsageGrouping = "key" | "team" | "model" | "day";

export interface UsageQuery {
  readonly by: UsageGrouping;
  /** Calls that started at this time or later. */
  readonly from?: number;
  /** Calls that started before this time. */
  readonly to?: number;
}

export interface UsageTotals extends TokenUsage {
  /** The key's id, the team (null: none), the model that was invoked, or the UTC day as 2026-12-31. */
  readonly group: string | null;
  /** The key's name, when grouped by key. */
  readonly name: string | null;
  readonly requests: number;
  readonly estimatedRequests: number;
  /** Pico-dollars; null when no call that used tokens had a price. */
  readonly cost: bigint | null;
  /** Calls that used tokens and had no price. */
  readonly unpricedRequests: number;
}

export interface CallStore {
  /** Resolves when the row is committed. */
  open(call: CallOpening): Promise<void>;
  /** The first closing of a call counts, later ones change nothing. Rejects when the call was never opened. */
  close(id: string, closing: CallClosing): Promise<void>;
  get(id: string): Promise<Call | undefined>;
  /** Ordered by name or group, what has no group last. */
  totals(query: UsageQuery): Promise<UsageTotals[]>;
}
