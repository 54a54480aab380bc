/**
 * GATEWAY_CONFIG: the operator's YAML file, read once at the start, as one frozen object with every default in it, or one
 * error that lists every problem with its line.
 *
 * Its keys, units and defaults are in operator-config/schema.ts. Here is what is checked across sections, and the names
 * that the rest of the gateway uses.
 */
import { readFile } from "node:fs/promises";
import { closestMatch } from "leven";
import * as v from "valibot";
import { ConfigError, deepFreeze } from "./config.ts";
import type { CapabilityOverride } from "./models/capabilities.ts";
import {
  aliasMap,
  type FileContent,
  fallbackMap,
  fileSchema,
  regionList,
  UNKNOWN_KEY,
} from "./operator-config/schema.ts";
import { type Path, parseSource, type Source } from "./operator-config/source.ts";
import { completeRates, type PriceOverride } from "./usage/prices.ts";

export interface OperatorConfig {
  readonly models: {
    /** What a client may write as `model`, and what it stands for. No alias stands for another one. */
    readonly aliases: ReadonlyMap<string, ModelTarget>;
    /** By model id or alias: what to try next, in order. Aliases are resolved in the targets, not in the keys. */
    readonly fallbacks: ReadonlyMap<string, readonly FallbackTarget[]>;
    /** In the file's order. */
    readonly capabilities: readonly CapabilityOverride[];
  };
  readonly regions: {
    /** The gateway's own region is always among them. */
    readonly allowed: readonly string[];
  };
  readonly images: { readonly fetch: ImageFetching };
  readonly s3: {
    /** Buckets that clients may name objects of; `*` stands for any characters. Bedrock reads them with the gateway's rights. */
    readonly buckets: readonly string[];
  };
  readonly caching: {
    /** Undefined when off. */
    readonly auto: AutoCaching | undefined;
  };
  readonly profiles: {
    /** Which inference profile a bare model id is resolved to where it can't be called by itself. */
    readonly automatic: "geo" | "global" | "off";
  };
  /** In the file's order. */
  readonly prices: readonly PriceOverride[];
  readonly limits: {
    /** While REDIS_URL's server can't be reached: each gateway counts by itself, or requests with limits are refused. */
    readonly redisLost: "local" | "refuse";
    /** What has no price, for keys with a budget: refused, or forwarded and spent beside the budget. */
    readonly unpriced: "refuse" | "allow";
  };
  readonly retention: Retention;
  readonly responses: {
    /** How long answers are stored for requests that refer to them, in milliseconds; undefined: none is. */
    readonly store: number | undefined;
  };
  readonly metrics: {
    /** A label with the key's id on the metrics of calls. */
    readonly keyLabels: boolean;
  };
}

/** How long the ledger keeps what, in milliseconds; undefined: for good. */
export interface Retention {
  readonly calls: number | undefined;
  /** Totals by the hour. At least as long as calls. */
  readonly totals: number | undefined;
}

export interface ModelTarget {
  readonly model: string;
  /** Undefined for the gateway's own. */
  readonly region?: string;
}

export interface FallbackTarget {
  /** Undefined for the model that failed. */
  readonly model?: string;
  /** Undefined for the gateway's own. */
  readonly region?: string;
}

export interface ImageFetching {
  readonly enabled: boolean;
  /** Host rules (media/host-rules.ts); empty for every public host. */
  readonly allow: readonly string[];
  readonly maxBytes: number;
  readonly timeoutMs: number;
}

export interface AutoCaching {
  readonly system: boolean;
  readonly tools: boolean;
  readonly conversation: boolean;
  readonly ttl: "5m" | "1h";
}

interface Problem {
  readonly path: Path;
  readonly text: string;
}

/**
 * `path` undefined for the defaults. `ownRegion` is AWS_REGION; undefined only while that is itself not known, and then
 * regions are not checked against it. Throws ConfigError.
 */
export async function readOperatorConfig(
  path: string | undefined,
  ownRegion: string | undefined,
): Promise<OperatorConfig> {
  if (path === undefined) return parseOperatorConfig("", "", ownRegion);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new ConfigError([
      `GATEWAY_CONFIG must name a readable file: ${error instanceof Error ? error.message : path}.`,
    ]);
  }
  return parseOperatorConfig(text, path, ownRegion);
}

/** `file` is what problems are prefixed with. Throws ConfigError. */
export function parseOperatorConfig(text: string, file: string, ownRegion: string | undefined): OperatorConfig {
  const parsed = parseSource(text);
  if ("problems" in parsed) {
    throw new ConfigError(parsed.problems.map(({ line, column, text }) => `${file}:${line}:${column}: ${text}.`));
  }
  const { source } = parsed;
  const result = v.safeParse(fileSchema, source.value ?? {});
  const problems = [...shapeProblems(result.issues ?? []), ...crossProblems(source.value, ownRegion)];
  if (result.success) problems.push(...retentionProblems(result.output.retention));
  if (!result.success || problems.length > 0) throw new ConfigError(inOrder(problems, source, file));
  return effective(result.output, ownRegion);
}

/** Problems of single values and keys. */
function shapeProblems(issues: readonly v.BaseIssue<unknown>[]): Problem[] {
  return issues.map((issue) => {
    const path = (issue.path ?? []).map(({ key }) => (typeof key === "number" ? key : String(key)));
    return { path, text: issue.type === UNKNOWN_KEY ? unknownKey(String(path.at(-1)), issue.message) : issue.message };
  });
}

function unknownKey(key: string, known: string): string {
  const keys = known.split(" ");
  const near = closestMatch(key, keys, { maxDistance: Math.max(2, Math.floor(key.length / 3)) });
  return `is not a key that is known here${near === undefined ? `: there are ${keys.join(", ")}` : `, did you mean ${near}?`}`;
}

/**
 * Problems between sections. Each section is looked at when it has a right shape by itself, so that these problems are
 * said together with those of other sections.
 */
function crossProblems(file: unknown, ownRegion: string | undefined): Problem[] {
  const aliases = part(aliasMap, file, "models", "aliases") ?? new Map<string, never>();
  const fallbacks = part(fallbackMap, file, "models", "fallbacks") ?? new Map<string, never>();
  const listed = part(regionList, file, "regions", "allowed");
  const problems: Problem[] = [];

  if (listed !== undefined && ownRegion !== undefined && !listed.includes(ownRegion)) {
    problems.push({ path: ["regions", "allowed"], text: `must hold the gateway's own region, ${ownRegion}` });
  }
  const allowed = listed ?? (ownRegion === undefined ? undefined : [ownRegion]);
  const checkRegion = (region: string | null | undefined, path: Path) => {
    if (region == null || allowed === undefined || allowed.includes(region)) return;
    problems.push({ path: [...path, "region"], text: `is ${region}, which regions.allowed does not hold` });
  };
  for (const [name, { model, region }] of aliases) {
    const path = ["models", "aliases", name];
    if (aliases.has(model)) problems.push({ path, text: `must name a model, and ${model} is an alias itself` });
    checkRegion(region, path);
  }
  for (const [name, targets] of fallbacks) {
    targets.forEach(({ model, region }, index) => {
      const path = ["models", "fallbacks", name, index];
      if (model === name && region == null) problems.push({ path, text: "is the model that has failed" });
      checkRegion(region, path);
    });
  }
  return problems;
}

/** Rows without their totals would be missing in every report. */
function retentionProblems({ calls, totals }: FileContent["retention"]): Problem[] {
  if (totals == null || (calls != null && calls <= totals)) return [];
  return [{ path: ["retention", "totals"], text: "must be as long as retention.calls, or longer" }];
}

function part<T>(schema: v.GenericSchema<unknown, T>, file: unknown, section: string, key: string): T | undefined {
  const result = v.safeParse(v.object({ [section]: v.object({ [key]: schema }) }), file);
  return result.success ? result.output[section]?.[key] : undefined;
}

function inOrder(problems: readonly Problem[], source: Source, file: string): string[] {
  return problems
    .map(({ path, text }) => ({ ...source.place(path), text: `${pathText(path)} ${text}` }))
    .sort((a, b) => a.line - b.line || a.column - b.column)
    .map(({ line, column, text }) => `${file}:${line}:${column}: ${text}${text.endsWith("?") ? "" : "."}`);
}

function pathText(path: Path): string {
  const [first = "The file", ...rest] = path;
  return rest.reduce<string>(
    (text, key) =>
      typeof key === "number" ? `${text}[${key}]` : /^[\w-]+$/.test(key) ? `${text}.${key}` : `${text}["${key}"]`,
    String(first),
  );
}

function effective(file: FileContent, ownRegion: string | undefined): OperatorConfig {
  const { aliases, fallbacks, capabilities } = file.models;
  const { enabled, allow, max_bytes, timeout } = file.images.fetch;
  const targets = new Map([...aliases].map(([name, to]) => [name, target(to)] as const));
  return deepFreeze({
    models: {
      aliases: targets,
      fallbacks: new Map(
        [...fallbacks].map(([name, list]) => [name, Object.freeze(list.map((to) => resolved(to, targets)))] as const),
      ),
      capabilities,
    },
    regions: { allowed: [...new Set(file.regions.allowed ?? (ownRegion === undefined ? [] : [ownRegion]))] },
    images: { fetch: { enabled, allow, maxBytes: max_bytes, timeoutMs: timeout } },
    s3: { buckets: file.s3.buckets },
    caching: { auto: file.caching.auto },
    profiles: file.profiles,
    prices: file.prices.map(priceOverride),
    limits: { redisLost: file.limits.redis_lost, unpriced: file.limits.unpriced },
    retention: { calls: file.retention.calls ?? undefined, totals: file.retention.totals ?? undefined },
    responses: { store: file.responses.store ?? undefined },
    metrics: { keyLabels: file.metrics.key_labels },
  });
}

function priceOverride(price: FileContent["prices"][number]): PriceOverride {
  const { match, from, service_tier: tier, input, output, cache_read, cache_write_5m, cache_write_1h } = price;
  const rates = completeRates({
    input,
    output,
    cacheRead: cache_read ?? undefined,
    cacheWrite5m: cache_write_5m ?? undefined,
    cacheWrite1h: cache_write_1h ?? undefined,
  });
  return { match, ...(from != null && { from }), tier, rates };
}

/** A fallback with its alias resolved. */
function resolved(
  { model, region }: { model?: string | null | undefined; region?: string | null | undefined },
  aliases: ReadonlyMap<string, ModelTarget>,
): FallbackTarget {
  const alias = model == null ? undefined : aliases.get(model);
  const id = alias?.model ?? model;
  const place = region ?? alias?.region;
  return Object.freeze({ ...(id != null && { model: id }), ...(place != null && { region: place }) });
}

function target({ model, region }: { model: string; region?: string | null | undefined }): ModelTarget {
  return Object.freeze({ model, ...(region != null && { region }) });
}
