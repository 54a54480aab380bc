/** Rows of the ledger: opened, closed, corrected, found and removed. */
import assert from "node:assert/strict";
import { it, type TestContext } from "node:test";
import type { Call, Store } from "../../../src/store/store.ts";
import { closing, HOUR_MS, keyBudget, NOON, opening, teamBudget, tokens } from "./ledger-rows.ts";
import { changeAt, describeStores, newKey, type Stores } from "./stores.ts";

const ALL = { from: 0, to: Number.MAX_SAFE_INTEGER };

describeStores("the ledger", (stores) => {
  it("gives back what was opened and closed", async (t) => {
    const store = await openWithKeys(stores, t);
    const { budgets: _budgets, ...row } = opening("a", { team: "core", foundationModel: "nova", inputEstimate: 12 });
    await store.calls.open({ ...row, budgets: [] });
    assert.deepEqual(await store.calls.get("a"), { ...row, closing: undefined });
    const full = closing({
      usage: { ...tokens(1, 2), cacheReadTokens: 3, cacheWriteTokens: 4, cacheWrite1hTokens: 1, reasoningTokens: 2 },
      status: "error",
      httpStatus: 502,
      errorCode: "model_error",
      estimated: true,
      cost: 2n ** 63n - 1n,
      serviceTier: "flex",
      firstTokenAt: NOON + 10,
      bedrockRequestId: "bedrock-a",
    });
    await store.calls.close("a", full);
    assert.deepEqual(await store.calls.get("a"), { ...row, closing: full });
    assert.equal(await store.calls.get("b"), undefined);
  });

  it("counts the first closing of a call", async (t) => {
    const store = await openWithKeys(stores, t);
    await store.calls.open(opening("a"));
    await Promise.all([store.calls.close("a", closing({ cost: 1n })), store.calls.close("a", closing({ cost: 2n }))]);
    await store.calls.close("a", closing({ status: "error", cost: 3n }));
    assert.equal((await store.calls.get("a"))?.closing?.cost, 1n);
    assert.equal(await spent(store), 1n);
    const { requests, errors, cost } = await store.reports.total({});
    assert.deepEqual([requests, errors, cost], [1, 0, 1n]);
  });

  it("rejects the closing of a call that was never opened, and that alone", async (t) => {
    const store = await openWithKeys(stores, t);
    await store.calls.open(opening("a"));
    const [known, unknown] = await Promise.allSettled([
      store.calls.close("a", closing()),
      store.calls.close("b", closing()),
    ]);
    assert.equal(known?.status, "fulfilled");
    assert.match(String(unknown?.status === "rejected" && unknown.reason), /call b was closed but never opened/);
    assert.equal((await store.calls.get("a"))?.closing?.status, "ok");
  });

  it("writes a batch without the one call that can't be written", async (t) => {
    const store = await openWithKeys(stores, t);
    const ids = Array.from({ length: 20 }, (_, n) => `call-${n}`);
    const opened = await Promise.allSettled(
      ids.map((id, n) => store.calls.open(opening(id, n === 13 ? { keyId: "key_of_nobody" } : {}))),
    );
    assert.deepEqual(
      opened.flatMap(({ status }, n) => (status === "rejected" ? [n] : [])),
      [13],
    );
    assert.equal((await store.calls.list({ limit: 100 })).length, 19);
    assert.equal((await store.reports.total({})).requests, 19);
  });

  it("lets a late closing take the place of one that was made for a lost process, in totals and budgets too", async (t) => {
    const store = await openWithKeys(stores, t);
    const budgets = [keyBudget(100n)];
    await store.calls.open(opening("a", { budgets, reserved: 5n }));
    const lost = closing({ status: "interrupted", httpStatus: 0, usage: tokens(10), estimated: true, cost: 100n });
    assert.equal(await store.calls.abandon("a", lost), true);
    assert.equal(await store.calls.abandon("a", lost), false);
    assert.deepEqual(await store.calls.budgets(budgets, NOON), [{ budget: budgets[0], spent: 100n, reserved: 0n }]);
    await store.calls.close("a", closing({ usage: tokens(3, 4), cost: 7n }));
    await store.calls.close("a", closing({ usage: tokens(9, 9), cost: 9n }));
    assert.deepEqual(await store.calls.budgets(budgets, NOON), [{ budget: budgets[0], spent: 7n, reserved: 0n }]);
    const total = await store.reports.total({});
    assert.deepEqual(
      [total.requests, total.interrupted, total.inputTokens, total.outputTokens, total.estimatedRequests, total.cost],
      [1, 0, 3, 4, 0, 7n],
    );
    assert.equal(await store.calls.abandon("a", lost), false);
  });

  it("keeps AWS's own numbers of a call that was given up, whatever its process says later", async (t) => {
    const store = await openWithKeys(stores, t);
    await store.calls.open(opening("a"));
    await store.calls.abandon("a", closing({ status: "interrupted", usage: tokens(10), estimated: true, cost: 100n }));
    await store.calls.amend([{ id: "a", usage: tokens(3, 4), estimated: false, cost: 7n }]);
    await store.calls.close("a", closing({ usage: tokens(3, 1), estimated: true, cost: 5n }));
    assert.deepEqual((await store.reports.total({})).cost, 7n);
    assert.deepEqual((await store.calls.get("a"))?.closing?.cost, 7n);
  });

  it("amends what closed calls used, and says how many there were", async (t) => {
    const store = await openWithKeys(stores, t);
    for (const id of ["a", "b", "open"]) await store.calls.open(opening(id, { team: "core" }));
    await store.calls.close("a", closing({ estimated: true, cost: 10n, serviceTier: "flex" }));
    await store.calls.close("b", closing({ bedrockRequestId: "bedrock-b" }));
    const amended = await store.calls.amend([
      { id: "a", usage: tokens(100, 1), estimated: false, cost: 4n, bedrockRequestId: "bedrock-a" },
      { id: "b", usage: tokens(5), estimated: false, cost: 1n, serviceTier: "priority" },
      { id: "open", usage: tokens(1), estimated: false },
      { id: "nowhere", usage: tokens(1), estimated: false },
    ]);
    assert.equal(amended, 2);
    const [a, b] = [await store.calls.get("a"), await store.calls.get("b")];
    assert.deepEqual([a?.closing?.serviceTier, a?.closing?.bedrockRequestId], ["flex", "bedrock-a"]);
    assert.deepEqual([b?.closing?.serviceTier, b?.closing?.bedrockRequestId], ["priority", "bedrock-b"]);
    assert.equal((await store.calls.get("open"))?.closing, undefined);
    const total = await store.reports.total({});
    assert.deepEqual(
      [total.inputTokens, total.outputTokens, total.estimatedRequests, total.unpricedRequests, total.cost],
      [105, 1, 0, 0, 5n],
    );
    const team = await store.calls.budgets([teamBudget(undefined, "day")], NOON);
    assert.deepEqual([await spent(store), team[0]?.spent], [5n, 5n]);
  });

  it("counts a call once whose rows are closed by two gateways at once", async (t) => {
    const url = await stores.createDatabase(t);
    const [one, two] = [await openWithKeys(stores, t, url), await stores.open(t, url)];
    for (let n = 0; n < 5; n++) {
      await one.calls.open(opening(`call-${n}`));
      await one.calls.open(opening(`call-${n}/2`, { callId: `call-${n}`, modelInvoked: "us.other" }));
      const estimate = closing({ estimated: true });
      await Promise.all([one.calls.close(`call-${n}`, estimate), two.calls.close(`call-${n}/2`, estimate)]);
    }
    const { requests, estimatedRequests, unpricedRequests } = await one.reports.total({});
    assert.deepEqual([requests, estimatedRequests, unpricedRequests], [5, 5, 5]);
  });

  it("lists calls newest first, by key, team, state, model and time", async (t) => {
    const store = await openWithKeys(stores, t);
    await store.calls.open(opening("a", { startedAt: NOON }));
    await store.calls.open(opening("b", { startedAt: NOON + 1, keyId: "key_2", team: "core" }));
    await store.calls.open(opening("c", { startedAt: NOON + 2, modelRequested: "claude", modelInvoked: "us.claude" }));
    await store.calls.open(opening("d", { startedAt: NOON + 2 }));
    await store.calls.close("a", closing({ status: "error" }));
    const ids = async (query: Partial<Parameters<Store["calls"]["list"]>[0]>) =>
      (await store.calls.list({ limit: 10, ...query })).map(({ id }) => id);
    assert.deepEqual(await ids({}), ["d", "c", "b", "a"]);
    assert.deepEqual(await ids({ limit: 2 }), ["d", "c"]);
    assert.deepEqual(await ids({ keyId: "key_2" }), ["b"]);
    assert.deepEqual(await ids({ team: "core" }), ["b"]);
    assert.deepEqual(await ids({ status: "open" }), ["d", "c", "b"]);
    assert.deepEqual(await ids({ status: "error" }), ["a"]);
    assert.deepEqual(await ids({ status: "ok" }), []);
    assert.deepEqual([await ids({ model: "claude" }), await ids({ model: "us.claude" })], [["c"], ["c"]]);
    assert.deepEqual(await ids({ from: NOON + 1, to: NOON + 2 }), ["b"]);
  });

  it("finds the open calls of processes that are gone, oldest first", async (t) => {
    const store = await openWithKeys(stores, t);
    await store.calls.open(opening("young", { instance: "gone", startedAt: NOON + 1 }));
    await store.calls.open(opening("old", { instance: "gone too" }));
    await store.calls.open(opening("ours", { instance: "here" }));
    await store.calls.open(opening("closed", { instance: "gone" }));
    await store.calls.close("closed", closing());
    const ids = async (instances: string[], limit = 10) =>
      (await store.calls.orphans(instances, limit)).map(({ id }) => id);
    assert.deepEqual(await ids(["here"]), ["old", "young"]);
    assert.deepEqual(await ids(["here"], 1), ["old"]);
    assert.equal((await ids([])).length, 3);
    assert.deepEqual(await ids(["here", "gone", "gone too"]), []);
  });

  it("gives the calls that Bedrock has answered, in pages, each once", async (t) => {
    const store = await openWithKeys(stores, t);
    const ids = Array.from({ length: 1201 }, (_, n) => `call-${String(n).padStart(4, "0")}`);
    await Promise.all(ids.map((id, n) => store.calls.open(opening(id, { startedAt: NOON + (n >> 9) }))));
    await Promise.all(
      ids.map((id, n) => store.calls.close(id, closing(n === 7 ? {} : { bedrockRequestId: `bedrock-${n}` }))),
    );
    const found: Call[] = await Array.fromAsync(store.calls.byBedrockRequest(ALL));
    assert.deepEqual(
      found.map(({ id }) => id),
      ids.filter((_, n) => n !== 7),
    );
    assert.equal(found[0]?.closing?.bedrockRequestId, "bedrock-0");
    const some = await Array.fromAsync(store.calls.byBedrockRequest({ from: NOON + 1, to: NOON + 2 }));
    assert.equal(some.length, 512);
  });

  it("removes old calls with all their attempts, none that is open or young, and keeps the totals", async (t) => {
    const store = await openWithKeys(stores, t);
    const before = NOON + HOUR_MS;
    const rows: [id: string, startedAt: number, callId?: string][] = [
      ["old", NOON],
      ["old/2", NOON + 1, "old"],
      ["old/3", NOON + 2, "old"],
      ["still open", NOON],
      ["open attempt", NOON],
      ["open attempt/2", NOON, "open attempt"],
      ["young attempt", NOON],
      ["young attempt/2", before, "young attempt"],
      ["young", before],
    ];
    for (const [id, startedAt, callId] of rows) {
      await store.calls.open(opening(id, { startedAt, ...(callId !== undefined && { callId }) }));
      if (id !== "still open" && id !== "open attempt/2") await store.calls.close(id, closing({ cost: 5n }));
    }
    const total = await store.reports.total({});
    assert.equal(await store.calls.prune(before, 2), 3);
    assert.equal(await store.calls.prune(before, 2), 0);
    const left = (await store.calls.list({ limit: 20 })).map(({ id }) => id);
    assert.deepEqual(
      left.sort(),
      rows
        .slice(3)
        .map(([id]) => id)
        .sort(),
    );
    assert.deepEqual(await store.reports.total({}), total);
    await store.calls.close("open attempt/2", closing());
    assert.equal(await store.calls.prune(before + 1, 10), 5);
  });

  it("removes no more calls at once than it was asked to", async (t) => {
    const store = await openWithKeys(stores, t);
    for (let n = 0; n < 5; n++) {
      await store.calls.open(opening(`call-${n}`, { startedAt: NOON + n }));
      await store.calls.close(`call-${n}`, closing());
    }
    assert.equal(await store.calls.prune(NOON + 10, 2), 2);
    assert.deepEqual(
      (await store.calls.list({ limit: 9 })).map(({ id }) => id),
      ["call-4", "call-3", "call-2"],
    );
  });
});

async function openWithKeys(stores: Stores, t: TestContext, url?: string): Promise<Store> {
  const store = await stores.open(t, url);
  await store.keys.create([newKey(1), newKey(2)], changeAt(1));
  return store;
}

async function spent(store: Store): Promise<bigint | undefined> {
  return (await store.calls.budgets([keyBudget(undefined)], NOON))[0]?.spent;
}
