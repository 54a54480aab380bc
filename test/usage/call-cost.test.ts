import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConverseRequest } from "../../src/bedrock/converse.ts";
import { chargedTier, costOfCall, isPriced, priceOfCall, reservationOf } from "../../src/usage/call-cost.ts";
import { createPrices } from "../../src/usage/prices.ts";

const CALL = { modelInvoked: "x.model", region: "us-east-1", startedAt: 1_000 };
const RATES = { input: 3n, output: 15n, cacheRead: 1n, cacheWrite5m: 4n, cacheWrite1h: 6n };
const prices = createPrices([
  { match: "x.model", tier: "default", rates: RATES },
  { match: "x.model", tier: "flex", rates: { ...RATES, input: 1n, output: 5n, cacheWrite5m: 0n } },
]);

const price = priceOfCall(prices, CALL);
const none = priceOfCall(prices, { ...CALL, modelInvoked: "x.other" });

describe("what a call may cost at most", () => {
  const most = (more: Partial<ConverseRequest>) => reservationOf(price, more, { inputEstimate: 100 });

  it("is its prompt, written to the cache where that is dearer, and the longest answer", () => {
    assert.equal(most({ inferenceConfig: { maxTokens: 10 } }), 100n * 4n + 10n * 15n);
  });

  it("counts on 4,096 tokens where the request sets no limit", () => {
    assert.equal(most({}), 100n * 4n + 4_096n * 15n);
  });

  it("goes by the tier that is asked for, by the default one where the model has no rates for it", () => {
    const inferenceConfig = { maxTokens: 10 };
    assert.equal(most({ inferenceConfig, serviceTier: { type: "flex" } }), 100n + 50n);
    assert.equal(most({ inferenceConfig, serviceTier: { type: "priority" } }), 400n + 150n);
    assert.equal(most({ inferenceConfig, performanceConfig: { latency: "optimized" } }), 400n + 150n);
  });

  it("is that of all its choices", () => {
    const request = { inferenceConfig: { maxTokens: 10 } };
    assert.equal(reservationOf(price, request, { inputEstimate: 100, choices: 8 }), 8n * (400n + 150n));
  });

  it("is nothing where there is no price, and as much as a row can hold where it would be more", () => {
    const prompt = { inputEstimate: 100 };
    assert.equal(reservationOf(none, {}, prompt), 0n);
    const dear = createPrices([{ match: "*", tier: "default", rates: { ...RATES, output: 2n ** 60n } }]);
    assert.equal(reservationOf(priceOfCall(dear, CALL), {}, prompt), 2n ** 63n - 1n);
  });
});

describe("a call's price", () => {
  const isKnown = (request: Partial<ConverseRequest>) => isPriced(price, request);

  it("is known for a model on a tier, or with a latency, that there are rates for", () => {
    assert.deepEqual([isKnown({}), isKnown({ serviceTier: { type: "flex" } })], [true, true]);
    assert.equal(isKnown({ serviceTier: { type: "priority" } }), false);
    assert.equal(isKnown({ serviceTier: { type: "flex" }, performanceConfig: { latency: "optimized" } }), false);
    assert.equal(isPriced(none, {}), false);
  });

  it("is known for capacity that is reserved, which is paid by the hour", () => {
    assert.equal(isKnown({ serviceTier: { type: "reserved" } }), true);
  });
});

describe("what a call costs", () => {
  const usage = { inputTokens: 2, outputTokens: 1, cacheReadTokens: 5, cacheWriteTokens: 3, cacheWrite1hTokens: 1 };

  it("is its tokens by the rates of its model and tier", () => {
    assert.equal(costOfCall(prices, CALL, usage, undefined), 6n + 15n + 5n + 8n + 6n);
    assert.equal(costOfCall(prices, CALL, usage, "flex"), 2n + 5n + 5n + 0n + 6n);
  });

  it("is not known without a price, and nothing where nothing was used", () => {
    const nothing = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };
    assert.equal(costOfCall(prices, { ...CALL, modelInvoked: "x.other" }, usage, undefined), undefined);
    assert.equal(costOfCall(prices, { ...CALL, modelInvoked: "x.other" }, nothing, undefined), 0n);
    assert.equal(costOfCall(prices, CALL, usage, "priority"), undefined);
  });

  it("is that of optimized latency, whatever the tier", () => {
    assert.deepEqual(
      [chargedTier("flex", "optimized"), chargedTier("flex", "standard"), chargedTier(undefined, undefined)],
      ["optimized", "flex", undefined],
    );
  });
});
