/**
 * The shape of the operator's file: every section, its keys, units and defaults. What depends on more than one section is
 * checked in operator-config.ts.
 *
 * A key without a value is an absent one, so that everything below a section may be commented out.
 */
import * as v from "valibot";
import { REGION } from "../bedrock/endpoints.ts";
import { parseHostRule } from "../media/host-rules.ts";
import { assertModelId } from "../models/model-id.ts";
import { DEFAULT_TIER, parseRate } from "../usage/prices.ts";
import { CAPABILITY_COLUMNS } from "./capability-columns.ts";

type Schema<T> = v.GenericSchema<unknown, T>;

const MAX_IMAGE_BYTES = 20 * 1024 * 1024;
const MAX_TIMEOUT_MS = 60_000;
const UNIT_BYTES: Readonly<Record<string, number>> = { KB: 1e3, MB: 1e6, KiB: 1024, MiB: 1024 * 1024 };
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };

const flag = leaf((value) => {
  if (typeof value === "boolean") return value;
  throw mustBe("true or false", value);
});

/** What a client may write as `model`: no spaces, and nothing that means something in a key's list of models. */
const name = textLeaf("a model's name without spaces, commas and *", (text) => /^[^\s,*\p{C}]{1,256}$/u.test(text));

const modelId = textLeaf("a Bedrock model id or ARN", (text) => {
  try {
    assertModelId(text);
    return true;
  } catch {
    return false;
  }
});

const modelPattern = textLeaf("a model id in which * stands for any characters", (text) =>
  /^[A-Za-z0-9._:/*-]{1,2048}$/.test(text),
);

export const region = textLeaf("the name of an AWS region such as eu-west-1", (text) => REGION.test(text));

const bucketPattern = textLeaf("the name of an S3 bucket in which * stands for any characters", (text) =>
  /^[a-z0-9.*-]{1,63}$/.test(text),
);

const host = leaf((value) => {
  if (typeof value !== "string") throw mustBe("a host", value);
  parseHostRule(value);
  return value;
});

const bytes = leaf((value) => {
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?) ?(KB|MB|KiB|MiB)$/.exec(String(value)) ?? [];
  const size = typeof value === "number" ? value : Math.floor(Number(amount) * (UNIT_BYTES[unit] ?? Number.NaN));
  if (Number.isSafeInteger(size) && size >= 1 && size <= MAX_IMAGE_BYTES) return size;
  throw mustBe("a number of bytes, or a size such as 4MB or 5MiB, of at most 20MiB", value);
});

const duration = leaf((value) => {
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(String(value)) ?? [];
  const ms = Number(amount) * (UNIT_MS[unit] ?? Number.NaN);
  if (ms >= 1 && ms <= MAX_TIMEOUT_MS) return Math.round(ms);
  throw mustBe("a time such as 8s or 500ms, of at most 60s", value);
});

const UNIT_LONG_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
  y: 31_536_000_000,
};

const longTime = leaf((value) => {
  const [, amount, unit = ""] = /^(\d{1,5})(h|d|w|y)$/.exec(String(value)) ?? [];
  const ms = Number(amount) * (UNIT_LONG_MS[unit] ?? Number.NaN);
  if (ms >= 1) return ms;
  throw mustBe("a time such as 90d, 12w or 2y", value);
});

/** The start of a day, UTC. */
const date = leaf((value) => {
  const day = typeof value === "string" && /^\d{4}-\d\d-\d\d$/.test(value) ? new Date(value) : undefined;
  // A 31st of February is a day in March to Date.
  if (day?.getTime() && day.toISOString().startsWith(String(value))) return day.getTime();
  throw mustBe("a UTC date such as 2026-12-01", value);
});

const usdPerMillion = leaf((value) => {
  // Up to twelve digits a double prints what was written; of longer ones source.ts keeps the text.
  const rate = typeof value === "string" || typeof value === "number" ? parseRate(String(value)) : undefined;
  if (rate !== undefined) return rate;
  throw mustBe("USD per million tokens, with at most six decimals", value);
});

export const regionList = list(region, { min: 1 });

export const aliasMap = mapOf(
  name,
  shorthand("model", section({ model: modelId, region: v.nullish(region) }, "a model id, or a mapping with model")),
);

export const fallbackMap = mapOf(
  name,
  list(
    shorthand(
      "model",
      v.pipe(
        section(
          { model: v.nullish(name), region: v.nullish(region) },
          "a model id, or a mapping with model, region or both",
        ),
        v.check(({ model, region }) => model != null || region != null, "must name a model, a region or both"),
      ),
    ),
    { min: 1 },
  ),
);

const capabilityOverride = v.pipe(
  section({ match: modelPattern, ...CAPABILITY_COLUMNS.entries }, "a mapping with match and capabilities"),
  v.check((override) => Object.keys(override).length > 1, "must set at least one capability beside match"),
);

const price = section(
  {
    match: modelPattern,
    from: v.nullish(date),
    service_tier: v.nullish(oneOf([DEFAULT_TIER, "priority", "flex", "optimized"]), DEFAULT_TIER),
    input: usdPerMillion,
    output: usdPerMillion,
    cache_read: v.nullish(usdPerMillion),
    cache_write_5m: v.nullish(usdPerMillion),
    cache_write_1h: v.nullish(usdPerMillion),
  },
  "a mapping with match, input and output",
);

export const fileSchema = section({
  models: v.nullish(
    section({
      aliases: v.nullish(aliasMap, {}),
      fallbacks: v.nullish(fallbackMap, {}),
      capabilities: v.nullish(list(capabilityOverride), []),
    }),
    {},
  ),
  regions: v.nullish(section({ allowed: v.nullish(regionList) }), {}),
  images: v.nullish(
    section({
      fetch: v.nullish(
        section({
          enabled: v.nullish(flag, false),
          allow: v.nullish(list(host), []),
          max_bytes: v.nullish(bytes, "5MiB"),
          timeout: v.nullish(duration, "8s"),
        }),
        {},
      ),
    }),
    {},
  ),
  s3: v.nullish(section({ buckets: v.nullish(list(bucketPattern), []) }), {}),
  caching: v.nullish(section({ auto: v.nullish(autoCaching(), "off") }), {}),
  profiles: v.nullish(section({ automatic: v.nullish(oneOf(["geo", "global", "off"]), "geo") }), {}),
  prices: v.nullish(list(price), []),
  limits: v.nullish(
    section({
      redis_lost: v.nullish(oneOf(["local", "refuse"]), "local"),
      unpriced: v.nullish(oneOf(["refuse", "allow"]), "refuse"),
    }),
    {},
  ),
  retention: v.nullish(section({ calls: v.nullish(longTime), totals: v.nullish(longTime) }), {}),
  responses: v.nullish(section({ store: v.nullish(longTime) }), {}),
  metrics: v.nullish(section({ key_labels: v.nullish(flag, false) }), {}),
});

export type FileContent = v.InferOutput<typeof fileSchema>;

/** `off`, or which parts of a request get a cache point. */
function autoCaching() {
  const parts = section(
    {
      system: v.nullish(flag, true),
      tools: v.nullish(flag, true),
      conversation: v.nullish(flag, true),
      ttl: v.nullish(oneOf(["5m", "1h"]), "5m"),
    },
    "off, or a mapping with system, tools, conversation and ttl",
  );
  // YAML 1.1 readers, and people, take off for false.
  const off = v.transform((value: unknown) => (value === "off" || value === false ? undefined : value));
  return v.pipe(v.unknown(), off, v.optional(parts));
}

/** The type of the one kind of issue that is about a key and not about a value; its message lists the keys there are. */
export const UNKNOWN_KEY = "never";

/** A mapping with these keys and no others. */
function section<const E extends v.ObjectEntries>(entries: E, expected = "a mapping") {
  const strict: Schema<v.InferOutput<v.ObjectSchema<E, undefined>>> = v.pipe(
    v.unknown(),
    // To valibot a list is an object too.
    v.check((value) => !Array.isArray(value), notASection(expected)),
    v.objectWithRest(entries, v.never(Object.keys(entries).join(" ")), notASection(expected)),
  );
  return strict;
}

/** Valibot gives a missing key the message of its mapping, with the key in quotes as what it expected. */
function notASection(expected: string) {
  return (issue: { expected: string | null; input: unknown }) =>
    issue.expected?.startsWith('"') ? "is missing" : mustBe(expected, issue.input).message;
}

function mapOf<T>(key: v.GenericSchema<string, string>, value: Schema<T>) {
  return v.pipe(
    v.record(key, value, ({ input }) => mustBe("a mapping", input).message),
    v.transform((entries) => new Map(Object.entries(entries))),
  );
}

function list<T>(item: Schema<T>, { min = 0 } = {}) {
  return v.pipe(
    v.array(item, ({ input }) => mustBe("a list", input).message),
    v.minLength(min, "must not be empty"),
  );
}

/** A mapping of which mostly one key is needed: a bare text stands for it. */
function shorthand<T>(key: string, schema: Schema<T>) {
  return v.pipe(
    v.unknown(),
    v.transform((value) => (typeof value === "string" ? { [key]: value } : value)),
    schema,
  );
}

function oneOf<const T extends string>(words: readonly T[]) {
  return leaf((value) => {
    const found = words.find((word) => word === value);
    if (found === undefined) throw mustBe(`${words.slice(0, -1).join(", ")} or ${words.at(-1)}`, value);
    return found;
  });
}

function textLeaf(expected: string, accepts: (text: string) => boolean) {
  return v.pipe(
    v.string(({ input }) => mustBe(expected, input).message),
    v.check(accepts, ({ input }) => mustBe(expected, input).message),
  );
}

/** `read` throws an Error whose message continues "section.key …". */
function leaf<T>(read: (value: unknown) => T): Schema<T> {
  return v.pipe(
    v.unknown(),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      try {
        return read(dataset.value);
      } catch (error) {
        addIssue({ message: error instanceof Error ? error.message : "is invalid" });
        return NEVER;
      }
    }),
  );
}

function mustBe(expected: string, value: unknown): Error {
  return new Error(`must be ${expected}, got ${describe(value)}`);
}

function describe(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (typeof value === "string") return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value);
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "a mapping" : String(value);
}
