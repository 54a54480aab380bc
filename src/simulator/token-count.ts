/**
 * Believable token numbers from sizes: four characters a token, as English text has on average.
 *
 * Prompt caching follows Bedrock's order (tools, system, messages): what lies before a cachePoint is written once and
 * read by every later request with the same beginning. The real minimum sizes and lifetimes are left out, so that a
 * short prompt shows it too.
 */
import { createHash } from "node:crypto";
import { isJsonObject, type JsonObject, type JsonValue, stringifyJson } from "../json.ts";
import { type ConverseCall, objects } from "./converse-call.ts";

const CHARACTERS_PER_TOKEN = 4;
/** What Claude counts for an image of about a megapixel. */
const MEDIA_TOKENS = 1_600;
const MAX_CACHED_PREFIXES = 10_000;

/** Tokens of one JSON value: its texts, and a flat number for images, documents, videos and sounds. */
export function countTokens(value: JsonValue | undefined): number {
  if (value === undefined || value === null) return 0;
  if (typeof value === "string") return Math.ceil(value.length / CHARACTERS_PER_TOKEN);
  if (typeof value !== "object") return 1;
  if (!isJsonObject(value)) return Array.isArray(value) ? value.reduce((sum, item) => sum + countTokens(item), 0) : 1;
  let tokens = 0;
  for (const [key, item] of Object.entries(value)) {
    if (key === "bytes") tokens += MEDIA_TOKENS;
    else if (key !== "cachePoint") tokens += countTokens(item);
  }
  return tokens;
}

/** All input tokens of a call, cached or not. */
export function countInput(call: ConverseCall): number {
  return promptParts(call).reduce((sum, part) => sum + countTokens(part), 0);
}

/** Counts calls, and remembers which beginnings of prompts are cached. */
export class TokenCounter {
  readonly #prefixes = new Set<string>();

  /** Bedrock's `usage` for a call and its answer; `inputTokens` excludes what the cache read or wrote. */
  usage(call: ConverseCall, answer: readonly JsonObject[]): JsonObject {
    const total = countInput(call);
    const outputTokens = Math.max(1, countTokens(answer));
    const cache = this.#cache(call);
    if (cache === undefined) return { inputTokens: total, outputTokens, totalTokens: total + outputTokens };
    return {
      inputTokens: total - cache.read - cache.write,
      outputTokens,
      totalTokens: total + outputTokens,
      cacheReadInputTokens: cache.read,
      cacheWriteInputTokens: cache.write,
      cacheDetails: cache.write === 0 ? [] : [{ ttl: cache.ttl, inputTokens: cache.write }],
    };
  }

  /** Undefined for a call without a cachePoint. */
  #cache(call: ConverseCall): { read: number; write: number; ttl: string } | undefined {
    const prefix = createHash("sha256");
    let tokens = 0;
    let read = 0;
    let last: { tokens: number; ttl: string } | undefined;
    for (const part of promptParts(call)) {
      const { cachePoint } = part;
      if (!isJsonObject(cachePoint)) {
        tokens += countTokens(part);
        prefix.update(stringifyJson(part));
        continue;
      }
      const id = prefix.copy().digest("base64");
      if (this.#prefixes.has(id)) read = tokens;
      else this.#remember(id);
      last = { tokens, ttl: typeof cachePoint.ttl === "string" ? cachePoint.ttl : "5m" };
    }
    return last && { read, write: last.tokens - read, ttl: last.ttl };
  }

  #remember(id: string): void {
    if (this.#prefixes.size >= MAX_CACHED_PREFIXES) this.#prefixes.clear();
    this.#prefixes.add(id);
  }
}

/** Everything that counts as input, in the order in which Bedrock caches it. */
function promptParts({ body, system, messages }: ConverseCall): JsonObject[] {
  const config = body.toolConfig;
  const tools = isJsonObject(config) ? objects(config.tools) : [];
  return [...tools, ...system, ...messages.flatMap(({ content }) => content)];
}
