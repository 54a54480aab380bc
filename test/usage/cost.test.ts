import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { TokenUsage } from "../../src/store/store.ts";
import { type CostOptions, costOf, formatUsd, parseUsd, showUsd } from "../../src/usage/cost.ts";
import { completeRates, createPrices, type Price, type Rates } from "../../src/usage/prices.ts";

const NONE: TokenUsage = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };
const prices = createPrices();

describe("a call costs", () => {
  // Computed by hand from the price list: tokens × USD per million.
  const examples: readonly (readonly [
    rule: string,
    model: string,
    usage: Partial<TokenUsage>,
    usd: string,
    tier?: string,
  ])[] = [
    ["input and output", "amazon.nova-lite-v1:0", { inputTokens: 1_000, outputTokens: 500 }, "0.00018"],
    [
      "the list price at a global profile",
      "global.anthropic.claude-sonnet-4-6",
      { inputTokens: 1_000, outputTokens: 100 },
      "0.0045",
    ],
    [
      "a tenth more at a geography's profile",
      "eu.anthropic.claude-sonnet-4-6",
      { inputTokens: 1_000, outputTokens: 100 },
      "0.00495",
    ],
    [
      "no more at a geography's profile of an older model",
      "us.anthropic.claude-opus-4-1-20250805-v1:0",
      { inputTokens: 10, outputTokens: 1 },
      "0.000225",
    ],
    [
      "a tenth of the input for what was read from the cache",
      "anthropic.claude-opus-5",
      { cacheReadTokens: 10_000 },
      "0.005",
    ],
    ["a twentieth of it with the models of 5.5", "anthropic.claude-opus-5-5", { cacheReadTokens: 10_000 }, "0.002"],
    [
      "a quarter more than input for writes to the cache",
      "anthropic.claude-opus-5",
      { cacheWriteTokens: 10_000 },
      "0.0625",
    ],
    [
      "twice the input for writes of an hour",
      "anthropic.claude-opus-5",
      { cacheWriteTokens: 10_000, cacheWrite1hTokens: 10_000 },
      "0.1",
    ],
    ["writes of both kinds", "anthropic.claude-opus-5", { cacheWriteTokens: 400, cacheWrite1hTokens: 100 }, "0.002875"],
    [
      "input for cache writes of a model that has no rate for them",
      "amazon.nova-pro-v1:0",
      { cacheWriteTokens: 1_000_000 },
      "0.8",
    ],
    [
      "all of it",
      "us.anthropic.claude-haiku-4-5-20251001-v1:0",
      { inputTokens: 7, outputTokens: 11, cacheReadTokens: 13, cacheWriteTokens: 36, cacheWrite1hTokens: 19 },
      "0.000134805",
    ],
    [
      "the short price at the threshold",
      "anthropic.claude-haiku-5-5",
      { inputTokens: 100_000, outputTokens: 10 },
      "0.010005",
    ],
    [
      "the long price for all of a longer prompt, output too",
      "anthropic.claude-haiku-5-5",
      { inputTokens: 100_001, outputTokens: 10 },
      "0.0500255",
    ],
    [
      "the long price where cached tokens make the prompt long",
      "anthropic.claude-haiku-5-5",
      { inputTokens: 1, cacheReadTokens: 99_999, cacheWriteTokens: 1 },
      "0.005001075",
    ],
    [
      "twice the input and half more output for a long prompt to GPT",
      "global.openai.gpt-6.1-sol",
      { inputTokens: 272_001, outputTokens: 2 },
      "1.088034",
    ],
    [
      "three quarters more with priority",
      "us.amazon.nova-2-lite-v1:0",
      { inputTokens: 1_000, outputTokens: 100, cacheReadTokens: 1_000 },
      "0.001203125",
      "priority",
    ],
    [
      "half with flex",
      "us.amazon.nova-2-lite-v1:0",
      { inputTokens: 1_000, outputTokens: 100, cacheReadTokens: 1_000 },
      "0.00034375",
      "flex",
    ],
    [
      "the usual with the default tier by name",
      "amazon.nova-lite-v1:0",
      { inputTokens: 1_000, outputTokens: 500 },
      "0.00018",
      "default",
    ],
    ["its input alone, for embeddings", "amazon.titan-embed-text-v2:0", { inputTokens: 12_345 }, "0.0002469"],
    ["nothing without tokens", "anthropic.claude-opus-5", {}, "0"],
  ];
  for (const [rule, model, usage, usd, serviceTier] of examples) {
    it(`${rule}: ${model}`, () => {
      assert.equal(formatUsd(cost(model, usage, { serviceTier }) ?? -1n), usd);
    });
  }

  it("never less for writes of an hour than their number, where Bedrock's counts disagree", () => {
    assert.equal(formatUsd(cost("anthropic.claude-opus-5", { cacheWrite1hTokens: 1_000 }, {}) ?? -1n), "0.01");
  });

  it("what nobody knows, with a tier that has no price", () => {
    assert.equal(cost("anthropic.claude-opus-5", { inputTokens: 1 }, { serviceTier: "reserved" }), undefined);
  });

  it("what rational arithmetic says, for any usage and price", () => {
    const random = createRandom(20_261_122);
    for (let round = 0; round < 5_000; round++) {
      const price = Array.from({ length: 3 }, (_, index) => ({
        tier: "default",
        above: index === 0 ? 0 : random(300_000),
        rates: randomRates(random),
      }));
      const cacheWriteTokens = random(200_000);
      const usage = {
        inputTokens: random(400_000),
        outputTokens: random(200_000),
        cacheReadTokens: random(2) * random(1_000_000),
        cacheWriteTokens,
        cacheWrite1hTokens: random(cacheWriteTokens + 1),
      };
      assert.equal(formatUsd(costOf(usage, price) ?? -1n), rationalCost(usage, price), JSON.stringify(usage));
    }
  });
});

describe("formatUsd", () => {
  it("writes every digit and no other, and parseUsd reads it back", () => {
    for (const [pico, text] of [
      [0n, "0"],
      [1n, "0.000000000001"],
      [10n ** 12n, "1"],
      [1_500_000_000_000n, "1.5"],
      [123_456_789_000_000_000_001n, "123456789.000000000001"],
      [9_223_372_036_854_775_807n, "9223372.036854775807"],
    ] as const) {
      assert.equal(formatUsd(pico), text);
      assert.equal(parseUsd(text), pico);
    }
  });
});

describe("showUsd", () => {
  it("rounds half up to four decimals, and never to nothing what is something", () => {
    for (const [usd, text] of [
      ["0", "0.0000"],
      ["0.000000000001", "<0.0001"],
      ["0.000099999999", "<0.0001"],
      ["0.0001", "0.0001"],
      ["0.00014999", "0.0001"],
      ["0.00015", "0.0002"],
      ["0.99995", "1.0000"],
      ["1234567.5", "1,234,567.5000"],
      ["9007199254740993", "9,007,199,254,740,993.0000"],
    ] as const) {
      assert.equal(showUsd(parseUsd(usd)), text, usd);
    }
  });
});

function cost(modelId: string, usage: Partial<TokenUsage>, options: CostOptions): bigint | undefined {
  const at = Date.parse("2026-11-22");
  const price = prices.priceOf({ modelId, foundationModel: undefined, region: "us-east-1", at });
  assert.ok(price, modelId);
  return costOf({ ...NONE, ...usage }, price, options);
}

/** Fractions of USD added up over a common denominator, then divided by hand, digit by digit. */
function rationalCost(usage: Required<Omit<TokenUsage, "reasoningTokens">>, price: Price): string {
  const prompt = usage.inputTokens + usage.cacheReadTokens + usage.cacheWriteTokens;
  let { rates } = price[0] ?? assert.fail();
  let reached = 0;
  for (const set of price) if (prompt > set.above && set.above >= reached) ({ rates, above: reached } = set);
  const parts: [number, bigint][] = [
    [usage.inputTokens, rates.input],
    [usage.outputTokens, rates.output],
    [usage.cacheReadTokens, rates.cacheRead],
    [usage.cacheWriteTokens - usage.cacheWrite1hTokens, rates.cacheWrite5m],
    [usage.cacheWrite1hTokens, rates.cacheWrite1h],
  ];
  let numerator = 0n;
  let denominator = 1n;
  for (const [tokens, rate] of parts) {
    // tokens / 10⁶ × (rate / 10⁶) USD
    const below = 1_000_000n * 1_000_000n;
    numerator = numerator * below + BigInt(tokens) * rate * denominator;
    denominator *= below;
  }
  let text = String(numerator / denominator);
  let rest = numerator % denominator;
  if (rest > 0n) text += ".";
  while (rest > 0n) {
    rest *= 10n;
    text += String(rest / denominator);
    rest %= denominator;
  }
  return text;
}

function randomRates(random: (below: number) => number): Rates {
  const rate = () => BigInt(random(150_000_000));
  const given = { input: rate(), output: rate(), cacheRead: rate(), cacheWrite5m: rate(), cacheWrite1h: rate() };
  return completeRates(given);
}

/** Small and the same in each run: Park and Miller's generator. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return Math.floor((state / 2_147_483_647) * below);
  };
}
