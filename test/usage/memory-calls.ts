/** A ledger in memory, for tests of what happens around it, that can be lost and slow. Budgets and totals are left out. */
import {
  type Amendment,
  type Call,
  type CallClosing,
  type CallOpening,
  type CallStore,
  type Instance,
  type InstanceStore,
  StoreUnavailable,
} from "../../src/store/store.ts";

export interface MemoryCalls extends CallStore {
  readonly rows: Map<string, Call>;
  /** All that was asked for, in order: `close call-1`. */
  readonly asked: string[];
  readonly amended: Amendment[];
  /** While it is true everything fails. */
  lost: boolean;
  /** Before anything happens. */
  delayMs: number;
}

export function memoryCalls(openings: readonly CallOpening[] = []): MemoryCalls {
  const rows = new Map<string, Call>();
  const abandoned = new Set<string>();
  for (const opening of openings) insert(opening);

  function insert({ budgets: _budgets, ...opening }: CallOpening): void {
    rows.set(opening.id, { ...opening, closing: undefined });
  }

  async function reached(what: string): Promise<void> {
    store.asked.push(what);
    if (store.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, store.delayMs));
    if (store.lost) throw new StoreUnavailable("the database is lost");
  }

  const store: MemoryCalls = {
    rows,
    asked: [],
    amended: [],
    lost: false,
    delayMs: 0,
    async open(call) {
      await reached(`open ${call.id}`);
      insert(call);
      return { opened: true, budgets: [] };
    },
    async close(id, closing) {
      await reached(`close ${id}`);
      const row = rows.get(id);
      if (row === undefined) throw new Error(`call ${id} was closed but never opened`);
      if (row.closing === undefined || abandoned.delete(id)) rows.set(id, { ...row, closing });
    },
    async abandon(id, closing) {
      await reached(`abandon ${id}`);
      const row = rows.get(id);
      if (row === undefined || row.closing !== undefined) return false;
      rows.set(id, { ...row, closing });
      abandoned.add(id);
      return true;
    },
    async amend(amendments) {
      await reached("amend");
      store.amended.push(...amendments);
      for (const { id, ...amendment } of amendments) {
        const row = rows.get(id);
        if (row?.closing !== undefined) rows.set(id, { ...row, closing: { ...row.closing, ...amendment } });
      }
      return amendments.length;
    },
    async get(id) {
      await reached(`get ${id}`);
      return rows.get(id);
    },
    async list({ keyId, status, from = 0, to = Number.MAX_SAFE_INTEGER, limit }) {
      await reached("list");
      return [...rows.values()]
        .filter((row) => row.keyId === keyId && row.closing?.status === status)
        .filter(({ startedAt }) => startedAt >= from && startedAt < to)
        .slice(0, limit);
    },
    async orphans(instances, limit) {
      await reached("orphans");
      return [...rows.values()]
        .filter(({ closing, instance }) => closing === undefined && !instances.includes(instance))
        .sort((a, b) => a.startedAt - b.startedAt)
        .slice(0, limit);
    },
    budgets: () => Promise.reject(new Error("left out")),
    async *byBedrockRequest({ from, to }) {
      await reached("byBedrockRequest");
      for (const row of [...rows.values()]) {
        if (row.closing?.bedrockRequestId !== undefined && row.startedAt >= from && row.startedAt < to) yield row;
      }
    },
    async prune(before, limit) {
      await reached("prune");
      const old = [...rows.values()].filter(({ closing, startedAt }) => closing !== undefined && startedAt < before);
      for (const { id } of old.slice(0, limit)) rows.delete(id);
      return Math.min(old.length, limit);
    },
  };
  return store;
}

export function memoryInstances(instances: readonly Instance[] = []): InstanceStore & { list(): Promise<Instance[]> } {
  const known = new Map(instances.map((instance) => [instance.id, instance]));
  return {
    async seen(instance) {
      known.set(instance.id, instance);
    },
    list: async () => [...known.values()],
    async remove(id) {
      known.delete(id);
    },
  };
}

export function anOpening(id: string, more: Partial<CallOpening> = {}): CallOpening {
  return {
    id,
    keyId: "key_1",
    team: null,
    instance: "i-1",
    dialect: "openai-chat",
    modelRequested: "nova",
    modelInvoked: "us.amazon.nova-lite-v1:0",
    foundationModel: "amazon.nova-lite-v1:0",
    region: "us-east-1",
    stream: false,
    startedAt: 1_700_000_000_000,
    inputEstimate: 100,
    reserved: 0n,
    budgets: [],
    ...more,
  };
}

export function aClosing(more: Partial<CallClosing> = {}): CallClosing {
  return {
    status: "ok",
    httpStatus: 200,
    usage: { inputTokens: 10, outputTokens: 20, cacheReadTokens: 0, cacheWriteTokens: 0, cacheWrite1hTokens: 0 },
    estimated: false,
    cost: 5n,
    finishedAt: 1_700_000_001_000,
    bedrockRequestId: "b-1",
    ...more,
  };
}
