/**
 * A batch of openings, closings and amendments of the ledger: what it reads, decides and writes, in one transaction.
 *
 * Written once for both databases, over the few statements that they do each in their own way (`LedgerTables`). It is a
 * generator because SQLite answers at once and PostgreSQL later: `finishNow` and `finishLater` run it. Rows of `calls` come
 * first, then those of `spend`, then those of `usage_hours`, each in sorted order, so that processes that write at once
 * wait for each other in a line and not in a circle.
 *
 * A batch may be done again after a failure: a row is closed only once, and an opening that is already there counts as done.
 */
import { budgetState, isReached, NO_SPEND, type Spend, type SpendIncrement, SpendSums, subjectsOf } from "./spend.ts";
import {
  type Amendment,
  type BudgetState,
  type CallClosing,
  type CallOpening,
  type OpenedCall,
  StoreConflict,
} from "./store.ts";
import { type HourIncrement, HourSums, isUnpriced, type LedgerRow, rootOf } from "./usage-hours.ts";

interface Asked<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export interface OpenOperation extends Asked<OpenedCall> {
  readonly kind: "open";
  readonly id: string;
  readonly call: CallOpening;
}

/** Resolves with whether it counted. */
export interface CloseOperation extends Asked<boolean> {
  readonly kind: "close";
  readonly id: string;
  readonly closing: CallClosing;
  /** For a process that is gone: a later closing takes its place. */
  readonly abandoned: boolean;
}

/** Resolves with whether there was such a closed row. */
export interface AmendOperation extends Asked<boolean> {
  readonly kind: "amend";
  readonly id: string;
  readonly amendment: Amendment;
}

export type LedgerOperation = OpenOperation | CloseOperation | AmendOperation;

/** Tells the caller; to be run once the transaction is committed. */
export type Settlement = () => void;

/** Of a row what no closing changes. */
type RowIdentity = Pick<LedgerRow, "id" | "callId" | "keyId" | "team" | "modelInvoked" | "startedAt">;

/** A row as it was when it was closed just now. */
export interface JustClosed extends RowIdentity {
  readonly reserved: bigint;
}

export interface StoredRow extends LedgerRow {
  readonly instance: string | null;
  readonly abandoned: boolean;
}

export interface NewRow {
  readonly call: CallOpening;
  /** Held against the budgets of its key and team. */
  readonly held: bigint;
}

type Answer<T> = T | Promise<T>;

/** Whether the batch writes one row a call and reads nothing: it needs no transaction of several statements. */
export function onlyInserts(operations: readonly LedgerOperation[]): boolean {
  return operations.every((operation) => operation.kind === "open" && operation.call.budgets.length === 0);
}

export interface LedgerTables {
  /** Closes those that are open, and gives them. No id twice. */
  closeRows(closings: readonly CloseOperation[]): Answer<JustClosed[]>;
  /** Writes other closings over those of closed rows. */
  replaceClosings(closings: readonly CloseOperation[]): Answer<unknown>;
  amendRows(amendments: readonly Amendment[]): Answer<unknown>;
  /** Keeps others from changing them until the end of the transaction. */
  readRows(ids: readonly string[]): Answer<StoredRow[]>;
  /** The same: every row that is one of `roots` or points to one. */
  readFamilies(roots: readonly string[]): Answer<StoredRow[]>;
  /** Writes those that are not there yet, and gives the ids of the others. */
  insertRows(rows: readonly NewRow[]): Answer<string[]>;
  /** The rows of `subjects`; nobody else reads them so until the end of the transaction, nor writes those of `others`. */
  lockSpend(subjects: readonly string[], others: readonly string[]): Answer<Map<string, Spend>>;
  addSums(spend: readonly SpendIncrement[], hours: readonly HourIncrement[]): Answer<unknown>;
}

/** What is yielded is an answer of the tables, what comes back is its value. */
export type Steps<T> = Generator<unknown, T, unknown>;

export function finishNow<T>(steps: Steps<T>): T {
  for (let step = steps.next(); ; step = steps.next(step.value)) if (step.done) return step.value;
}

export async function finishLater<T>(steps: Steps<T>): Promise<T> {
  for (let step = steps.next(); ; step = steps.next(await step.value)) if (step.done) return step.value;
}

function* asked<T>(answer: Answer<T>): Steps<T> {
  return (yield answer) as T;
}

/** Operations on one row come one after the other: each round has no row twice. */
export function rounds(operations: readonly LedgerOperation[]): LedgerOperation[][] {
  const rounds: LedgerOperation[][] = [];
  const counts = new Map<string, number>();
  for (const operation of operations) {
    const before = counts.get(operation.id) ?? 0;
    counts.set(operation.id, before + 1);
    const round = rounds[before];
    if (round === undefined) rounds.push([operation]);
    else round.push(operation);
  }
  return rounds;
}

/** Does one round. */
export function* settleRound(operations: readonly LedgerOperation[], tables: LedgerTables): Steps<Settlement[]> {
  const batch: Batch = { tables, settled: [], spend: new SpendSums(), hours: new HourSums() };
  const openings = operations.filter((operation) => operation.kind === "open");
  const endings = operations.filter((operation) => operation.kind !== "open");
  if (endings.length > 0) yield* endRows(endings, batch);
  if (openings.length > 0) yield* openRows(openings, batch);
  const spend = batch.spend.sorted();
  const hours = batch.hours.sorted();
  if (spend.length + hours.length > 0) yield* asked(tables.addSums(spend, hours));
  return batch.settled;
}

interface Batch {
  readonly tables: LedgerTables;
  readonly settled: Settlement[];
  readonly spend: SpendSums;
  readonly hours: HourSums;
}

// Openings

/** Openings are decided on what was spent before the batch: as if they had come before its closings. */
function* openRows(openings: readonly OpenOperation[], { tables, settled, spend }: Batch): Steps<void> {
  const { passed, refused, states } = yield* decide(openings, tables, spend);
  const rows = passed.map(({ call }) => ({ call, held: call.budgets.length > 0 ? call.reserved : 0n }));
  const there = new Set(rows.length === 0 ? [] : yield* asked(tables.insertRows(rows)));
  // Asked for a second time, because nobody could say whether the first had been committed: what it holds itself
  // must not refuse it.
  const doubtful = [...refused, ...passed.filter(({ id }) => there.has(id))];
  const stored = yield* readById(doubtful, tables);
  for (const { id, call, resolve, reject } of doubtful) {
    const row = stored.get(id);
    const budgets = states.get(id) ?? [];
    if (row === undefined) settled.push(() => resolve({ opened: false, budgets }));
    else if (row.status === null && row.instance === call.instance)
      settled.push(() => resolve({ opened: true, budgets }));
    else settled.push(() => reject(new StoreConflict(`call ${id} is in the ledger already`)));
  }
  for (const { call, held } of rows) if (!there.has(call.id)) spend.add(call, { cost: 0n, reserved: held });
  for (const { id, resolve } of passed) {
    const budgets = states.get(id) ?? [];
    if (!there.has(id)) settled.push(() => resolve({ opened: true, budgets }));
  }
}

interface Decisions {
  readonly passed: readonly OpenOperation[];
  readonly refused: readonly OpenOperation[];
  readonly states: ReadonlyMap<string, BudgetState[]>;
}

/** One call after the other: what one holds counts for the next. */
function* decide(openings: readonly OpenOperation[], tables: LedgerTables, spend: SpendSums): Steps<Decisions> {
  const states = new Map<string, BudgetState[]>();
  const held = openings.filter(({ call }) => call.budgets.length > 0);
  if (held.length === 0) return { passed: openings, refused: [], states };
  const subjects = new Set<string>(held.flatMap(({ call }) => call.budgets.map(({ subject }) => subject)));
  const others = [...held.flatMap(({ call }) => subjectsOf(call)), ...spend.subjects()];
  const spent = yield* asked(tables.lockSpend([...subjects], others));
  const passed: OpenOperation[] = [];
  const refused: OpenOperation[] = [];
  for (const opening of openings) {
    const { id, call } = opening;
    const now = call.budgets.map((budget) =>
      budgetState(budget, spent.get(budget.subject) ?? NO_SPEND, call.startedAt),
    );
    states.set(id, now);
    if (now.some(isReached)) {
      refused.push(opening);
      continue;
    }
    passed.push(opening);
    if (call.budgets.length === 0) continue;
    for (const subject of subjectsOf(call)) {
      const before = spent.get(subject) ?? NO_SPEND;
      spent.set(subject, { ...before, reserved: before.reserved + call.reserved });
    }
  }
  return { passed, refused, states };
}

// Closings and amendments

/** A closed row before and after; undefined before: it was open. */
interface RowChange {
  readonly before: LedgerRow | undefined;
  readonly after: LedgerRow;
}

function* endRows(operations: readonly (CloseOperation | AmendOperation)[], batch: Batch): Steps<void> {
  const { tables, settled, spend, hours } = batch;
  const closings = operations.filter((operation) => operation.kind === "close");
  const closed = new Map<string, JustClosed>();
  if (closings.length > 0) for (const row of yield* asked(tables.closeRows(closings))) closed.set(row.id, row);

  const changes: RowChange[] = [];
  for (const { id, closing, resolve } of closings) {
    const row = closed.get(id);
    if (row === undefined) continue;
    changes.push({ before: undefined, after: withUsage(row, closing.status, closing) });
    spend.add(row, { cost: closing.cost ?? 0n, reserved: -row.reserved });
    settled.push(() => resolve(true));
  }
  if (closed.size < operations.length) {
    const replaced = yield* replaceRows(
      operations.filter(({ id }) => !closed.has(id)),
      batch,
    );
    for (const { before, after } of replaced) {
      spend.add(after, { cost: (after.cost ?? 0n) - (before?.cost ?? 0n), reserved: 0n });
    }
    changes.push(...replaced);
  }
  for (const { before, after } of changes) {
    if (before !== undefined) hours.addRow(before, -1);
    hours.addRow(after, 1);
  }
  yield* countCalls(changes, batch);
}

function* replaceRows(operations: readonly (CloseOperation | AmendOperation)[], batch: Batch): Steps<RowChange[]> {
  const { tables, settled } = batch;
  const stored = yield* readById(operations, tables);
  const changes: RowChange[] = [];
  const closings: CloseOperation[] = [];
  const amendments: Amendment[] = [];
  for (const operation of operations) {
    const { id, resolve, reject } = operation;
    const row = stored.get(id);
    if (operation.kind === "amend") {
      const known = row !== undefined && row.status !== null;
      settled.push(() => resolve(known));
      if (!known) continue;
      amendments.push(operation.amendment);
      changes.push({ before: row, after: withUsage(row, row.status, operation.amendment) });
    } else if (row === undefined) {
      settled.push(() => reject(new Error(`call ${id} was closed but never opened`)));
    } else {
      const counts = row.abandoned && !operation.abandoned;
      settled.push(() => resolve(counts));
      if (!counts) continue;
      closings.push(operation);
      changes.push({ before: row, after: withUsage(row, operation.closing.status, operation.closing) });
    }
  }
  if (closings.length > 0) yield* asked(tables.replaceClosings(closings));
  if (amendments.length > 0) yield* asked(tables.amendRows(amendments));
  return changes;
}

/** What counts once a call, however many rows it has. Most calls have nothing of it, and only their own row is read. */
function* countCalls(changes: readonly RowChange[], { tables, hours }: Batch): Steps<void> {
  const counted = changes.filter(
    ({ before, after }) => countsOnce(after) || (before !== undefined && countsOnce(before)),
  );
  if (counted.length === 0) return;
  const roots = new Set(counted.map(({ after }) => rootOf(after)));
  const families = new Map<string, Map<string, LedgerRow>>([...roots].map((root) => [root, new Map()]));
  for (const row of yield* asked(tables.readFamilies([...roots].sort()))) {
    if (row.status !== null) families.get(rootOf(row))?.set(row.id, row);
  }
  for (const { before, after } of changes) {
    const family = families.get(rootOf(after));
    if (before === undefined) family?.delete(after.id);
    else family?.set(before.id, before);
  }
  for (const family of families.values()) hours.countCall([...family.values()], -1);
  for (const { after } of changes) families.get(rootOf(after))?.set(after.id, after);
  for (const family of families.values()) hours.countCall([...family.values()], 1);
}

function countsOnce(row: LedgerRow): boolean {
  return row.estimated || isUnpriced(row);
}

function* readById(operations: readonly LedgerOperation[], tables: LedgerTables): Steps<Map<string, StoredRow>> {
  if (operations.length === 0) return new Map();
  const rows = yield* asked(tables.readRows(operations.map(({ id }) => id).sort()));
  return new Map(rows.map((row) => [row.id, row]));
}

/** Written out: copies of the whole row for each call cost more than all sums. */
function withUsage(
  { id, callId, keyId, team, modelInvoked, startedAt }: RowIdentity,
  status: LedgerRow["status"],
  { usage, estimated, cost }: Pick<CallClosing, "usage" | "estimated" | "cost">,
): LedgerRow {
  return { id, callId, keyId, team, modelInvoked, startedAt, status, usage, estimated, cost: cost ?? null };
}
