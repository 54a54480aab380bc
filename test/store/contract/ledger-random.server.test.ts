/** Random openings, closings and amendments by two gateways on one database, against sums made from the rows. */
import assert from "node:assert/strict";
import { it } from "node:test";
import type { CallClosing, CallOpening, Store, UsageGrouping } from "../../../src/store/store.ts";
import { type Random, seeded } from "../../fuzz/random.ts";
import {
  closing,
  DAY_MS,
  HOUR_MS,
  keyBudget,
  NOON,
  naiveTotals,
  opening,
  type Remembered,
  teamBudget,
} from "./ledger-rows.ts";
import { changeAt, describeStores, newKey } from "./stores.ts";

const OPERATIONS = 2000;
const KEYS = 3;
const TEAMS = ["core", "data", null];

interface Row extends Remembered {
  abandoned: boolean;
  closing: CallClosing | undefined;
}

describeStores("the ledger, whatever happens to it", (stores) => {
  for (const seed of [1, 2]) {
    it(`has the totals of its rows (seed ${seed})`, async (t) => {
      const url = await stores.createDatabase(t);
      const gateways = [await stores.open(t, url), await stores.open(t, url)] as const;
      const [store] = gateways;
      const keys = Array.from({ length: KEYS }, (_, n) => newKey(n, { tags: n === 0 ? [] : ["all", `tag ${n}`] }));
      await store.keys.create(keys, changeAt(1));
      const random = seeded(seed);
      const rows = new Map<string, Row>();
      const charged = new Map<string, number>();
      for (let done = 0; done < OPERATIONS; ) {
        const group = 1 + random.int(30);
        const asked: Promise<unknown>[] = [];
        // A further attempt waits for its call to be there.
        const there = [...rows.keys()];
        for (let n = 0; n < group; n++) asked.push(step({ random, rows, charged, there, gateways }));
        await Promise.all(asked);
        done += group;
      }

      const all = [...rows.values()];
      const stored = await store.calls.list({ limit: OPERATIONS });
      const closings = (calls: readonly { id: string; closing: CallClosing | undefined }[]) =>
        Object.fromEntries(calls.map(({ id, closing }) => [id, closing]));
      assert.deepEqual(closings(stored), closings(all.map(({ opening, closing }) => ({ id: opening.id, closing }))));
      await assertTotals(store, all, {});
      for (let n = 0; n < 10; n++) {
        const from = NOON - DAY_MS + random.int(2 * DAY_MS);
        await assertTotals(store, all, { from, to: from + random.int(random.pick([HOUR_MS, DAY_MS])) });
      }
      await assertSpend(store, all, charged);

      const before = await store.reports.total({});
      while ((await store.calls.prune(NOON + 2 * DAY_MS, 37)) > 0);
      assert.deepEqual(await store.reports.total({}), before);
      const left = new Set((await store.calls.list({ limit: OPERATIONS })).map(({ id, callId }) => callId ?? id));
      const open = all.filter(({ closing }) => closing === undefined);
      assert.deepEqual(left, new Set(open.map(({ opening }) => opening.callId ?? opening.id)));
    });
  }
});

interface World {
  readonly random: Random;
  readonly rows: Map<string, Row>;
  /** The newest day in which a subject was charged. */
  readonly charged: Map<string, number>;
  readonly there: readonly string[];
  readonly gateways: readonly [Store, Store];
}

async function step({ random, rows, charged, there, gateways }: World): Promise<void> {
  // A call and its attempts belong to one gateway, and happen in order.
  const of = ({ id, callId = id }: CallOpening) =>
    gateways[Number(callId.slice("call-".length)) % 2 === 0 ? 0 : 1].calls;
  const id = there.length === 0 || random.chance(0.35) ? undefined : random.pick(there);
  if (id === undefined) {
    const call = randomOpening(random, rows, there);
    rows.set(call.id, { opening: call, closing: undefined, abandoned: false });
    const { opened } = await of(call).open(call);
    assert.ok(opened);
    return;
  }
  const row = rows.get(id);
  if (row === undefined) return;
  const what = random.int(4);
  const next = randomClosing(random, row.opening.startedAt);
  if (what <= 1) {
    if (row.closing === undefined || row.abandoned) end(row, next, false, charged);
    await of(row.opening).close(id, next);
  } else if (what === 2) {
    const counts = row.closing === undefined;
    if (counts) end(row, next, true, charged);
    assert.equal(await of(row.opening).abandon(id, next), counts);
  } else {
    const { usage, estimated, cost } = next;
    const known = row.closing !== undefined;
    if (row.closing !== undefined) {
      const { cost: _before, ...rest } = row.closing;
      end(row, { ...rest, usage, estimated, ...(cost !== undefined && { cost }) }, false, charged);
    }
    const amendment = { id, usage, estimated, ...(cost !== undefined && { cost }) };
    assert.equal(await of(row.opening).amend([amendment]), Number(known));
  }
}

function end(row: Row, next: CallClosing, abandoned: boolean, charged: Map<string, number>): void {
  if ((row.closing?.cost ?? 0n) !== (next.cost ?? 0n)) {
    const day = Math.floor(row.opening.startedAt / DAY_MS);
    for (const subject of subjects(row.opening)) charged.set(subject, Math.max(charged.get(subject) ?? 0, day));
  }
  row.closing = next;
  row.abandoned = abandoned;
}

function randomOpening(random: Random, rows: ReadonlyMap<string, Row>, there: readonly string[]): CallOpening {
  const call = there.length > 0 && random.chance(0.4) ? rows.get(random.pick(there))?.opening : undefined;
  const team = random.pick(TEAMS);
  const keyId = `key_${random.int(KEYS)}`;
  const budgets = [
    keyBudget(undefined, "day", keyId),
    ...(team === null ? [] : [teamBudget(undefined, "month", team)]),
  ];
  const begun = NOON - DAY_MS + random.int(2 * DAY_MS);
  return opening(`call-${rows.size}`, {
    modelInvoked: `model ${random.int(3)}`,
    ...(call === undefined
      ? { keyId, team, startedAt: begun, budgets: random.chance(0.5) ? budgets : [] }
      : {
          keyId: call.keyId,
          team: call.team,
          startedAt: call.startedAt + random.int(2),
          callId: call.callId ?? call.id,
        }),
    reserved: BigInt(random.int(3_000_000)),
  });
}

function randomClosing(random: Random, startedAt: number): CallClosing {
  const usage = {
    inputTokens: random.int(3),
    outputTokens: random.int(2),
    cacheReadTokens: random.int(2),
    cacheWriteTokens: random.int(2),
    cacheWrite1hTokens: random.int(2),
    ...(random.chance(0.5) && { reasoningTokens: random.int(3) }),
  };
  return closing({
    status: random.pick(["ok", "error", "interrupted"] as const),
    usage,
    estimated: random.chance(0.3),
    ...(random.chance(0.6) && { cost: random.chance(0.2) ? 2n ** 63n - 1n : BigInt(random.int(5_000_000)) }),
    finishedAt: startedAt + random.int(10_000),
  });
}

async function assertTotals(store: Store, all: readonly Row[], range: { from?: number; to?: number }): Promise<void> {
  const { from = 0, to = Number.MAX_SAFE_INTEGER } = range;
  const rows = all.filter(({ opening }) => opening.startedAt >= from && opening.startedAt < to);
  const tagsOf = (key: string) => (key === "key_0" ? [null] : ["all", `tag ${key.slice(4)}`]);
  const groups: Readonly<Record<UsageGrouping, (opening: CallOpening) => (string | null)[]>> = {
    key: ({ keyId }) => [keyId],
    team: ({ team }) => [team],
    model: ({ modelInvoked }) => [modelInvoked],
    day: ({ startedAt }) => [new Date(startedAt).toISOString().slice(0, 10)],
    tag: ({ keyId }) => tagsOf(keyId),
  };
  for (const by of Object.keys(groups) as UsageGrouping[]) {
    for (const { group, name, ...totals } of await store.reports.totals({ by, ...range })) {
      const own = rows.filter(({ opening }) => groups[by](opening).includes(group));
      const naive = naiveTotals(own, all);
      // A group may have none but attempts whose calls are counted elsewhere, but never nothing at all.
      assert.ok(own.length > 0, `${by} ${group}`);
      assert.deepEqual(totals, naive, `${by} ${group} ${name} ${JSON.stringify(range)}`);
    }
  }
  const { group: _group, name: _name, ...total } = await store.reports.total(range);
  assert.deepEqual(total, naiveTotals(rows, all));
}

async function assertSpend(store: Store, all: readonly Row[], charged: ReadonlyMap<string, number>): Promise<void> {
  for (const [subject, newest] of charged) {
    const own = all.filter(({ opening }) => subjects(opening).includes(subject));
    const spent = (rows: readonly Row[]) => rows.reduce((sum, { closing }) => sum + (closing?.cost ?? 0n), 0n);
    const held = own.filter(({ opening, closing }) => closing === undefined && opening.budgets.length > 0);
    const reserved = held.reduce((sum, { opening }) => sum + opening.reserved, 0n);
    const [name, period] = [
      subject.slice(subject.indexOf(":") + 1),
      subject.startsWith("key:") ? keyBudget : teamBudget,
    ];
    const budgets = [
      period(undefined, "day", name),
      period(undefined, "month", name),
      period(undefined, "total", name),
    ];
    const states = await store.calls.budgets(budgets, newest * DAY_MS);
    const today = own.filter(({ opening }) => Math.floor(opening.startedAt / DAY_MS) === newest);
    assert.deepEqual(
      states.map((state) => [state.spent, state.reserved]),
      [spent(today), spent(own), spent(own)].map((sum) => [sum, reserved]),
      subject,
    );
  }
}

function subjects({ keyId, team }: CallOpening): string[] {
  return team === null ? [`key:${keyId}`] : [`key:${keyId}`, `team:${team}`];
}
