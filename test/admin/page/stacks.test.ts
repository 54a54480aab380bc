import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseUsd } from "../../../src/admin/page/browser/money.js";
import { leaders, MEASURES, stacksOf } from "../../../src/admin/page/browser/stacks.js";

const DAY = 86_400_000;
const FROM = Date.parse("2026-03-01T00:00:00Z");
const RANGE = { from: FROM, to: FROM + 3 * DAY, bucket: "day" as const };

const totals = (cost: string | null, requests = 1) => ({
  requests,
  errors: 0,
  interrupted: 0,
  input_tokens: 10,
  output_tokens: 5,
  cache_read_tokens: 3,
  cache_write_tokens: 2,
  cost_usd: cost === null ? null : parseUsd(cost),
  estimated_requests: 0,
  unpriced_requests: cost === null ? requests : 0,
});
const row = (group: string | null, cost: string | null, name: string | null = null) => ({
  group,
  name,
  ...totals(cost),
});
const point = (group: string | null, day: number, cost: string | null) => ({
  group,
  at: FROM + day * DAY,
  ...totals(cost),
});

function stacks(options: Partial<Parameters<typeof stacksOf>[0]>) {
  return stacksOf({
    points: [],
    together: false,
    rows: [],
    by: "team",
    range: RANGE,
    measure: MEASURES.cost,
    slots: new Map(),
    ...options,
  });
}

describe("the bars over time", () => {
  it("are zero where there were no calls, and sums of pico-dollars elsewhere", () => {
    const { buckets, stacks: made } = stacks({
      rows: [row("a", "0.3")],
      points: [point("a", 0, "0.1"), point("a", 2, "0.2"), point("a", 2, "0.000000000001")],
    });
    assert.equal(buckets.length, 3);
    assert.deepEqual(made[0]?.values, [parseUsd("0.1"), 0n, parseUsd("0.200000000001")]);
    assert.equal(made[0]?.total, parseUsd("0.300000000001"));
  });

  it("are of the eight that cost most, and of all others together", () => {
    const names = Array.from({ length: 11 }, (_, index) => `team-${index}`);
    const rows = names.map((name, index) => row(name, String(index + 1)));
    const { stacks: made } = stacks({ rows, points: names.map((name, index) => point(name, 1, String(index + 1))) });
    assert.deepEqual(
      made.map(({ name }) => name),
      ["team-10", "team-9", "team-8", "team-7", "team-6", "team-5", "team-4", "team-3", "3 others"],
    );
    assert.equal(made.at(-1)?.total, parseUsd("6"));
    assert.equal(made.at(-1)?.slot, undefined);
  });

  it("name what has no team, and do not take a team of that name for it", () => {
    const rows = [row(null, "2"), row("no team", "1")];
    const { stacks: made } = stacks({ rows, points: [point(null, 0, "2"), point("no team", 0, "1")] });
    assert.deepEqual(
      made.map(({ name, total }) => [name, total]),
      [
        ["no team", parseUsd("2")],
        ["no team", parseUsd("1")],
      ],
    );
  });

  it("are one for all where the API could not tell them apart", () => {
    const { stacks: made } = stacks({
      rows: [row("a", "1"), row(null, "1")],
      points: [point(null, 0, "2")],
      together: true,
    });
    assert.deepEqual(
      made.map(({ name, total }) => [name, total]),
      [["all teams", parseUsd("2")]],
    );
  });

  it("count requests and tokens of what has no price, and no spend", () => {
    const given = { rows: [row("a", null)], points: [point("a", 0, null)] };
    assert.deepEqual(stacks(given).stacks, []);
    assert.equal(stacks({ ...given, measure: MEASURES.requests }).stacks[0]?.total, 1n);
    assert.equal(stacks({ ...given, measure: MEASURES.tokens }).stacks[0]?.total, 20n);
  });

  it("put what is priced before what is not", () => {
    const order = leaders([row("unpriced", null), row("cheap", "0.01"), row("dear", "5")]);
    assert.deepEqual(
      order.map(({ group }) => group),
      ["dear", "cheap", "unpriced"],
    );
  });

  it("have an axis in USD, with as many decimals as its steps need", () => {
    const ticks = (step: number) => [0, 1, 2].map((index) => MEASURES.cost.tick(index * step, step));
    assert.deepEqual(ticks(2), ["$0", "$2", "$4"]);
    assert.deepEqual(ticks(0.2), ["$0.00", "$0.20", "$0.40"]);
    assert.deepEqual(ticks(0.005), ["$0.000", "$0.005", "$0.010"]);
    assert.deepEqual(ticks(2_500), ["$0", "$2.5K", "$5K"]);
    assert.equal(MEASURES.requests.tick(1_500, 500), "1.5K");
  });
});
