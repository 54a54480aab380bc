import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createRetention, type RetentionPeriods } from "../../src/usage/retention.ts";
import { aClosing, anOpening, memoryCalls } from "./memory-calls.ts";

const DAY_MS = 86_400_000;
const NOW = 400 * DAY_MS;

describe("retention", () => {
  it("removes closed rows that are older than asked for, in batches, and keeps the others", async () => {
    const { retention, calls } = setUp({ calls: 90 * DAY_MS });
    for (let n = 0; n < 2_500; n++) add(calls, `old-${n}`, NOW - 90 * DAY_MS - 1);
    add(calls, "new", NOW - 90 * DAY_MS);
    calls.rows.set("open", { ...anOpening("open", { startedAt: 0 }), closing: undefined });
    assert.deepEqual(await retention.run(), { calls: 2_500, totals: 0, answers: 0 });
    assert.deepEqual([...calls.rows.keys()], ["new", "open"]);
    assert.deepEqual(calls.asked, ["prune", "prune", "prune"]);
  });

  it("removes totals by their own age", async () => {
    const { retention, pruned, calls } = setUp({ totals: 365 * DAY_MS });
    assert.deepEqual(await retention.run(), { calls: 0, totals: 7, answers: 0 });
    assert.deepEqual([pruned, calls.asked], [[35 * DAY_MS], []]);
  });

  it("removes stored answers that have expired, in batches, whatever else is kept", async () => {
    const { retention, asked } = setUp({}, 120);
    assert.deepEqual(await retention.run(), { calls: 0, totals: 0, answers: 120 });
    assert.deepEqual(asked, [NOW, NOW, NOW]);
  });

  it("keeps everything where nothing is asked for", async () => {
    const { retention, pruned, calls } = setUp({});
    assert.deepEqual(await retention.run(), { calls: 0, totals: 0, answers: 0 });
    assert.deepEqual([pruned, calls.asked], [[], []]);
  });

  it("ends after the batch that it is at when it is told to", async () => {
    const { retention, calls } = setUp({ calls: DAY_MS, totals: DAY_MS }, 1);
    for (let n = 0; n < 2_500; n++) add(calls, `old-${n}`, 0);
    assert.deepEqual(await retention.run(AbortSignal.abort()), { calls: 1_000, totals: 0, answers: 0 });
  });
});

function setUp(keep: RetentionPeriods, expired = 0) {
  const calls = memoryCalls();
  const pruned: number[] = [];
  const reports = {
    async prune(before: number) {
      pruned.push(before);
      return 7;
    },
  };
  const asked: number[] = [];
  const answers = {
    async prune(now: number, limit: number) {
      asked.push(now);
      const removed = Math.min(limit, expired);
      expired -= removed;
      return removed;
    },
  };
  const store = { calls, reports, answers };
  return { calls, pruned, asked, retention: createRetention({ store, keep, now: () => NOW, pauseMs: 1 }) };
}

function add(calls: ReturnType<typeof memoryCalls>, id: string, startedAt: number): void {
  const { budgets: _budgets, ...opening } = anOpening(id, { startedAt });
  calls.rows.set(id, { ...opening, closing: aClosing() });
}
