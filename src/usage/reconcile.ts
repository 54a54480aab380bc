/**
 * Brings the ledger in line with Bedrock's invocation log: estimates give way to AWS's numbers, differences are reported.
 *
 * A row is found by Bedrock's request id. One that has none (its process was killed, or its connection broke, before the id
 * arrived) is found by key, model and time, and only where one row and one entry are left to each other: nothing in a
 * request names its row, because the same request must give the same bytes. An entry corrects one row at most and a row is
 * corrected once, so reading a log twice changes nothing. Entries are looked up in groups: a log may be larger than the
 * memory.
 */
import type { Amendment, Call, CallClosing, CallStore, TokenUsage } from "../store/store.ts";
import { chargedTier, costOfCall } from "./call-cost.ts";
import type { InvocationEntry } from "./invocation-log.ts";
import type { Prices } from "./prices.ts";

export interface ReconciliationOptions {
  readonly calls: Pick<CallStore, "byBedrockRequest" | "list" | "amend">;
  readonly prices: Prices;
  /** Replaces also Bedrock's numbers that the ledger has, where the log has others. */
  readonly replaceAll: boolean;
  /** Only says what would be done. */
  readonly dryRun: boolean;
  /** How many entries are looked up together. */
  readonly groupSize?: number;
}

export interface Reconciliation {
  add(entry: InvocationEntry): Promise<void>;
  /** Looks up what is left. Nothing may be added afterwards. */
  finish(): Promise<ReconcileReport>;
}

export interface ReconcileCounts {
  /** Entries of the log. Each is in `matched`, `duplicates` or `unmatched`. */
  entries: number;
  matched: number;
  /** Of those matched: rows that now have the log's numbers. */
  replaced: number;
  equal: number;
  /** The ledger has other numbers of Bedrock's, and keeps them. */
  different: number;
  /** The log does not say what they used. */
  uncounted: number;
  /** An entry, or another one for the same row, that came before. */
  duplicates: number;
  /** The ledger does not have them: somebody else's calls, or lost ones. */
  unmatched: number;
}

export interface Difference {
  readonly callId: string;
  readonly requestId: string;
  readonly ledger: TokenUsage;
  readonly log: TokenUsage;
}

export interface ReconcileReport extends ReconcileCounts {
  /** Pico-dollars of the rows that were replaced; what is not priced counts nothing. */
  readonly costBefore: bigint;
  readonly costAfter: bigint;
  /** The first ones. */
  readonly differences: readonly Difference[];
  readonly unmatchedEntries: readonly InvocationEntry[];
}

const GROUP = 50_000;
/** Entries that the first look did not find: what is kept of them at once. */
const MAX_LEFT = 100_000;
const AMEND = 500;
const LISTED = 1_000;
const LOOK_UPS_AT_ONCE = 20;

/** An entry bears the time of the call's begin or end, and a stream lasts an hour at most. */
const LONGEST_CALL_MS = 2 * 3_600_000;
const CLOCKS_MS = 5 * 60_000;
/** Entries that are further apart are looked up apart. */
const GAP_MS = 3_600_000;
/** More candidates than that are no match anyway. */
const CANDIDATES = 100;

export function createReconciliation(options: ReconciliationOptions): Reconciliation {
  const { calls, prices, replaceAll, dryRun, groupSize = GROUP } = options;
  const counts: ReconcileCounts = {
    entries: 0,
    matched: 0,
    replaced: 0,
    equal: 0,
    different: 0,
    uncounted: 0,
    duplicates: 0,
    unmatched: 0,
  };
  const differences: Difference[] = [];
  const unmatchedEntries: InvocationEntry[] = [];
  /** Rows that were replaced. */
  const replaced = new Set<string>();
  let costBefore = 0n;
  let costAfter = 0n;
  let group = new Map<string, InvocationEntry>();
  let left: InvocationEntry[] = [];
  let amendments: Amendment[] = [];

  // By Bedrock's request id

  async function lookUpGroup(): Promise<void> {
    const entries = group;
    group = new Map();
    for (const range of rangesOf([...entries.values()])) {
      for await (const row of calls.byBedrockRequest(range)) {
        const requestId = row.closing?.bedrockRequestId ?? "";
        const entry = entries.get(requestId);
        if (entry === undefined) continue;
        entries.delete(requestId);
        await settle(row, entry);
      }
    }
    for (const entry of entries.values()) {
      if (entry.keyId === undefined) unmatched(entry);
      else left.push(entry);
    }
    if (left.length >= MAX_LEFT) await lookUpLeft();
    await amend();
  }

  // By key, model and time

  async function lookUpLeft(): Promise<void> {
    const entries = left;
    left = [];
    const claims = new Map<string, { row: Call; entries: InvocationEntry[] }>();
    for (let start = 0; start < entries.length; start += LOOK_UPS_AT_ONCE) {
      const some = entries.slice(start, start + LOOK_UPS_AT_ONCE);
      const rows = await Promise.all(some.map(likelyRow));
      for (const [index, entry] of some.entries()) {
        const row = rows[index];
        if (row === undefined) unmatched(entry);
        else claims.set(row.id, { row, entries: [...(claims.get(row.id)?.entries ?? []), entry] });
      }
    }
    for (const { row, entries: meant } of claims.values()) {
      const [only, ...others] = meant;
      if (only !== undefined && others.length === 0) await settle(row, only);
      else for (const entry of meant) unmatched(entry);
    }
    await amend();
  }

  async function likelyRow(entry: InvocationEntry): Promise<Call | undefined> {
    const { keyId, at } = entry;
    if (keyId === undefined) return undefined;
    const rows = await calls.list({
      keyId,
      status: "interrupted",
      from: at - LONGEST_CALL_MS,
      to: at + CLOCKS_MS,
      limit: CANDIDATES,
    });
    const likely = rows.filter((row) => isLikely(row, entry));
    return likely.length === 1 && rows.length < CANDIDATES ? likely[0] : undefined;
  }

  // What becomes of a match

  async function settle(row: Call, entry: InvocationEntry): Promise<void> {
    const { closing } = row;
    if (closing === undefined) throw new Error(`${row.id} still runs and was taken for a match`);
    if (replaced.has(row.id)) {
      counts.duplicates += 1;
      return;
    }
    counts.matched += 1;
    if (entry.usage === undefined) counts.uncounted += 1;
    else if (closing.estimated) await replace(row, closing, entry, entry.usage);
    else if (isEqual(closing.usage, entry.usage)) counts.equal += 1;
    else if (replaceAll) await replace(row, closing, entry, entry.usage);
    else {
      counts.different += 1;
      const { id: callId } = row;
      if (differences.length < LISTED) {
        differences.push({ callId, requestId: entry.requestId, ledger: closing.usage, log: entry.usage });
      }
    }
  }

  async function replace(row: Call, closing: CallClosing, entry: InvocationEntry, logged: TokenUsage): Promise<void> {
    const serviceTier = entry.serviceTier ?? closing.serviceTier;
    const usage = withDetails(logged, closing.usage);
    const cost = costOfCall(prices, row, usage, chargedTier(serviceTier, entry.latency));
    counts.replaced += 1;
    replaced.add(row.id);
    costBefore += closing.cost ?? 0n;
    costAfter += cost ?? 0n;
    amendments.push({
      id: row.id,
      usage,
      estimated: false,
      ...(cost !== undefined && { cost }),
      ...(serviceTier !== undefined && { serviceTier }),
      bedrockRequestId: entry.requestId,
    });
  }

  /** Not while rows are read: the database may not like to be written to then. */
  async function amend(): Promise<void> {
    const all = amendments;
    amendments = [];
    if (dryRun) return;
    for (let start = 0; start < all.length; start += AMEND) await calls.amend(all.slice(start, start + AMEND));
  }

  function unmatched(entry: InvocationEntry): void {
    counts.unmatched += 1;
    if (unmatchedEntries.length < LISTED) unmatchedEntries.push(entry);
  }

  return {
    async add(entry) {
      counts.entries += 1;
      if (group.has(entry.requestId)) {
        counts.duplicates += 1;
        return;
      }
      group.set(entry.requestId, entry);
      if (group.size >= groupSize) await lookUpGroup();
    },
    async finish() {
      await lookUpGroup();
      await lookUpLeft();
      return { ...counts, costBefore, costAfter, differences, unmatchedEntries };
    },
  };
}

/** The times in which the rows of the entries began. */
function rangesOf(entries: readonly InvocationEntry[]): { from: number; to: number }[] {
  const ranges: { from: number; to: number }[] = [];
  for (const at of entries.map((entry) => entry.at).sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    const to = at + CLOCKS_MS;
    if (last !== undefined && at - LONGEST_CALL_MS <= last.to + GAP_MS) last.to = to;
    else ranges.push({ from: at - LONGEST_CALL_MS, to });
  }
  return ranges;
}

function isLikely({ modelInvoked, foundationModel, startedAt, closing }: Call, { modelId, at }: InvocationEntry) {
  if (closing === undefined || closing.bedrockRequestId !== undefined || !closing.estimated) return false;
  const models = [modelInvoked, foundationModel ?? modelInvoked].map(lastPart);
  return models.includes(lastPart(modelId)) && at >= startedAt - CLOCKS_MS && at <= closing.finishedAt + CLOCKS_MS;
}

/** An ARN ends with the id. */
function lastPart(modelId: string): string {
  return modelId.slice(modelId.lastIndexOf("/") + 1);
}

function isEqual(ledger: TokenUsage, log: TokenUsage): boolean {
  return (
    ledger.inputTokens === log.inputTokens &&
    ledger.outputTokens === log.outputTokens &&
    ledger.cacheReadTokens === log.cacheReadTokens &&
    ledger.cacheWriteTokens === log.cacheWriteTokens &&
    (log.cacheWrite1hTokens ?? ledger.cacheWrite1hTokens ?? 0) === (ledger.cacheWrite1hTokens ?? 0)
  );
}

/** The log has no reasoning tokens, and mostly not how long cached ones are kept. */
function withDetails(log: TokenUsage, ledger: TokenUsage): TokenUsage {
  const sameWrites = ledger.cacheWriteTokens === log.cacheWriteTokens;
  const oneHour = log.cacheWrite1hTokens ?? (sameWrites ? ledger.cacheWrite1hTokens : undefined);
  const { reasoningTokens } = ledger;
  return {
    ...log,
    ...(oneHour !== undefined && { cacheWrite1hTokens: oneHour }),
    ...(reasoningTokens !== undefined && { reasoningTokens: Math.min(reasoningTokens, log.outputTokens) }),
  };
}
