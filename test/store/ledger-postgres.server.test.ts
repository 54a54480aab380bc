/** The ledger over a PostgreSQL server that goes away. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { openStore } from "../../src/store/open.ts";
import { postgresMissing, startPostgres } from "../servers/postgres.ts";
import { closing, keyBudget, NOON, opening } from "./contract/ledger-rows.ts";
import { changeAt, newKey } from "./contract/stores.ts";

const missing = postgresMissing();

describe("the ledger over PostgreSQL", missing === undefined ? {} : { skip: missing }, () => {
  it("refuses calls within 5 seconds while the server is gone, and counts everything once when it is back", async (t) => {
    const server = await startPostgres();
    t.after(() => server.stop());
    const url = await server.createDatabase();
    const store = await openStore(url);
    t.after(() => store.close());
    await store.keys.create([newKey(1)], changeAt(1));
    const budgets = [keyBudget(10n)];
    await store.calls.open(opening("before", { budgets, reserved: 3n }));

    await server.stop();
    const begun = performance.now();
    const refused = await Promise.allSettled([
      store.calls.open(opening("during", { budgets })),
      store.calls.close("before", closing({ cost: 4n })),
      // Asked for while the others wait.
      new Promise((resolve) => setTimeout(resolve, 1000)).then(() => store.calls.open(opening("during, later"))),
    ]);
    for (const outcome of refused) {
      assert.equal(outcome.status === "rejected" && outcome.reason.name, "StoreUnavailable");
    }
    assert.ok(performance.now() - begun < 5000, `${performance.now() - begun} ms`);

    await server.start();
    await store.calls.close("before", closing({ cost: 4n }));
    await store.calls.close("before", closing({ cost: 4n }));
    assert.ok((await store.calls.open(opening("during", { budgets }))).opened);
    assert.deepEqual(await store.calls.budgets(budgets, NOON), [{ budget: budgets[0], spent: 4n, reserved: 0n }]);
  });

  it("loses and repeats nothing over a restart of the server", async (t) => {
    const server = await startPostgres();
    t.after(() => server.stop());
    const store = await openStore(await server.createDatabase());
    t.after(() => store.close());
    await store.keys.create([newKey(1)], changeAt(1));
    let restarted = false;
    const callers = Array.from({ length: 20 }, async (_, caller) => {
      let calls = 0;
      // Some after the restart too.
      for (let left = 20; left > 0; left -= Number(restarted)) {
        const id = `${caller}-${calls++}`;
        const call = opening(id, { budgets: [keyBudget(undefined)], reserved: 1n });
        await untilDone(() => store.calls.open(call));
        await untilDone(() => store.calls.close(id, closing({ cost: 1n })));
      }
      return calls;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    await server.stop();
    await server.start();
    restarted = true;
    const calls = (await Promise.all(callers)).reduce((sum, count) => sum + count);
    const total = await store.reports.total({});
    assert.deepEqual([total.requests, total.cost], [calls, BigInt(calls)]);
    const [state] = await store.calls.budgets([keyBudget(undefined)], NOON);
    assert.deepEqual([state?.spent, state?.reserved], [BigInt(calls), 0n]);
  });
});

async function untilDone<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof Error) || error.name !== "StoreUnavailable") throw error;
    }
  }
}
