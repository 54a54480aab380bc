/** The lists of test/data: ids of foundation models, without geographies, regions and names of other endpoints. */
import { readFileSync } from "node:fs";
import { foundationModelOf } from "../../src/models/model-id.ts";

/** Models that chat, by models.txt; an id without a word on what it does counts. */
export function chatModelIds(): string[] {
  return rows("models.txt", "|")
    .filter(([, , what = ""]) => !/^(embedding|realtime|image_\w+|rerank)\b/.test(what.trim()))
    .map(([id = ""]) => id.trim());
}

/** Every id of prices.tsv. */
export function pricedModelIds(): string[] {
  const ids = rows("prices.tsv", "\t").map(([id = ""]) => foundationModelOf(id.slice(id.lastIndexOf("/") + 1)));
  return [...new Set(ids)].filter((id) => id !== "id");
}

function rows(file: string, separator: string): string[][] {
  const text = readFileSync(new URL(`../data/${file}`, import.meta.url), "utf8");
  return text
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => line.split(separator));
}
