/** Totals by the hour: what they add up, at which edges, and what is left of them. */
import assert from "node:assert/strict";
import { it, type TestContext } from "node:test";
import type { CallClosing, CallOpening, Store } from "../../../src/store/store.ts";
import { closing, DAY_MS, HOUR_MS, NOON, opening, tokens } from "./ledger-rows.ts";
import { changeAt, describeStores, newKey, type Stores } from "./stores.ts";

const MINUTE_MS = 60_000;

describeStores("reports", (stores) => {
  it("are empty before the first call", async (t) => {
    const { reports } = await openWithKeys(stores, t);
    for (const by of ["key", "team", "model", "day", "tag"] as const)
      assert.deepEqual(await reports.totals({ by }), []);
    const { requests, cost } = await reports.total({});
    assert.deepEqual([requests, cost], [0, null]);
    assert.deepEqual(await reports.series({ by: "all", bucket: "day", from: NOON, to: NOON + DAY_MS }), []);
    assert.deepEqual(await reports.latency({ from: 0, to: NOON }), []);
  });

  it("take calls to the millisecond, within an hour and across hours", async (t) => {
    const store = await openWithKeys(stores, t);
    // The tokens of each are a power of two of its own: their sum says which were counted.
    const starts = [0, 1, 59 * MINUTE_MS, HOUR_MS - 1, HOUR_MS, HOUR_MS + 1, 3 * HOUR_MS];
    for (const [n, start] of starts.entries()) {
      await call(store, { startedAt: NOON + start }, { usage: tokens(2 ** n) });
    }
    const counted = async (from: number | undefined, to: number | undefined) => {
      const range = { ...(from !== undefined && { from: NOON + from }), ...(to !== undefined && { to: NOON + to }) };
      const { inputTokens } = await store.reports.total(range);
      return starts.flatMap((_, n) => (inputTokens & (2 ** n) ? [n] : []));
    };
    assert.deepEqual(await counted(undefined, undefined), [0, 1, 2, 3, 4, 5, 6]);
    assert.deepEqual(await counted(0, HOUR_MS), [0, 1, 2, 3]);
    assert.deepEqual(await counted(1, HOUR_MS - 1), [1, 2]);
    assert.deepEqual(await counted(1, HOUR_MS + 1), [1, 2, 3, 4]);
    assert.deepEqual(await counted(HOUR_MS, undefined), [4, 5, 6]);
    assert.deepEqual(await counted(HOUR_MS + 1, undefined), [5, 6]);
    assert.deepEqual(await counted(undefined, 3 * HOUR_MS), [0, 1, 2, 3, 4, 5]);
    assert.deepEqual(await counted(30 * MINUTE_MS, 40 * MINUTE_MS), []);
  });

  it("keep whole hours without their rows; the part of an hour falls out with them", async (t) => {
    const store = await openWithKeys(stores, t);
    for (const startedAt of [NOON + 1, NOON + HOUR_MS]) await call(store, { startedAt }, {});
    assert.equal(await store.calls.prune(NOON + DAY_MS, 10), 2);
    assert.equal((await store.reports.total({ from: NOON })).requests, 2);
    assert.equal((await store.reports.total({ from: NOON + 1 })).requests, 1);
  });

  it("count a call that still runs as a request, in every kind of report", async (t) => {
    const store = await openWithKeys(stores, t);
    await store.calls.open(opening("running", { team: "core" }));
    await store.calls.open(opening("running/2", { team: "core", callId: "running" }));
    for (const by of ["key", "team", "model", "day", "tag"] as const) {
      const [row] = await store.reports.totals({ by });
      assert.deepEqual([row?.requests, row?.cost, row?.inputTokens], [1, null, 0], by);
    }
    assert.equal((await store.reports.total({ from: NOON, to: NOON + 1 })).requests, 1);
    assert.equal((await store.reports.total({ from: NOON + 1 })).requests, 0);
    const [point] = await store.reports.series({ by: "model", bucket: "hour", from: NOON, to: NOON + 1 });
    assert.deepEqual([point?.at, point?.group, point?.requests], [NOON, "us.nova", 1]);
  });

  it("are ordered by name or group, and what has none comes last", async (t) => {
    const store = await stores.open(t);
    const names = ["b", "ä", "B", "a"];
    await store.keys.create(
      names.map((name, n) => newKey(n, { name, tags: n === 0 ? ["z", "y"] : [] })),
      changeAt(1),
    );
    for (const n of names.keys())
      await call(store, { keyId: `key_${n}`, team: n === 2 ? null : `team ${names[n]}` }, {});
    const groups = async (by: "key" | "team" | "tag") =>
      (await store.reports.totals({ by })).map(({ group, name, requests }) => [group, name, requests]);
    assert.deepEqual(await groups("key"), [
      ["key_2", "B", 1],
      ["key_3", "a", 1],
      ["key_0", "b", 1],
      ["key_1", "ä", 1],
    ]);
    assert.deepEqual(await groups("team"), [
      ["team a", null, 1],
      ["team b", null, 1],
      ["team ä", null, 1],
      [null, null, 1],
    ]);
    assert.deepEqual(await groups("tag"), [
      ["y", null, 1],
      ["z", null, 1],
      [null, null, 3],
    ]);
  });

  it("have no cost where no tokens had a price, also where keys of one tag come together", async (t) => {
    const store = await openWithKeys(stores, t);
    await call(store, { keyId: "key_1", modelInvoked: "free" }, { usage: tokens(0), cost: 0n });
    await call(store, { keyId: "key_2", modelInvoked: "unpriced" }, {});
    const costs = async (by: "model" | "tag") =>
      (await store.reports.totals({ by })).map(({ group, cost }) => [group, cost]);
    assert.deepEqual(await costs("model"), [
      ["free", 0n],
      ["unpriced", null],
    ]);
    assert.deepEqual(await costs("tag"), [["both", null]]);
    await call(store, { keyId: "key_2", modelInvoked: "priced" }, { cost: 7n });
    assert.deepEqual(await costs("tag"), [["both", 7n]]);
  });

  it("count a call's attempts once, with the first of them that had no price", async (t) => {
    const store = await openWithKeys(stores, t);
    await store.calls.open(opening("a"));
    for (const [id, modelInvoked, startedAt] of [
      ["a/3", "third", NOON + 3],
      ["a/2", "second", NOON + 2],
    ] as const) {
      await store.calls.open(opening(id, { callId: "a", modelInvoked, startedAt }));
      await store.calls.close(id, closing());
    }
    await store.calls.close("a", closing({ cost: 1n }));
    const rows = await store.reports.totals({ by: "model" });
    assert.deepEqual(
      rows.map(({ group, requests, unpricedRequests, cost }) => [group, requests, unpricedRequests, cost]),
      [
        ["second", 0, 1, null],
        ["third", 0, 0, null],
        ["us.nova", 1, 0, 1n],
      ],
    );
    // The same from the rows, where the range cuts the hour.
    assert.deepEqual(await store.reports.totals({ by: "model", from: NOON, to: NOON + 4 }), rows);
  });

  it("give a course by hour and by day, of whole buckets, by time and then group", async (t) => {
    const store = await openWithKeys(stores, t);
    for (const [startedAt, team] of [
      [NOON, "b"],
      [NOON + 1, "a"],
      [NOON + 2, null],
      [NOON + HOUR_MS, "b"],
      [NOON + DAY_MS, "b"],
    ] as const) {
      await call(store, { startedAt, team }, { cost: 1n });
    }
    const points = async (query: Pick<Parameters<Store["reports"]["series"]>[0], "by" | "bucket" | "limit">) =>
      (await store.reports.series({ ...query, from: NOON + MINUTE_MS, to: NOON + HOUR_MS + 1 })).map((point) => [
        point.at - NOON,
        point.group,
        point.requests,
        point.cost,
      ]);
    const hours = [
      [0, "a", 1, 1n],
      [0, "b", 1, 1n],
      [0, null, 1, 1n],
      [HOUR_MS, "b", 1, 1n],
    ];
    assert.deepEqual(await points({ by: "team", bucket: "hour" }), hours);
    assert.deepEqual(await points({ by: "team", bucket: "hour", limit: 2 }), hours.slice(0, 2));
    assert.deepEqual(await points({ by: "all", bucket: "day" }), [[-12 * HOUR_MS, null, 4, 4n]]);
    assert.deepEqual(await points({ by: "key", bucket: "day" }), [[-12 * HOUR_MS, "key_1", 4, 4n]]);
  });

  it("give the median and the 95th percentile of answered calls, by model", async (t) => {
    const store = await openWithKeys(stores, t);
    for (let n = 1; n <= 20; n++) {
      const finishedAt = NOON + n * 10;
      await call(store, {}, { finishedAt, ...(n <= 3 && { firstTokenAt: NOON + n }) });
    }
    await call(store, { modelInvoked: "single" }, { finishedAt: NOON + 5 });
    await call(store, {}, { status: "error", finishedAt: NOON + 100_000 });
    await call(store, { startedAt: NOON + 1 }, { finishedAt: NOON + 100_000 });
    assert.deepEqual(await store.reports.latency({ from: NOON, to: NOON + 1 }), [
      { model: "single", requests: 1, durationP50: 5, durationP95: 5, firstTokenP50: null, firstTokenP95: null },
      { model: "us.nova", requests: 20, durationP50: 100, durationP95: 190, firstTokenP50: 2, firstTokenP95: 3 },
    ]);
  });

  it("forget the hours that ended before a time, and no other", async (t) => {
    const store = await openWithKeys(stores, t);
    for (let n = 0; n < 1200; n += 100) {
      const some = Array.from({ length: 100 }, (_, m) => ({ startedAt: NOON, modelInvoked: `model ${n + m}` }));
      await Promise.all(some.map((what) => call(store, what, {})));
    }
    await call(store, { startedAt: NOON + HOUR_MS }, {});
    assert.equal(await store.reports.prune(NOON + HOUR_MS - 1), 0);
    assert.equal(await store.reports.prune(NOON + HOUR_MS), 1200);
    assert.equal((await store.reports.total({})).requests, 1);
  });
});

async function openWithKeys(stores: Stores, t: TestContext): Promise<Store> {
  const store = await stores.open(t);
  await store.keys.create([newKey(1, { tags: ["both"] }), newKey(2, { tags: ["both"] })], changeAt(1));
  return store;
}

let calls = 0;

async function call(store: Store, opened: Partial<CallOpening>, closed: Partial<CallClosing>): Promise<void> {
  const id = `call-${calls++}`;
  await store.calls.open(opening(id, opened));
  await store.calls.close(id, closing(closed));
}
