import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { bucketsOf, presetOf, rangeOf, showRange } from "../../../src/admin/page/browser/range.js";

const NOW = Date.parse("2026-03-10T14:25:36.789Z");
const iso = ({ from, to, bucket }: { from: number; to: number; bucket: string }) => [
  new Date(from).toISOString(),
  new Date(to).toISOString(),
  bucket,
];

describe("a range of time", () => {
  it("is of whole hours for a day, of whole UTC days for more, and ends with the one that runs", () => {
    assert.deepEqual(iso(rangeOf({ preset: "24h" }, NOW)), [
      "2026-03-09T15:00:00.000Z",
      "2026-03-10T15:00:00.000Z",
      "hour",
    ]);
    assert.deepEqual(iso(rangeOf({ preset: "7d" }, NOW)), [
      "2026-03-04T00:00:00.000Z",
      "2026-03-11T00:00:00.000Z",
      "day",
    ]);
    assert.deepEqual(iso(rangeOf({ preset: "30d" }, NOW)), [
      "2026-02-09T00:00:00.000Z",
      "2026-03-11T00:00:00.000Z",
      "day",
    ]);
    assert.deepEqual(iso(rangeOf({ preset: "month" }, NOW)), [
      "2026-03-01T00:00:00.000Z",
      "2026-03-11T00:00:00.000Z",
      "day",
    ]);
  });

  it("takes two days in either order, both included, and today for what is missing", () => {
    const range = rangeOf({ preset: "custom", first: "2026-02-20", last: "2026-02-10" }, NOW);
    assert.deepEqual(iso(range), ["2026-02-10T00:00:00.000Z", "2026-02-21T00:00:00.000Z", "day"]);
    const today = rangeOf({ preset: "custom", first: "", last: "nonsense" }, NOW);
    assert.deepEqual(iso(today), ["2026-03-10T00:00:00.000Z", "2026-03-11T00:00:00.000Z", "hour"]);
  });

  it("has every bucket, whether there were calls in it or not", () => {
    const hours = bucketsOf(rangeOf({ preset: "24h" }, NOW));
    assert.equal(hours.length, 24);
    assert.equal(new Date(hours.at(-1) ?? 0).toISOString(), "2026-03-10T14:00:00.000Z");
    assert.equal(bucketsOf(rangeOf({ preset: "30d" }, NOW)).length, 30);
  });

  it("is shown by its last day, not by the one after", () => {
    assert.equal(showRange(rangeOf({ preset: "30d" }, NOW)), "9 Feb – 10 Mar 2026");
    assert.equal(showRange(rangeOf({ preset: "24h" }, NOW)), "9 Mar, 15:00 – 10 Mar, 15:00 UTC");
  });

  it("is known by its name alone", () => {
    assert.equal(presetOf("7d"), "7d");
    assert.equal(presetOf("constructor"), undefined);
    assert.equal(presetOf(null), undefined);
  });
});
