import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { exactUsd, parseUsd, shareOf, showUsd, sumUsd } from "../../../src/admin/page/browser/money.js";
import { formatUsd } from "../../../src/money.ts";

describe("money on the page", () => {
  it("is read to the last digit, as the API writes it", () => {
    for (const pico of [0n, 1n, 10n ** 12n, 123_456_789_012_345_678_901n, 999_999_999_999n, -2_500_000_000_000n])
      assert.equal(parseUsd(formatUsd(pico)), pico);
  });

  it("takes nothing that is no decimal", () => {
    for (const text of ["", "1e3", "1.", ".5", "1.0000000000001", "0x10", "NaN", " 1", "1,000"])
      assert.throws(() => parseUsd(text), /is not an amount/, text);
  });

  it("adds up exactly where floating point does not", () => {
    const tenths = Array.from({ length: 10 }, () => parseUsd("0.1"));
    assert.equal(sumUsd(tenths), parseUsd("1"));
    assert.equal(
      sumUsd([parseUsd("9007199254740993"), parseUsd("0.000000000001")]),
      parseUsd("9007199254740993.000000000001"),
    );
  });

  it("has no sum where nothing had a price, which is not zero", () => {
    assert.equal(sumUsd([null, null]), null);
    assert.equal(sumUsd([]), null);
    assert.equal(sumUsd([null, 0n]), 0n);
  });

  it("is shown to the cent, small amounts to four digits, and never as zero when it is not", () => {
    const shown = (text: string) => showUsd(parseUsd(text));
    assert.deepEqual(
      [
        "0",
        "0.000000000001",
        "0.00009",
        "0.0001",
        "0.01234",
        "0.09995",
        "0.1",
        "1.005",
        "12345.678",
        "1234567890.994999",
        "-3.2",
      ].map(shown),
      [
        "$0.00",
        "<$0.0001",
        "<$0.0001",
        "$0.0001",
        "$0.0123",
        "$0.1000",
        "$0.10",
        "$1.01",
        "$12,345.68",
        "$1,234,567,890.99",
        "-$3.20",
      ],
    );
  });

  it("is shown with all its digits where somebody looks closer", () => {
    assert.equal(exactUsd(parseUsd("1234.000000000001")), "$1,234.000000000001");
    assert.equal(exactUsd(parseUsd("3")), "$3.00");
  });

  it("has shares of a whole, and none of nothing", () => {
    assert.equal(shareOf(parseUsd("1"), parseUsd("4")), 0.25);
    assert.equal(shareOf(0n, 0n), 0);
  });
});
