import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createKeys } from "../../src/access/keys.ts";
import type { Budget, CallOpening, Store } from "../../src/store/store.ts";
import { createLedger } from "../../src/usage/ledger.ts";
import { createPrices } from "../../src/usage/prices.ts";
import { createSweep } from "../../src/usage/sweep.ts";
import { startUpkeep } from "../../src/usage/upkeep.ts";
import { describeStores, type Stores } from "../store/contract/stores.ts";
import { exitCode, printed, spawnWithStore } from "../store/temp-store.ts";
import { aClosing, anOpening } from "./memory-calls.ts";

const HOST = "here";
/** Nova Lite's price of 100 tokens. */
const PROMPT_COST = 6_000_000n;

describeStores("calls of a process that is gone", (stores) => {
  it("are closed within a second of the next one's start, and hold no budget any more", async (t) => {
    const { store, url, opening, budget } = await setUp(t, stores);
    const child = spawnWithStore(
      t,
      url,
      `const store = await openStore(url);
       const ledger = createLedger(store.calls);
       const pid = process.pid;
       await store.instances.seen({ id: "killed", host: "${HOST}", pid, startedAt: Date.now(), seenAt: Date.now() });
       const budgets = [{ ...${JSON.stringify({ ...budget, limit: 0 })}, limit: 10n ** 15n }];
       const opening = { ...${JSON.stringify({ ...opening, reserved: 0 })}, reserved: 1000n, budgets, instance: "killed" };
       await Promise.all(Array.from({ length: 300 }, (_, n) => ledger.open({ ...opening, id: "call-" + n })));
       await Promise.all(Array.from({ length: 50 }, (_, n) => ledger.close("call-" + n, ${source(aClosing())})));
       print("opened");
       setInterval(() => {}, 1000);`,
    );
    await printed(child, "opened");
    child.kill("SIGKILL");
    await exitCode(child);
    const [held] = await store.calls.budgets([budget], opening.startedAt);
    assert.equal(held?.reserved, 250n * 1_000n);

    const started = performance.now();
    const upkeep = await startUpkeep({
      store,
      prices: createPrices(),
      self: { id: "next", host: HOST, pid: process.pid, startedAt: Date.now() },
      keep: {},
      now: Date.now,
      isAlive: (pid) => pid !== child.pid,
      onSwept: (count) => assert.equal(count, 250),
      onFault: (what) => assert.fail(what),
    });
    while ((await store.calls.list({ status: "open", limit: 1 })).length > 0) {
      assert.ok(performance.now() - started < 1_000, "not within a second");
      await sleep(10);
    }
    await upkeep.close();
    const [state] = await store.calls.budgets([budget], opening.startedAt);
    assert.deepEqual([state?.reserved, state?.spent], [0n, 250n * PROMPT_COST + 50n * 5n]);
    const { requests, interrupted, estimatedRequests, cost } = await store.reports.total({});
    assert.deepEqual([requests, interrupted, estimatedRequests, cost], [300, 250, 250, state?.spent]);
    const row = await store.calls.get("call-299");
    assert.deepEqual([row?.closing?.errorCode, row?.closing?.estimated], ["gateway_lost", true]);
  });

  it("are closed once, by however many processes at once", async (t) => {
    const { store, url, opening } = await setUp(t, stores);
    const ids = Array.from({ length: 300 }, (_, n) => `call-${n}`);
    await Promise.all(ids.map((id) => store.calls.open({ ...opening, id, instance: "killed" })));
    const sweepers = [store, await stores.open(t, url), await stores.open(t, url)].map((each, n) =>
      sweepOf(each, `s-${n}`),
    );
    const counts = await Promise.all(sweepers.map((sweep) => sweep.run()));
    counts.push((await sweepers[0]?.run()) ?? 0);
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      300,
    );
    const { requests, interrupted, inputTokens, cost } = await store.reports.total({});
    assert.deepEqual([requests, interrupted, inputTokens, cost], [300, 300, 30_000, 300n * PROMPT_COST]);
  });

  it("are closed by their own process if it lives after all, before, at once with or after the sweep", async (t) => {
    const { store, url, opening } = await setUp(t, stores);
    const other = await stores.open(t, url);
    const ids = Array.from({ length: 200 }, (_, n) => `call-${n}`);
    await Promise.all(ids.map((id) => store.calls.open({ ...opening, id, instance: "slow" })));
    const ledger = createLedger(other.calls);
    const closing = ids.map(async (id, n) => {
      await sleep(n);
      await ledger.close(id, aClosing({ bedrockRequestId: id }));
    });
    await sleep(20);
    const swept = sweepOf(store, "sweeper").run();
    await Promise.all([...closing, swept]);
    for (const id of ids) assert.equal((await store.calls.get(id))?.closing?.bedrockRequestId, id);
    const { requests, interrupted, estimatedRequests, inputTokens, cost } = await store.reports.total({});
    assert.deepEqual([requests, interrupted, estimatedRequests, inputTokens, cost], [200, 0, 0, 2_000, 1_000n]);
  });
});

async function setUp(t: TestContext, stores: Stores) {
  const url = await stores.createDatabase(t);
  const store = await stores.open(t, url);
  const { key } = await createKeys(store, { now: Date.now, randomBytes, by: "test" }).create({ name: "alice" });
  const opening: CallOpening = anOpening("", { keyId: key.id, startedAt: Date.now() - 1_000 });
  const budget: Budget = { subject: `key:${key.id}`, period: "total", limit: 10n ** 15n };
  return { store, url, opening, budget };
}

function sweepOf(store: Store, id: string) {
  return createSweep({
    store,
    prices: createPrices(),
    self: { id, host: HOST, pid: 1, startedAt: 0 },
    now: Date.now,
    isAlive: () => true,
    onFault: (error) => assert.fail(String(error)),
  });
}

/** As an expression: JSON has no bigints. */
function source(value: object): string {
  return JSON.stringify(value, (_key, item) => (typeof item === "bigint" ? `${item}n` : item)).replace(
    /"(\d+n)"/g,
    "$1",
  );
}
