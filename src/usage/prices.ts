/**
 * What a token costs: Amazon Bedrock's prices from price-table.tsv, and an operator's own over them.
 *
 * A rate is in pico-dollars a token: a price of 0.075 USD per million tokens is 75,000 of them, a whole number, so that sums
 * are exact. What is not known has no price; it never costs zero. Prices per hour, per image and per second are left out.
 * https://aws.amazon.com/bedrock/pricing/
 */
import { readFileSync } from "node:fs";
import { matchesGlob } from "../glob.ts";

/** Pico-dollars a token. */
export interface Rates {
  readonly input: bigint;
  readonly output: bigint;
  readonly cacheRead: bigint;
  readonly cacheWrite5m: bigint;
  readonly cacheWrite1h: bigint;
}

/** Rates of one service tier, for prompts of more than `above` tokens. */
export interface TierRates {
  readonly tier: string;
  readonly above: number;
  readonly rates: Rates;
}

/** All that a model may cost at a time and place. */
export type Price = readonly TierRates[];

/** What a price is looked up by. */
export interface PricedCall {
  /** The id or ARN in Bedrock's path. */
  readonly modelId: string;
  /** What an application inference profile stands for: it is priced as that. */
  readonly foundationModel: string | undefined;
  readonly region: string;
  /** Unix milliseconds: prices change. */
  readonly at: number;
}

/** An operator's price. It takes the place of all rates of its tier, whatever the prompt's length. */
export interface PriceOverride {
  /** A model id in which `*` stands for any characters. */
  readonly match: string;
  /** Unix milliseconds. */
  readonly from?: number;
  readonly tier: string;
  readonly rates: Rates;
}

export interface Prices {
  /** Undefined for a model without a price. */
  priceOf(call: PricedCall): Price | undefined;
}

export const DEFAULT_TIER = "default";

/** As a table or a file has them; a cache rate may be absent. */
export type GivenRates = Pick<Rates, "input" | "output"> & { readonly [R in keyof Rates]?: Rates[R] | undefined };

interface DatedPrice {
  readonly from: number;
  readonly sets: TierRates[];
}

/** By region, then by model id; the newest price first. */
type PriceTable = ReadonlyMap<string, ReadonlyMap<string, readonly DatedPrice[]>>;

const TABLE = new URL("./price-table.tsv", import.meta.url);
const EVERYWHERE = "*";

/** Of the overrides that match and have begun, the last one counts. Throws when the table can't be read. */
export function createPrices(overrides: readonly PriceOverride[] = [], table = readFileSync(TABLE, "utf8")): Prices {
  const listed = parsePriceTable(table);

  function listedPrice(name: string, region: string, at: number): Price | undefined {
    for (const place of [region, EVERYWHERE]) {
      const price = listed
        .get(place)
        ?.get(name)
        ?.find(({ from }) => from <= at);
      if (price !== undefined) return price.sets;
    }
    return undefined;
  }

  return {
    priceOf({ modelId, foundationModel, region, at }) {
      const name = pricedName(modelId, foundationModel);
      const known = listedPrice(name, region, at);
      const own = overrides.filter(
        ({ match, from = 0 }) => from <= at && (matchesGlob(match, name) || matchesGlob(match, modelId)),
      );
      return own.reduce(withOverride, known);
    },
  };
}

function withOverride(price: Price = [], { tier, rates }: PriceOverride): Price {
  return [...price.filter((set) => set.tier !== tier), { tier, above: 0, rates }];
}

/** An ARN by its last part, which for a foundation model or a profile of AWS's is its id. */
function pricedName(modelId: string, foundationModel: string | undefined): string {
  if (!modelId.startsWith("arn:")) return modelId;
  if (modelId.includes(":application-inference-profile/")) return foundationModel ?? modelId;
  return modelId.slice(modelId.lastIndexOf("/") + 1);
}

/**
 * Where a model has no rate for cached tokens they cost what input costs.
 * https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
 */
export function completeRates({ input, output, cacheRead, cacheWrite5m, cacheWrite1h }: GivenRates): Rates {
  const write5m = cacheWrite5m ?? input;
  return { input, output, cacheRead: cacheRead ?? input, cacheWrite5m: write5m, cacheWrite1h: cacheWrite1h ?? write5m };
}

/** `0.075`, USD per million tokens, as pico-dollars a token; undefined for what is no such decimal. */
export function parseRate(text: string): bigint | undefined {
  const [, whole, fraction = ""] = /^(\d{1,6})(?:\.(\d{1,6}))?$/.exec(text) ?? [];
  return whole === undefined ? undefined : BigInt(whole + fraction.padEnd(6, "0"));
}

/** Throws Error with the line of what is wrong: the table is ours. */
function parsePriceTable(text: string): PriceTable {
  const lines = text.split("\n").map((line, index) => ({ number: index + 1, cells: line.split("\t") }));
  const [, ...rows] = lines.filter(({ cells: [first = ""] }) => first !== "" && !first.startsWith("#"));
  const table = new Map<string, Map<string, DatedPrice[]>>();
  for (const { number, cells } of rows) {
    const row = parseRow(cells);
    if (row === undefined) throw new Error(`price-table.tsv:${number} is not a price`);
    addRow(table, row);
  }
  for (const models of table.values()) for (const prices of models.values()) prices.sort((a, b) => b.from - a.from);
  return table;
}

interface Row {
  readonly model: string;
  readonly region: string;
  readonly from: number;
  readonly set: TierRates;
}

function parseRow(cells: readonly string[]): Row | undefined {
  const [model = "", region = "", date = "", tier = "", above = "", ...prices] = cells;
  const from = date === "-" ? 0 : Date.parse(date);
  const [input, output, ...cache] = prices.map(parseRate);
  const [cacheRead, cacheWrite5m, cacheWrite1h] = cache;
  const unread = prices.some((cell) => cell !== "-" && parseRate(cell) === undefined);
  if (cells.length !== 10 || unread || !(from >= 0) || !/^\d+$/.test(above)) return undefined;
  if (input === undefined || output === undefined) return undefined;
  const rates = completeRates({ input, output, cacheRead, cacheWrite5m, cacheWrite1h });
  return { model, region, from, set: { tier, above: Number(above), rates } };
}

function addRow(table: Map<string, Map<string, DatedPrice[]>>, { model, region, from, set }: Row): void {
  const models = table.get(region) ?? new Map<string, DatedPrice[]>();
  const prices = models.get(model) ?? [];
  const price = prices.find((other) => other.from === from);
  if (price === undefined) prices.push({ from, sets: [set] });
  else price.sets.push(set);
  table.set(region, models.set(model, prices));
}
