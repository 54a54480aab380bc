import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Call, CallClosing } from "../../src/store/store.ts";
import type { InvocationEntry } from "../../src/usage/invocation-log.ts";
import { createPrices } from "../../src/usage/prices.ts";
import { createReconciliation, type ReconcileReport } from "../../src/usage/reconcile.ts";
import { aClosing, anOpening, type MemoryCalls, memoryCalls } from "./memory-calls.ts";

const AT = 1_700_000_000_000;
const MINUTE_MS = 60_000;
const LOGGED = { inputTokens: 1_000, outputTokens: 100, cacheReadTokens: 0, cacheWriteTokens: 0 };

/** Nova Lite: 60,000 pico-dollars a token in, 240,000 out. */
const LOGGED_COST = 84_000_000n;

const ESTIMATE = { estimated: true, status: "interrupted", httpStatus: 200 } as const;
/** Closed by a sweep: nobody heard Bedrock's request id. */
const { bedrockRequestId: _none, ...LOST } = aClosing({ ...ESTIMATE, errorCode: "gateway_lost", cost: 6_000_000n });

describe("reconciling with Bedrock's log", () => {
  it("replaces an estimate by AWS's numbers, at the price of the row's own day and model", async () => {
    const { calls, report } = await reconcile([row("c-1", aClosing(ESTIMATE))], [entry()]);
    assert.deepEqual(calls.amended, [
      {
        id: "c-1",
        usage: { ...LOGGED, cacheWrite1hTokens: 0 },
        estimated: false,
        cost: LOGGED_COST,
        bedrockRequestId: "b-1",
      },
    ]);
    assertCounts(report, { entries: 1, matched: 1, replaced: 1 });
    assert.deepEqual([report.costBefore, report.costAfter], [5n, LOGGED_COST]);
  });

  it("leaves equal numbers alone, and reports others without replacing them", async () => {
    const equal = row("c-1", aClosing({ usage: { ...LOGGED, cacheWrite1hTokens: 0, reasoningTokens: 7 } }));
    const other = row("c-2", aClosing({ bedrockRequestId: "b-2" }));
    const { calls, report } = await reconcile([equal, other], [entry(), entry({ requestId: "b-2" })]);
    assertCounts(report, { entries: 2, matched: 2, equal: 1, different: 1 });
    assert.deepEqual(calls.amended, []);
    const ledger = other.closing?.usage;
    assert.deepEqual(report.differences, [{ callId: "c-2", requestId: "b-2", ledger, log: LOGGED }]);
  });

  it("replaces them too when it is told to, and keeps what the log does not have", async () => {
    const usage = { ...LOGGED, inputTokens: 1, cacheWriteTokens: 50, cacheWrite1hTokens: 20, reasoningTokens: 3 };
    const logged = { ...LOGGED, cacheWriteTokens: 50 };
    const known = row("c-1", aClosing({ usage, serviceTier: "default" }));
    const { calls, report } = await reconcile([known], [entry({ usage: logged })], { replaceAll: true });
    assertCounts(report, { entries: 1, matched: 1, replaced: 1 });
    assert.deepEqual(calls.amended[0]?.usage, { ...logged, cacheWrite1hTokens: 20, reasoningTokens: 3 });
    assert.equal(calls.amended[0]?.serviceTier, "default");
  });

  it("changes nothing the second time, whatever was there", async () => {
    const rows = [
      row("c-1", aClosing(ESTIMATE)),
      row("c-2", aClosing({ bedrockRequestId: "b-2" })),
      row("c-3", LOST, { keyId: "key_3" }),
      row("c-4", LOST, { keyId: "key_2" }),
    ];
    const entries = [
      entry(),
      entry({ requestId: "b-2" }),
      entry({ requestId: "b-3", keyId: "key_3" }),
      entry({ requestId: "b-4", keyId: "key_2" }),
      entry({ requestId: "b-5", keyId: undefined }),
    ];
    for (const replaceAll of [false, true]) {
      const first = await reconcile(rows, entries, { replaceAll });
      assert.equal(first.report.replaced, replaceAll ? 4 : 3);
      const before = structuredClone([...first.calls.rows.values()]);
      const second = await reconcile(before, entries, { replaceAll });
      assert.deepEqual([second.report.replaced, second.calls.amended], [0, []]);
      assert.deepEqual(second.report.matched, 4);
      assert.deepEqual([...second.calls.rows.values()], before);
    }
  });

  it("changes nothing in a dry run, and says the same", async () => {
    const rows = [row("c-1", aClosing(ESTIMATE))];
    const dry = await reconcile(rows, [entry(), entry()], { dryRun: true });
    const real = await reconcile(rows, [entry(), entry()]);
    assert.deepEqual(dry.report, real.report);
    assert.deepEqual([dry.calls.amended.length, real.calls.amended.length], [0, 1]);
  });

  it("counts an entry once, however often the log has it", async () => {
    for (const groupSize of [1, 2, 100]) {
      const entries = [entry(), entry(), entry()];
      for (const dryRun of [false, true]) {
        const { calls, report } = await reconcile([row("c-1", aClosing(ESTIMATE))], entries, { groupSize, dryRun });
        assert.equal(calls.amended.length, dryRun ? 0 : 1);
        assertCounts(report, { entries: 3, matched: 1, replaced: 1, duplicates: 2 });
      }
    }
  });

  it("lists what the ledger does not have", async () => {
    const stranger = entry({ requestId: "b-9", keyId: undefined });
    const { report } = await reconcile([row("c-1", aClosing(ESTIMATE))], [stranger]);
    assertCounts(report, { entries: 1, unmatched: 1 });
    assert.deepEqual(report.unmatchedEntries, [stranger]);
  });

  it("leaves calls that still run, and entries without numbers", async () => {
    const open = { ...row("c-2", LOST, { keyId: "key_2" }), closing: undefined };
    const rows = [row("c-1", aClosing(ESTIMATE)), open];
    const entries = [entry({ usage: undefined }), entry({ requestId: "b-2", keyId: "key_2" })];
    const { calls, report } = await reconcile(rows, entries);
    assertCounts(report, { entries: 2, matched: 1, uncounted: 1, unmatched: 1 });
    assert.deepEqual(calls.amended, []);
  });

  it("finds rows across days and in groups of any size", async () => {
    const rows = Array.from({ length: 40 }, (_, n) =>
      row(`c-${n}`, aClosing({ ...ESTIMATE, bedrockRequestId: `b-${n}` }), { startedAt: AT + n * 37 * MINUTE_MS }),
    );
    const entries = rows.map(({ startedAt }, n) => entry({ requestId: `b-${n}`, at: startedAt + 50 * MINUTE_MS }));
    for (const groupSize of [1, 7, 1_000]) {
      const { report } = await reconcile(rows, entries.toReversed(), { groupSize });
      assertCounts(report, { entries: 40, matched: 40, replaced: 40 });
    }
  });

  it("does not read the rows of the time between two parts of a log", async () => {
    const days = 10 * 24 * 60 * MINUTE_MS;
    const late = row("c-2", aClosing({ ...ESTIMATE, bedrockRequestId: "b-2" }), { startedAt: AT + days });
    const entries = [entry({ requestId: "b-2", at: AT + days }), entry()];
    const { calls, report } = await reconcile([row("c-1", aClosing(ESTIMATE)), late], entries);
    assertCounts(report, { entries: 2, matched: 2, replaced: 2 });
    assert.equal(calls.asked.filter((what) => what === "byBedrockRequest").length, 2);
  });

  it("charges by the tier and the latency that the log names", async () => {
    const opening = { modelInvoked: "us.amazon.nova-pro-v1:0", foundationModel: "amazon.nova-pro-v1:0" };
    const rows = [row("c-1", aClosing(ESTIMATE), opening)];
    const { calls } = await reconcile(rows, [entry({ latency: "optimized" })]);
    assert.equal(calls.amended[0]?.cost, 1_400_000_000n);
  });

  it("leaves a row without a price unpriced", async () => {
    const rows = [row("c-1", aClosing(ESTIMATE), { modelInvoked: "x.unknown", foundationModel: "x.unknown" })];
    const { calls, report } = await reconcile(rows, [entry()]);
    assert.ok(calls.amended[0] !== undefined && !Object.hasOwn(calls.amended[0], "cost"));
    assert.equal(report.costAfter, 0n);
  });
});

describe("a row that has no request id of Bedrock's", () => {
  it("is found by key, model and time where it is the only one", async () => {
    const rows = [
      row("c-1", LOST),
      row("other-key", LOST, { keyId: "key_2" }),
      row("other-model", LOST, { modelInvoked: "x.y", foundationModel: "x.y" }),
      row("too-early", { ...LOST, finishedAt: AT - 100 * MINUTE_MS }, { startedAt: AT - 101 * MINUTE_MS }),
      row("known", aClosing({ ...ESTIMATE, bedrockRequestId: "b-7" })),
    ];
    const arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
    for (const modelId of [arn, "us.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"]) {
      const { calls, report } = await reconcile(rows, [entry({ modelId })]);
      assertCounts(report, { entries: 1, matched: 1, replaced: 1 });
      assert.equal(calls.amended[0]?.id, "c-1");
    }
  });

  it("is left alone where two rows may be meant, or two entries may mean it", async () => {
    const twoRows = await reconcile([row("c-1", LOST), row("c-2", LOST)], [entry()]);
    assertCounts(twoRows.report, { entries: 1, unmatched: 1 });
    for (const groupSize of [1, 100]) {
      const twoEntries = await reconcile([row("c-1", LOST)], [entry(), entry({ requestId: "b-2" })], { groupSize });
      assertCounts(twoEntries.report, { entries: 2, unmatched: 2 });
      assert.deepEqual(twoEntries.calls.amended, []);
    }
  });
});

async function reconcile(
  rows: readonly Call[],
  entries: readonly InvocationEntry[],
  options: { replaceAll?: boolean; dryRun?: boolean; groupSize?: number } = {},
): Promise<{ calls: MemoryCalls; report: ReconcileReport }> {
  const calls = memoryCalls();
  for (const call of rows) calls.rows.set(call.id, call);
  const prices = createPrices();
  const reconciliation = createReconciliation({ calls, prices, replaceAll: false, dryRun: false, ...options });
  for (const each of entries) await reconciliation.add(each);
  return { calls, report: await reconciliation.finish() };
}

function assertCounts(report: ReconcileReport, expected: Partial<ReconcileReport>): void {
  const { entries, matched, replaced, equal, different, uncounted, duplicates, unmatched } = report;
  const none = { matched: 0, replaced: 0, equal: 0, different: 0, uncounted: 0, duplicates: 0, unmatched: 0 };
  const counts = { entries, matched, replaced, equal, different, uncounted, duplicates, unmatched };
  assert.deepEqual(counts, { ...none, ...expected });
}

function row(id: string, closing: CallClosing, more: Parameters<typeof anOpening>[1] = {}): Call {
  const { budgets: _budgets, ...opening } = anOpening(id, { startedAt: AT, ...more });
  return { ...opening, closing };
}

function entry(more: Partial<InvocationEntry> = {}): InvocationEntry {
  return {
    requestId: "b-1",
    at: AT + 500,
    modelId: "us.amazon.nova-lite-v1:0",
    errorCode: undefined,
    usage: LOGGED,
    serviceTier: undefined,
    latency: undefined,
    keyId: "key_1",
    ...more,
  };
}
