/** Budgets: what is spent and in flight, exact however many calls are opened at once and by whom. */
import assert from "node:assert/strict";
import { it } from "node:test";
import type { Budget, OpenedCall, Store } from "../../../src/store/store.ts";
import { closing, DAY_MS, keyBudget, NOON, opening, teamBudget } from "./ledger-rows.ts";
import { changeAt, describeStores, newKey, type Stores } from "./stores.ts";

const LIMIT = 10_000_000n;

describeStores("budgets", (stores) => {
  it("let a call through until they are reached, and the one that crosses them", async (t) => {
    const store = await openWithKey(stores, t);
    const budgets = [keyBudget(LIMIT)];
    assert.ok((await store.calls.open(opening("a", { budgets }))).opened);
    await store.calls.close("a", closing({ cost: LIMIT - 1n }));
    const last = await store.calls.open(opening("b", { budgets }));
    assert.deepEqual(last, { opened: true, budgets: [{ budget: budgets[0], spent: LIMIT - 1n, reserved: 0n }] });
    await store.calls.close("b", closing({ cost: 1n }));
    const refused = await store.calls.open(opening("c", { budgets }));
    assert.deepEqual(refused, { opened: false, budgets: [{ budget: budgets[0], spent: LIMIT, reserved: 0n }] });
    assert.equal(await store.calls.get("c"), undefined);
    assert.equal((await store.reports.total({})).requests, 2);
  });

  it("count what calls in flight hold, until they are closed", async (t) => {
    const store = await openWithKey(stores, t);
    const budgets = [keyBudget(LIMIT)];
    await store.calls.open(opening("a", { budgets, reserved: LIMIT }));
    assert.equal((await store.calls.open(opening("b", { budgets, reserved: 1n }))).opened, false);
    await store.calls.close("a", closing({ cost: 3n }));
    assert.deepEqual(await state(store, keyBudget(LIMIT)), [3n, 0n]);
    assert.ok((await store.calls.open(opening("b", { budgets, reserved: 1n }))).opened);
  });

  it("are of a key and of its team, and each may refuse", async (t) => {
    const store = await openWithKey(stores, t);
    const both = [keyBudget(undefined), teamBudget(LIMIT)];
    const call = { team: "core", budgets: both, reserved: LIMIT };
    assert.ok((await store.calls.open(opening("a", call))).opened);
    const refused = await store.calls.open(opening("b", call));
    assert.deepEqual([refused.opened, refused.budgets.map(({ reserved }) => reserved)], [false, [LIMIT, LIMIT]]);
    // What was refused holds nothing.
    await store.calls.close("a", closing({ cost: 0n }));
    assert.deepEqual(await state(store, keyBudget(LIMIT)), [0n, 0n]);
    assert.deepEqual(await state(store, teamBudget(LIMIT)), [0n, 0n]);
  });

  it("find what was spent before they were set", async (t) => {
    const store = await openWithKey(stores, t);
    await store.calls.open(opening("a", { team: "core", reserved: 5n }));
    assert.deepEqual(await state(store, keyBudget(LIMIT)), [0n, 0n]);
    await store.calls.close("a", closing({ cost: 7n }));
    assert.deepEqual(await state(store, keyBudget(LIMIT)), [7n, 0n]);
    assert.deepEqual(await state(store, teamBudget(LIMIT)), [7n, 0n]);
  });

  it("let one of 40 calls through that each reserve all of it, on two gateways", async (t) => {
    const gateways = await openTwo(stores, t);
    const budgets = [keyBudget(LIMIT)];
    const opened = await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        gateways[n % 2 === 0 ? 0 : 1].calls.open(opening(`call-${n}`, { budgets, reserved: LIMIT })),
      ),
    );
    assert.equal(passed(opened), 1);
  });

  it("let exactly as many of 200 calls through as they have room for, on two gateways", async (t) => {
    const gateways = await openTwo(stores, t);
    const opened = await Promise.all(
      Array.from({ length: 200 }, async (_, n) => {
        const { calls } = gateways[n % 2 === 0 ? 0 : 1];
        // So that not all of a gateway's are one batch.
        await new Promise((resolve) => setTimeout(resolve, n % 7));
        const team = n % 3 === 0 ? "core" : null;
        const budgets = team === null ? [keyBudget(LIMIT)] : [teamBudget(LIMIT * 2n), keyBudget(LIMIT)];
        return calls.open(opening(`call-${n}`, { team, budgets, reserved: LIMIT / 20n }));
      }),
    );
    assert.equal(passed(opened), 20);
    assert.equal((await state(gateways[0], keyBudget(LIMIT)))[1], LIMIT);
  });

  it("never let more be spent than one call beyond them, whatever the calls cost", async (t) => {
    const gateways = await openTwo(stores, t);
    const cost = LIMIT / 10n;
    const budgets = [keyBudget(LIMIT)];
    await Promise.all(
      Array.from({ length: 100 }, async (_, n) => {
        const { calls } = gateways[n % 2 === 0 ? 0 : 1];
        const { opened } = await calls.open(opening(`call-${n}`, { budgets, reserved: cost }));
        if (opened) await calls.close(`call-${n}`, closing({ cost }));
      }),
    );
    assert.deepEqual(await state(gateways[1], keyBudget(LIMIT)), [LIMIT, 0n]);
  });

  it("start again with each UTC day and month", async (t) => {
    const store = await openWithKey(stores, t);
    const midnight = Date.UTC(2026, 11, 1);
    await spend(store, "day before", midnight - 1, 1n);
    await spend(store, "first", midnight, 10n);
    const spent = async (at: number) =>
      (await store.calls.budgets(periods(), at)).map((budgetState) => budgetState.spent);
    assert.deepEqual(await spent(midnight), [10n, 10n, 11n]);
    assert.deepEqual(await spent(midnight + DAY_MS), [0n, 10n, 11n]);
    assert.deepEqual(await spent(Date.UTC(2027, 0, 1)), [0n, 0n, 11n]);
    const states = (await store.calls.open(opening("next day", { startedAt: midnight + DAY_MS, budgets: periods() })))
      .budgets;
    assert.deepEqual(
      states.map((budgetState) => budgetState.spent),
      [0n, 10n, 11n],
    );
  });

  it("charge a call that ends late to the day in which it began", async (t) => {
    const store = await openWithKey(stores, t);
    await store.calls.open(opening("late", { startedAt: NOON }));
    await spend(store, "tomorrow", NOON + DAY_MS, 10n);
    await store.calls.close("late", closing({ cost: 1n }));
    const spent = await store.calls.budgets(periods(), NOON + DAY_MS);
    assert.deepEqual(
      spent.map((budgetState) => budgetState.spent),
      [10n, 11n, 11n],
    );
  });

  it("add up calls of the highest cost there is, beyond 64 bits", async (t) => {
    const store = await openWithKey(stores, t);
    const most = 2n ** 63n - 1n;
    for (const id of ["a", "b", "c"]) await spend(store, id, NOON, most);
    assert.deepEqual(await state(store, keyBudget(undefined)), [3n * most, 0n]);
    assert.equal((await store.reports.total({})).cost, 3n * most);
  });

  it("take a call that is opened once more for the one that is there", async (t) => {
    const [store, other] = await openTwo(stores, t);
    const call = opening("a", { budgets: [keyBudget(LIMIT)], reserved: LIMIT });
    assert.ok((await store.calls.open(call)).opened);
    assert.ok((await store.calls.open(call)).opened);
    assert.ok((await other.calls.open(call)).opened);
    assert.deepEqual(await state(store, keyBudget(LIMIT)), [0n, LIMIT]);
    await assert.rejects(store.calls.open({ ...call, instance: "another" }), { name: "StoreConflict" });
    await store.calls.close("a", closing());
    await assert.rejects(store.calls.open(call), { name: "StoreConflict" });
    assert.deepEqual(await state(store, keyBudget(LIMIT)), [0n, 0n]);
  });

  it("know a subject that has never spent anything", async (t) => {
    const store = await openWithKey(stores, t);
    assert.deepEqual(await state(store, teamBudget(LIMIT, "day", "nobody")), [0n, 0n]);
    assert.deepEqual(await store.calls.budgets([], NOON), []);
  });
});

async function openWithKey(stores: Stores, t: Parameters<Stores["open"]>[0]): Promise<Store> {
  const store = await stores.open(t);
  await store.keys.create([newKey(1)], changeAt(1));
  return store;
}

async function openTwo(stores: Stores, t: Parameters<Stores["open"]>[0]): Promise<readonly [Store, Store]> {
  const url = await stores.createDatabase(t);
  const first = await stores.open(t, url);
  await first.keys.create([newKey(1)], changeAt(1));
  return [first, await stores.open(t, url)];
}

async function spend(store: Store, id: string, startedAt: number, cost: bigint): Promise<void> {
  await store.calls.open(opening(id, { startedAt }));
  await store.calls.close(id, closing({ cost }));
}

async function state(store: Store, budget: Budget): Promise<[spent: bigint, reserved: bigint]> {
  const [found] = await store.calls.budgets([budget], NOON);
  assert.deepEqual(found?.budget, budget);
  return [found.spent, found.reserved];
}

function periods(): Budget[] {
  return [keyBudget(undefined, "day"), keyBudget(undefined, "month"), keyBudget(undefined, "total")];
}

function passed(opened: readonly OpenedCall[]): number {
  return opened.filter((call) => call.opened).length;
}
