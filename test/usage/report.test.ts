import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it, type TestContext } from "node:test";
import { createKeys, type Keys } from "../../src/access/keys.ts";
import type { CallClosing, Store } from "../../src/store/store.ts";
import { formatUsd } from "../../src/usage/cost.ts";
import { createLedger } from "../../src/usage/ledger.ts";
import { USAGE_GROUPINGS, usageReport, usageTotal } from "../../src/usage/report.ts";
import { opening } from "../store/contract/ledger-rows.ts";
import { openTempStore } from "../store/temp-store.ts";

const DAY_1 = Date.parse("2026-11-21T23:59:59.999Z");
const DAY_2 = Date.parse("2026-11-22T00:00:00.000Z");

describe("usageReport", () => {
  it("is empty before the first call", async (t) => {
    const { store } = await openTempStore(t);
    for (const by of USAGE_GROUPINGS) {
      assert.deepEqual(await usageReport(store.reports, { by }), []);
    }
  });

  it("adds up each key's calls under its id and name", async (t) => {
    const { store, alice, bob } = await openWithCalls(t);
    assert.deepEqual(await usageReport(store.reports, { by: "key" }), [
      {
        key_id: alice,
        name: "alice",
        requests: 3,
        input_tokens: 111,
        output_tokens: 222,
        cache_read_tokens: 333,
        cache_write_tokens: 444,
        cost_usd: "0.3",
        estimated_requests: 1,
        unpriced_requests: 1,
        errors: 0,
        interrupted: 0,
      },
      {
        key_id: bob,
        name: "bob",
        requests: 1,
        input_tokens: 1000,
        output_tokens: 0,
        cache_read_tokens: 0,
        cache_write_tokens: 0,
        cost_usd: null,
        estimated_requests: 0,
        unpriced_requests: 1,
        errors: 0,
        interrupted: 0,
      },
    ]);
  });

  it("counts for the team that a key belonged to when it called", async (t) => {
    const { store, keys, alice } = await openWithCalls(t);
    await keys.update(alice, { team: "other" });
    assert.deepEqual(await inputsBy(store, "team"), [
      ["core", 111],
      [null, 1000],
    ]);
  });

  it("groups by the model that was invoked", async (t) => {
    const { store } = await openWithCalls(t);
    assert.deepEqual(await inputsBy(store, "model"), [
      ["us.claude", 1111],
      ["us.nova", 0],
    ]);
  });

  it("counts a call for each tag that its key has, and once in the total", async (t) => {
    const { store, keys, alice } = await openWithCalls(t);
    await keys.update(alice, { tags: ["web", "beta"] });
    const rows = await usageReport(store.reports, { by: "tag" });
    assert.deepEqual(
      rows.map(({ tag, input_tokens, cost_usd }) => [tag, input_tokens, cost_usd]),
      [
        ["beta", 111, "0.3"],
        ["web", 111, "0.3"],
        [null, 1000, null],
      ],
    );
    const { requests, input_tokens, cost_usd } = await usageTotal(store.reports, {});
    assert.deepEqual([requests, input_tokens, cost_usd], [4, 1111, "0.3"]);
  });

  it("groups by UTC day", async (t) => {
    const { store } = await openWithCalls(t);
    assert.deepEqual(await inputsBy(store, "day"), [
      ["2026-11-21", 11],
      ["2026-11-22", 1100],
    ]);
  });

  it("takes calls from the start of a range up to, but without, its end", async (t) => {
    const { store } = await openWithCalls(t);
    const inputs = async (range: { from?: number; to?: number }) =>
      (await usageTotal(store.reports, range)).input_tokens;
    assert.equal(await inputs({ to: DAY_2 }), 11);
    assert.equal(await inputs({ from: DAY_2 }), 1100);
    assert.equal(await inputs({ from: DAY_1, to: DAY_2 + 1 }), 1111);
    assert.deepEqual(await usageReport(store.reports, { by: "key", to: DAY_1 - 1000 }), []);
  });

  it("counts a call that was forwarded and is still open", async (t) => {
    const { store, alice } = await openWithCalls(t);
    const before = await usageTotal(store.reports, {});
    await open(store, "open", alice, "us.nova", DAY_2);
    assert.deepEqual(await usageTotal(store.reports, {}), { ...before, requests: 5 });
  });

  it("adds a further attempt's tokens to its own model, and counts it as no request", async (t) => {
    const { store, alice } = await openWithCalls(t);
    await open(store, "a3/2", alice, "us.llama", DAY_2, "a3");
    const usage = { inputTokens: 7, outputTokens: 8, cacheReadTokens: 0, cacheWriteTokens: 0 };
    await store.calls.close("a3/2", {
      status: "ok",
      httpStatus: 200,
      usage,
      estimated: true,
      finishedAt: DAY_2 + 9000,
    });
    const row = (await usageReport(store.reports, { by: "model" })).find(({ model }) => model === "us.llama");
    assert.deepEqual([row?.requests, row?.input_tokens, row?.estimated_requests], [0, 7, 1]);
    const total = await usageTotal(store.reports, {});
    assert.deepEqual([total.requests, total.input_tokens], [4, 1118]);
    assert.equal((await store.calls.get("a3/2"))?.callId, "a3");
  });
});

describe("a report's costs", () => {
  it("are zero for calls that used nothing, and null where what was used has no price", async (t) => {
    const { store } = await openWithCalls(t);
    const rows = await usageReport(store.reports, { by: "model" });
    const alice = await usageReport(store.reports, { by: "day" });
    assert.deepEqual(
      rows.map(({ model, cost_usd, unpriced_requests }) => [model, cost_usd, unpriced_requests]),
      [
        ["us.claude", "0.3", 2],
        ["us.nova", "0", 0],
      ],
    );
    assert.deepEqual(
      alice.map(({ day, cost_usd, unpriced_requests }) => [day, cost_usd, unpriced_requests]),
      [
        ["2026-11-21", "0.3", 0],
        ["2026-11-22", null, 2],
      ],
    );
    assert.equal((await usageTotal(store.reports, {})).cost_usd, "0.3");
    assert.equal((await usageTotal(store.reports, { from: DAY_2 })).cost_usd, null);
  });

  it("are null while no call has ended", async (t) => {
    const { store } = await openTempStore(t);
    const { key } = await createKeys(store, { now: Date.now, randomBytes, by: "test" }).create({ name: "alice" });
    await open(store, "a1", key.id, "us.nova", DAY_1);
    const [row] = await usageReport(store.reports, { by: "key" });
    assert.deepEqual([row?.requests, row?.cost_usd, row?.unpriced_requests], [1, null, 0]);
  });

  it("count a call once whose attempts have no price", async (t) => {
    const { store, alice } = await openWithCalls(t);
    const usage = { inputTokens: 7, outputTokens: 8, cacheReadTokens: 0, cacheWriteTokens: 0 };
    for (const id of ["a2/2", "a2/3"]) {
      await open(store, id, alice, "us.claude", DAY_2, "a2");
      await store.calls.close(id, { status: "ok", httpStatus: 200, usage, estimated: false, finishedAt: DAY_2 });
    }
    const rows = await usageReport(store.reports, { by: "key" });
    assert.equal(rows.find(({ name }) => name === "alice")?.unpriced_requests, 1);
  });

  it("are exact over 10,000 calls of any size, beyond what 64 bits hold", async (t) => {
    const { store } = await openTempStore(t);
    const { key } = await createKeys(store, { now: Date.now, randomBytes, by: "test" }).create({ name: "alice" });
    const usage = { inputTokens: 1, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };
    const closing = { status: "ok", httpStatus: 200, usage, estimated: false, finishedAt: DAY_2 } as const;
    const byModel = new Map<string, bigint>();
    await Promise.all(
      Array.from({ length: 10_000 }, async (_, index) => {
        const model = `model-${index % 7}`;
        // Of 1 to 63 bits, so that small ones are lost by whoever adds up numbers.
        const cost = randomBytes(8).readBigUInt64BE() >> BigInt(1 + (index % 63));
        byModel.set(model, (byModel.get(model) ?? 0n) + cost);
        await open(store, `call-${index}`, key.id, model, DAY_1);
        await store.calls.close(`call-${index}`, { ...closing, cost });
      }),
    );
    const rows = await usageReport(store.reports, { by: "model" });
    assert.deepEqual(
      rows.map(({ model, cost_usd }) => [model, cost_usd]),
      [...byModel].sort().map(([model, cost]) => [model, formatUsd(cost)]),
    );
    const sum = [...byModel.values()].reduce((total, cost) => total + cost, 0n);
    assert.ok(sum > 2n ** 64n);
    assert.equal((await usageReport(store.reports, { by: "key" }))[0]?.cost_usd, formatUsd(sum));
    assert.equal((await usageTotal(store.reports, {})).cost_usd, formatUsd(sum));
  });
});

async function inputsBy(store: Store, by: "team" | "model" | "day"): Promise<unknown[]> {
  return (await usageReport(store.reports, { by })).map((row) => [row[by], row.input_tokens]);
}

/** alice: two calls with tokens, one of them priced, one estimated, and one that Bedrock refused. bob: one call, without a team. */
async function openWithCalls(t: TestContext): Promise<{ store: Store; keys: Keys; alice: string; bob: string }> {
  const { store } = await openTempStore(t);
  const keys = createKeys(store, { now: Date.now, randomBytes, by: "test" });
  const bob = (await keys.create({ name: "bob" })).key.id;
  const alice = (await keys.create({ name: "alice", team: "core" })).key.id;
  const ledger = createLedger(store.calls);
  const close = (id: string, tokens: readonly [number, number, number, number], more: Partial<CallClosing> = {}) => {
    const [inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens] = tokens;
    const usage = { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens };
    const closing = { status: "ok", httpStatus: 200, usage, estimated: false, finishedAt: DAY_2 + 5000 } as const;
    return ledger.close(id, { ...closing, ...more });
  };
  await open(store, "a1", alice, "us.claude", DAY_1);
  await close("a1", [11, 22, 33, 44], { cost: 300_000_000_000n });
  await open(store, "a2", alice, "us.claude", DAY_2);
  await close("a2", [100, 200, 300, 400], { estimated: true });
  await open(store, "a3", alice, "us.nova", DAY_2);
  await close("a3", [0, 0, 0, 0], { cost: 0n });
  await open(store, "b1", bob, "us.claude", DAY_2);
  await close("b1", [1000, 0, 0, 0]);
  return { store, keys, alice, bob };
}

async function open(
  store: Store,
  id: string,
  keyId: string,
  modelInvoked: string,
  startedAt: number,
  callId?: string,
): Promise<void> {
  const { team } = (await store.keys.get(keyId)) ?? assert.fail();
  await store.calls.open(
    opening(id, { keyId, team, modelInvoked, startedAt, ...(callId !== undefined && { callId }) }),
  );
}
