/**
 * What the gateway wants to know of a request in Bedrock's own API, read from bytes that it passes on as they are.
 *
 * Limits and the ledger need the longest answer and the prompt's size; both may be missing or wrong without harm. Objects in
 * S3 are different: Bedrock reads them with the gateway's rights, so they are looked for in the text itself, where a key
 * that comes twice, or escaped, hides nothing. Every model family has its own names in InvokeModel.
 * https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html
 */
import { GatewayError } from "../errors.ts";
import {
  isJsonObject,
  isTooDeep,
  type JsonObject,
  type JsonValue,
  MAX_JSON_DEPTH,
  MAX_JSON_VALUES,
  parseJson,
} from "../json.ts";

export interface NativeBody {
  readonly maxTokens: number | undefined;
  readonly serviceTier: string | undefined;
  readonly latency: string | undefined;
  /** The parsed body, where it is JSON of an ordinary depth. */
  readonly json: JsonObject | undefined;
  /** URIs of the objects in S3 that Bedrock is to read. */
  readonly storedObjects: readonly string[];
}

/** Throws GatewayError `invalid_request` for an encoding that the gateway can't look into. */
export function readNativeBody(body: Buffer): NativeBody {
  if (isWide(body)) {
    throw new GatewayError("invalid_request", "The request's body must be UTF-8.");
  }
  const text = body.toString("utf8");
  const json = parsed(text);
  const object = json ?? {};
  return {
    maxTokens: maxTokens(object),
    serviceTier: string(member(object.serviceTier, "type")) ?? string(object.service_tier),
    latency: string(member(object.performanceConfig, "latency")),
    json,
    storedObjects: storedObjects(text),
  };
}

/** A client's own JSON, such as a tool's arguments, and what is around it. */
const MAX_DEPTH = MAX_JSON_DEPTH + 20;

/** A JSON reader may take UTF-16 and UTF-32 too: they begin with a byte order mark, or have a zero byte among the first four. */
function isWide(body: Buffer): boolean {
  const start = body.subarray(0, 4);
  return start.includes(0) || (start[0] === 0xfe && start[1] === 0xff) || (start[0] === 0xff && start[1] === 0xfe);
}

function parsed(text: string): JsonObject | undefined {
  try {
    const value = parseJson(text);
    return isJsonObject(value) && !isTooDeep(value, MAX_DEPTH) ? value : undefined;
  } catch {
    return undefined; // Bedrock has the better words for it.
  }
}

const LIMIT_NAMES = [
  "maxTokens",
  "max_tokens",
  "max_new_tokens",
  "max_completion_tokens",
  "max_gen_len",
  "max_tokens_to_sample",
  "maxTokenCount",
];
const LIMIT_PLACES = ["inferenceConfig", "textGenerationConfig"];

function maxTokens(body: JsonObject): number | undefined {
  for (const holder of [body, ...LIMIT_PLACES.map((place) => body[place])]) {
    for (const name of LIMIT_NAMES) {
      const value = member(holder, name);
      if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return value;
    }
  }
  return undefined;
}

const LOCATION = "s3Location";

/** Of a body with as many values as a client's JSON may have; more would hold the event loop for seconds. */
const MAX_TOKENS = 4 * MAX_JSON_VALUES;

/** The URIs below a key `s3Location`, in the order of the text. */
function storedObjects(text: string): string[] {
  // Escapes are the one way to write the name otherwise.
  if (!text.includes(LOCATION) && !text.includes("\\u")) return [];
  const found: string[] = [];
  let depth = 0;
  /** How deep the outermost location lies; 0 outside of one. */
  let location = 0;
  let last = "";
  let isLocation = false;
  let count = 0;
  for (const token of tokens(text)) {
    count += 1;
    if (count > MAX_TOKENS) throw new GatewayError("invalid_request", "The request's body has too many values.");
    if (token.startsWith('"')) {
      last = unescaped(token);
      if ((location > 0 || isLocation) && last.startsWith("s3://")) found.push(last);
      isLocation = false;
    } else if (token === ":") {
      isLocation = last === LOCATION;
    } else if (token === "{" || token === "[") {
      depth += 1;
      if (isLocation && location === 0) location = depth;
      isLocation = false;
    } else {
      if (depth === location) location = 0;
      depth -= 1;
      isLocation = false;
    }
  }
  return found;
}

/** Strings with their quotes, and the marks that say where they stand. Not by a pattern: a string may have 30 MB. */
function* tokens(text: string): Iterable<string> {
  for (let at = 0; at < text.length; at += 1) {
    const mark = text[at] ?? "";
    if (mark === '"') {
      const end = endOfString(text, at + 1);
      yield text.slice(at, end + 1);
      at = end;
    } else if (":{}[]".includes(mark)) yield mark;
  }
}

/** Where the quote is that ends the string, or the text. */
function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start); at >= 0; at = text.indexOf('"', at + 1)) {
    let escapes = 0;
    while (at - 1 - escapes >= start && text[at - 1 - escapes] === "\\") escapes += 1;
    if (escapes % 2 === 0) return at;
  }
  return text.length;
}

function unescaped(literal: string): string {
  if (!literal.includes("\\")) return literal.slice(1, -1);
  try {
    return String(JSON.parse(literal));
  } catch {
    return literal.slice(1, -1);
  }
}

function member(value: JsonValue | undefined, key: string): JsonValue | undefined {
  return isJsonObject(value) ? value[key] : undefined;
}

function string(value: JsonValue | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}
