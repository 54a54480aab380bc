import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import {
  completeRates,
  createPrices,
  type Price,
  type PriceOverride,
  parseRate,
  type Rates,
} from "../../src/usage/prices.ts";

const NOW = Date.parse("2026-11-22T12:00:00Z");
const SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const prices = createPrices();
const RATES: readonly (keyof Rates)[] = ["input", "output", "cacheRead", "cacheWrite5m", "cacheWrite1h"];

/** Ids of other services, and rows of the Mantle endpoint that differ from what the same id costs at the runtime's. */
const NOT_OURS =
  /claude_platform\/|@|(^|\/)claude-|^bedrock_mantle\/(anthropic\.claude-(haiku|opus|sonnet)-5-5|openai\.gpt-6-(luna|sol))$/;

describe("the price table", () => {
  for (const row of expected()) {
    it(`has ${row.id} as listed`, () => {
      const price = priceOf(row.modelId, { region: row.region });
      if (row.input === "") {
        assert.equal(price, undefined);
        return;
      }
      assert.ok(price);
      assertRates(price, "default", 0, row);
      if (row.in_prio !== "") assertRates(price, "priority", 0, { input: row.in_prio, output: row.out_prio });
      if (row.in_flex !== "") assertRates(price, "flex", 0, { input: row.in_flex, output: row.out_flex });
      const [, thousands, input, output] = /^>(\d+)k: in (\S+) out (\S+)$/.exec(row.long_ctx) ?? [];
      assert.equal(
        price.some(({ above }) => above > 0),
        thousands !== undefined,
      );
      if (thousands !== undefined) assertRates(price, "default", Number(thousands) * 1000, { input, output });
    });
  }

  it("is whole: no rate of zero but for the output of embeddings, and each price with a default rate", () => {
    const ids = tableRows().map(([model = ""]) => model);
    assert.ok(ids.length > 700);
    for (const [model = "", region = ""] of tableRows()) {
      const price = priceOf(model, { region });
      assert.ok(price, model);
      assert.ok(
        price.some(({ tier, above }) => tier === "default" && above === 0),
        model,
      );
      for (const { rates } of price) {
        const { output, ...others } = rates;
        assert.ok(output > 0n || /embed/.test(model), model);
        assert.ok(
          Object.values(others).every((rate) => rate > 0n),
          model,
        );
      }
    }
  });

  it("names each model, region, date, tier and threshold once", () => {
    const keys = tableRows().map((cells) => cells.slice(0, 5).join(" "));
    assert.equal(new Set(keys).size, keys.length);
  });

  it("has a geography's profiles of Claude 4.5 and newer a tenth above the global one, us-gov a fifth", () => {
    const geographic = /^(us|eu|apac|jp|au|in|us-gov)\.(anthropic\.claude-(?:\w+-4-[5-9]|\w+-5).*)$/;
    const found = tableRows().flatMap(([model = ""]) => {
      const [, geography, base] = geographic.exec(model) ?? [];
      return base === undefined || !tableRows().some(([id]) => id === `global.${base}`) ? [] : [{ geography, base }];
    });
    assert.ok(found.length > 40);
    for (const { geography, base } of found) {
      const [here] = priceOf(`${geography}.${base}`) ?? [];
      const [list] = priceOf(`global.${base}`) ?? [];
      assert.ok(here && list);
      const percent = geography === "us-gov" ? 120n : 110n;
      for (const rate of RATES) {
        assert.equal(here.rates[rate] * 100n, list.rates[rate] * percent, `${geography}.${base} ${rate}`);
      }
    }
  });

  it("scales what is cached with the input of a tier or a long prompt", () => {
    for (const model of [
      "us.anthropic.claude-haiku-5-5",
      `us.${SONNET}`,
      "us.moonshotai.kimi-k3",
      "us.openai.gpt-5.5",
    ]) {
      const [list, ...others] = priceOf(model) ?? [];
      assert.ok(list && others.length > 0);
      for (const { rates } of others) {
        assert.equal(rates.cacheRead * list.rates.input, rates.input * list.rates.cacheRead, model);
        assert.equal(rates.cacheWrite5m * list.rates.input, rates.input * list.rates.cacheWrite5m, model);
      }
    }
  });

  it("refuses to be read with a row that is no price", () => {
    const head = "model\tregion\tfrom\ttier\tabove\tinput\toutput\tcache_read\tcache_write_5m\tcache_write_1h";
    for (const row of [
      "m\t*\t-\tdefault\t0\t1\t2\t-\t-",
      "m\t*\t-\tdefault\t0\t-\t2\t-\t-\t-",
      "m\t*\t-\tdefault\t0\t1\t2e3\t-\t-\t-",
      "m\t*\tsoon\tdefault\t0\t1\t2\t-\t-\t-",
      "m\t*\t-\tdefault\t1k\t1\t2\t-\t-\t-",
    ]) {
      assert.throws(() => createPrices([], `# prices\n${head}\n${row}\n`), /price-table\.tsv:3 is not a price/);
    }
  });
});

describe("priceOf", () => {
  it("knows no price for what the table does not have", () => {
    for (const id of ["test.unknown-v1", "ca.anthropic.claude-opus-5", "us.", ""]) {
      assert.equal(priceOf(id, { foundationModel: "anthropic.claude-opus-5" }), undefined, id);
    }
  });

  it("prices a foundation model's and a profile's ARN as its id", () => {
    assert.deepEqual(priceOf(`arn:aws:bedrock:us-east-1::foundation-model/${SONNET}`), priceOf(SONNET));
    const profile = `arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.${SONNET}`;
    assert.deepEqual(priceOf(profile), priceOf(`us.${SONNET}`));
    assert.notDeepEqual(priceOf(profile), priceOf(SONNET));
  });

  it("prices an application inference profile as its model, and not at all when that is not known", () => {
    const arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3";
    assert.deepEqual(priceOf(arn, { foundationModel: SONNET }), priceOf(SONNET));
    assert.equal(priceOf(arn), undefined);
  });

  it("knows no price for capacity that is paid by the hour", () => {
    const arn = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/a1b2c3";
    assert.equal(priceOf(arn, { foundationModel: SONNET }), undefined);
  });

  it("has a region's own price where there is one", () => {
    const input = (region: string) => priceOf("meta.llama3-8b-instruct-v1:0", { region })?.[0]?.rates.input;
    assert.deepEqual([input("us-east-1"), input("eu-west-2"), input("eu-west-3")], [300_000n, 390_000n, 300_000n]);
  });

  it("takes the price that holds at the time of the call", () => {
    const table = [
      "model\tregion\tfrom\ttier\tabove\tinput\toutput\tcache_read\tcache_write_5m\tcache_write_1h",
      "m\t*\t2026-02-01\tdefault\t0\t3\t3\t-\t-\t-",
      "m\t*\t2026-02-01\tdefault\t1000\t6\t6\t-\t-\t-",
      "m\t*\t-\tdefault\t0\t1\t1\t-\t-\t-",
      "m\t*\t2026-03-01\tdefault\t0\t2\t2\t-\t-\t-",
      "new\t*\t2026-03-01\tdefault\t0\t9\t9\t-\t-\t-",
    ].join("\n");
    const dated = createPrices([], table);
    const inputs = (modelId: string, date: string) =>
      dated
        .priceOf({ modelId, foundationModel: undefined, region: "us-east-1", at: Date.parse(date) })
        ?.map(({ rates }) => rates.input);
    assert.deepEqual(inputs("m", "2026-01-31T23:59:59.999Z"), [1_000_000n]);
    assert.deepEqual(inputs("m", "2026-02-01T00:00:00.000Z"), [3_000_000n, 6_000_000n]);
    assert.deepEqual(inputs("m", "2026-02-28T23:59:59.999Z"), [3_000_000n, 6_000_000n]);
    assert.deepEqual(inputs("m", "2026-03-01T00:00:00.000Z"), [2_000_000n]);
    assert.equal(inputs("new", "2026-02-28T23:59:59.999Z"), undefined);
  });
});

describe("an operator's prices", () => {
  it("take the place of the table's for their tier, long prompts included, and leave the others", () => {
    const own = override("us.amazon.nova-2-*", 7n);
    const price = priceOf("us.amazon.nova-2-lite-v1:0", { overrides: [own] });
    assert.deepEqual(
      price?.map(({ tier, above, rates }) => [tier, above, rates.input]),
      [
        ["priority", 0, 577_500n],
        ["flex", 0, 165_000n],
        ["default", 0, 7n],
      ],
    );
    const long = priceOf("us.anthropic.claude-haiku-5-5", { overrides: [override("*", 7n)] });
    assert.deepEqual(
      long?.map(({ above, rates }) => [above, rates.input]),
      [[0, 7n]],
    );
  });

  it("give a model a price that the table does not have", () => {
    assert.equal(priceOf("test.own-model", { overrides: [override("test.*", 7n)] })?.[0]?.rates.input, 7n);
    assert.equal(priceOf("best.own-model", { overrides: [override("test.*", 7n)] }), undefined);
  });

  it("match an application inference profile by its ARN and by its model", () => {
    const arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3";
    for (const match of [arn, "*/a1b2c3", SONNET]) {
      const price = priceOf(arn, { foundationModel: SONNET, overrides: [override(match, 7n)] });
      assert.equal(price?.find(({ tier }) => tier === "default")?.rates.input, 7n, match);
    }
  });

  it("hold from their date, the last that matches over those before it", () => {
    const overrides = [
      override("test.*", 1n),
      override("test.a", 2n, { from: NOW }),
      override("test.*", 3n, { from: NOW + 1 }),
    ];
    const input = (at: number) => priceOf("test.a", { overrides, at })?.[0]?.rates.input;
    assert.deepEqual([input(NOW - 1), input(NOW), input(NOW + 1)], [1n, 2n, 3n]);
  });

  it("can be for one service tier", () => {
    const price = priceOf(SONNET, { overrides: [override(SONNET, 7n, { tier: "flex" })] });
    assert.deepEqual(
      price?.map(({ tier, above }) => [tier, above]),
      [
        ["default", 0],
        ["default", 200_000],
        ["flex", 0],
      ],
    );
  });
});

describe("a rate", () => {
  it("is read exactly, to six decimals", () => {
    assert.deepEqual(["0", "1", "0.075", "0.000001", "12.5", "999999.999999"].map(parseRate), [
      0n,
      1_000_000n,
      75_000n,
      1n,
      12_500_000n,
      999_999_999_999n,
    ]);
    for (const text of [
      "",
      "-1",
      "+1",
      ".5",
      "5.",
      "1e3",
      "0.0000001",
      "1,5",
      " 1",
      "1 ",
      "NaN",
      "1_0",
      "0x10",
      "1000000",
    ]) {
      assert.equal(parseRate(text), undefined, text);
    }
  });

  it("of cached tokens is the input's where none is given, and of an hour's writes that of five minutes'", () => {
    const given = { input: 4n, output: 9n };
    assert.deepEqual(completeRates(given), { ...given, cacheRead: 4n, cacheWrite5m: 4n, cacheWrite1h: 4n });
    assert.equal(completeRates({ ...given, cacheWrite5m: 5n }).cacheWrite1h, 5n);
  });
});

interface Lookup {
  readonly region?: string;
  readonly foundationModel?: string;
  readonly overrides?: readonly PriceOverride[];
  readonly at?: number;
}

function priceOf(modelId: string, { region = "us-east-1", foundationModel, overrides, at = NOW }: Lookup = {}) {
  const from = overrides === undefined ? prices : createPrices(overrides);
  return from.priceOf({ modelId, foundationModel, region, at });
}

function override(match: string, input: bigint, more: Partial<PriceOverride> = {}): PriceOverride {
  return { match, tier: "default", rates: completeRates({ input, output: 1n }), ...more };
}

interface Listed {
  readonly input: string | undefined;
  readonly output: string | undefined;
  readonly cache_read?: string;
  readonly cache_write_5m?: string;
  readonly cache_write_1h?: string;
}

/** Empty cells say nothing. Read here by other means than in the table: USD per million times a million. */
function assertRates(price: Price, tier: string, above: number, listed: Listed): void {
  const rates = price.find((set) => set.tier === tier && set.above === above)?.rates;
  assert.ok(rates, `${tier} above ${above}`);
  const cells = [listed.input, listed.output, listed.cache_read, listed.cache_write_5m, listed.cache_write_1h];
  for (const [index, cell = ""] of cells.entries()) {
    const rate = RATES[index];
    if (cell !== "" && rate !== undefined) assert.equal(rates[rate], BigInt(Math.round(Number(cell) * 1e6)), rate);
  }
}

/** prices.tsv, each id as what is invoked and where: `bedrock/REGION/ID`, `bedrock_mantle/ID`, `ID`. */
function expected() {
  const rows = readTsv(new URL("../data/prices.tsv", import.meta.url)).slice(1);
  return rows
    .filter(([id = ""]) => !NOT_OURS.test(id))
    .map(([id = "", input = "", output = "", cache_read = "", cache_write_5m = "", cache_write_1h = "", ...more]) => {
      const [in_prio = "", out_prio = "", in_flex = "", out_flex = "", , , long_ctx = ""] = more;
      const region = /^bedrock(?:_mantle)?\/([a-z]+(?:-[a-z]+)+-\d)\//.exec(id)?.[1] ?? "us-east-1";
      const cache = { cache_read, cache_write_5m, cache_write_1h };
      const modelId = id.slice(id.lastIndexOf("/") + 1);
      return { id, modelId, region, input, output, ...cache, in_prio, out_prio, in_flex, out_flex, long_ctx };
    });
}

function tableRows(): string[][] {
  return readTsv(new URL("../../src/usage/price-table.tsv", import.meta.url)).slice(1);
}

function readTsv(file: URL): string[][] {
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.filter((line) => line !== "" && !line.startsWith("#")).map((line) => line.split("\t"));
}
