/**
 * The environment as one frozen, validated object, or one error that lists every problem.
 *
 * Names and defaults are in the README. AWS's own variables mean what they mean to every AWS SDK; an empty variable is an
 * absent one. Nothing else in the gateway reads the environment, but the AWS SDK's credential chain does.
 */
import { hash } from "node:crypto";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { loadSharedConfigFiles } from "@smithy/core/config";
import type { Egress } from "./bedrock/egress.ts";
import { type Endpoint, type EndpointOptions, parseEndpoint, REGION, regionalEndpoint } from "./bedrock/endpoints.ts";

import { DEFAULT_DATABASE_URL, parseDatabaseUrl } from "./store/database-url.ts";

export interface Config {
  /** Where clients connect to Envoy, when the gateway runs Envoy itself. */
  readonly clients: Address;
  /** Files for TLS with clients; undefined for plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly admin: AdminConfig;
  readonly databaseUrl: string;
  /** Where limits are counted for all gateways together; undefined: in this process alone. */
  readonly redisUrl: string | undefined;
  /** Where the service listens for Envoy when it runs alone: `unix:/path` or `host:port`. */
  readonly extProcListen: string;
  readonly egress: Egress | undefined;
  readonly aws: AwsConfig;
  /** How long open streams may go on after SIGTERM. */
  readonly drainTimeoutMs: number;
  /** Envoy's worker threads; undefined for one per core. */
  readonly envoyConcurrency: number | undefined;
  /** CA certificates that Envoy checks Bedrock with; undefined for the system's. */
  readonly caFile: string | undefined;
  readonly logLevel: LogLevel;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface AdminConfig extends Address {
  /** 64 hex digits; undefined: only probes and metrics are served. */
  readonly tokenSha256: string | undefined;
  /** Names by which browsers may reach the port, beside localhost and addresses. */
  readonly hosts: readonly string[];
}

export interface AwsConfig {
  readonly region: string;
  readonly runtime: Endpoint;
  /** An operator's own runtime endpoint serves every region that is called. */
  readonly runtimeServesAll: boolean;
  readonly control: Endpoint;
  readonly endpoints: EndpointOptions;
  /** A Bedrock API key; it goes before all other credentials, as in the SDKs. */
  readonly bearerToken: string | undefined;
}

const MIN_ADMIN_TOKEN = 16;

export const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type Environment = Readonly<Record<string, string | undefined>>;

/** All that is wrong with the environment, a line each. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(
      `The configuration has ${problems.length === 1 ? "a problem" : `${problems.length} problems`}:\n${problems.map((line) => `  ${line}`).join("\n")}`,
    );
    this.problems = problems;
  }
}

/** Throws ConfigError. */
export async function readConfig(environment: Environment): Promise<Config> {
  const problems: string[] = [];
  const env = reader(environment, problems);

  const region = await readRegion(env, problems);
  const runtime = configuredEndpoint(env, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME");
  const control = configuredEndpoint(env, "AWS_ENDPOINT_URL_BEDROCK");
  const endpoints = { fips: env.flag("AWS_USE_FIPS_ENDPOINT"), dualStack: env.flag("AWS_USE_DUALSTACK_ENDPOINT") };
  const config: Config = {
    clients: { host: env.text("HOST") ?? "0.0.0.0", port: env.integer("PORT", 0, 65_535) ?? 8000 },
    tls: await readTls(env, problems),
    admin: {
      host: env.text("ADMIN_HOST") ?? "127.0.0.1",
      port: env.integer("ADMIN_PORT", 0, 65_535) ?? 8001,
      tokenSha256: env.parsed("ADMIN_TOKEN", parseAdminToken),
      hosts: env.parsed("ADMIN_HOSTS", parseHosts) ?? [],
    },
    databaseUrl: env.parsed("DATABASE_URL", checkedDatabaseUrl) ?? DEFAULT_DATABASE_URL,
    redisUrl: env.parsed("REDIS_URL", parseRedisUrl),
    extProcListen: env.parsed("EXTPROC_LISTEN", parseListen) ?? "unix:/run/gateway/extproc.sock",
    egress: env.parsed("EGRESS_URL", parseEgress),
    aws: {
      region,
      runtime: runtime ?? regionalEndpoint("bedrock-runtime", region, endpoints),
      runtimeServesAll: runtime !== undefined,
      control: control ?? regionalEndpoint("bedrock", region, endpoints),
      endpoints,
      bearerToken: env.text("AWS_BEARER_TOKEN_BEDROCK"),
    },
    drainTimeoutMs: env.parsed("DRAIN_TIMEOUT", parseSeconds) ?? 600_000,
    envoyConcurrency: env.integer("ENVOY_CONCURRENCY", 1, 1024),
    caFile: await readableFile(env, "AWS_CA_BUNDLE", problems),
    logLevel: env.parsed("LOG_LEVEL", parseLogLevel) ?? "info",
  };
  // AWS_ENDPOINT_URL is read for each plane: one problem, all the same.
  if (problems.length > 0) throw new ConfigError([...new Set(problems)]);
  return deepFreeze(config);
}

interface EnvReader {
  text(name: string): string | undefined;
  flag(name: string): boolean;
  integer(name: string, min: number, max: number): number | undefined;
  /** `parse` throws an Error whose message continues "NAME …". */
  parsed<T>(name: string, parse: (text: string) => T): T | undefined;
}

function reader(environment: Environment, problems: string[]): EnvReader {
  const text = (name: string) => environment[name]?.trim() || undefined;
  function parsed<T>(name: string, parse: (value: string) => T): T | undefined {
    const value = text(name);
    if (value === undefined) return undefined;
    try {
      return parse(value);
    } catch (error) {
      problems.push(`${name} ${error instanceof Error ? error.message : "is invalid"}.`);
      return undefined;
    }
  }
  return {
    text,
    parsed,
    flag: (name) => text(name)?.toLowerCase() === "true",
    integer: (name, min, max) =>
      parsed(name, (value) => {
        const number = Number(value);
        if (/^\d+$/.test(value) && number >= min && number <= max) return number;
        throw new Error(`must be a whole number from ${min} to ${max}, got ${JSON.stringify(value)}`);
      }),
  };
}

/** AWS_REGION, AWS_DEFAULT_REGION, then the region of the profile in the shared files. */
async function readRegion(env: EnvReader, problems: string[]): Promise<string> {
  const region = env.text("AWS_REGION") ?? env.text("AWS_DEFAULT_REGION") ?? (await profileRegion(env));
  if (region === undefined) {
    problems.push(
      "AWS_REGION is not set, and the AWS profile has no region. Set it to a region of Amazon Bedrock, such as us-east-1.",
    );
  } else if (!REGION.test(region)) {
    problems.push(`AWS_REGION must be the name of an AWS region such as us-east-1, got ${JSON.stringify(region)}.`);
  } else {
    return region;
  }
  return "us-east-1"; // Only so that the rest can be checked too.
}

async function profileRegion(env: EnvReader): Promise<string | undefined> {
  const profile = env.text("AWS_PROFILE") ?? env.text("AWS_DEFAULT_PROFILE") ?? "default";
  try {
    const path = env.text("AWS_CONFIG_FILE");
    const { configFile } = await loadSharedConfigFiles(path === undefined ? {} : { configFilepath: path });
    return configFile[profile]?.region;
  } catch {
    return undefined; // Files that can't be read count as absent, as in the SDKs.
  }
}

function configuredEndpoint(env: EnvReader, name: string): Endpoint | undefined {
  if (env.flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")) return undefined;
  return env.parsed(name, parseEndpoint) ?? env.parsed("AWS_ENDPOINT_URL", parseEndpoint);
}

async function readTls(env: EnvReader, problems: string[]): Promise<Config["tls"]> {
  const cert = await readableFile(env, "TLS_CERT", problems);
  const key = await readableFile(env, "TLS_KEY", problems);
  if (env.text("TLS_CERT") === undefined && env.text("TLS_KEY") === undefined) return undefined;
  if (env.text("TLS_CERT") === undefined) problems.push("TLS_KEY is set and TLS_CERT is not; TLS needs both.");
  if (env.text("TLS_KEY") === undefined) problems.push("TLS_CERT is set and TLS_KEY is not; TLS needs both.");
  return cert === undefined || key === undefined ? undefined : { cert, key };
}

async function readableFile(env: EnvReader, name: string, problems: string[]): Promise<string | undefined> {
  const path = env.text(name);
  if (path === undefined) return undefined;
  try {
    await access(path, constants.R_OK);
    return path;
  } catch (error) {
    problems.push(`${name} must name a readable file: ${error instanceof Error ? error.message : path}.`);
    return undefined;
  }
}

function parseListen(text: string): string {
  if (/^unix:\/./.test(text) || /^[^/:]+:\d{1,5}$/.test(text) || /^\[[0-9a-f:]+\]:\d{1,5}$/i.test(text)) return text;
  throw new Error(`must be unix:/absolute/path or host:port, got ${JSON.stringify(text)}`);
}

function parseEgress(text: string): Egress {
  if (/^unix:\/./.test(text)) return { socketPath: text.slice("unix:".length) };
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:" || url.pathname !== "/") {
    throw new Error(`must be unix:/absolute/path or http://host:port, got ${JSON.stringify(text)}`);
  }
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port) || 80 };
}

/** The problem never repeats the text: it may be half of a secret. */
function parseAdminToken(text: string): string {
  const sha256 = /^sha256:([0-9a-f]{64})$/i.exec(text)?.[1];
  if (sha256 !== undefined) return sha256.toLowerCase();
  if (text.startsWith("sha256:")) throw new Error("must have 64 hex digits after sha256:");
  if (text.length < MIN_ADMIN_TOKEN) throw new Error(`must have at least ${MIN_ADMIN_TOKEN} characters`);
  return hash("sha256", text, "hex");
}

function parseHosts(text: string): string[] {
  const hosts = text.split(",").map((host) => host.trim().toLowerCase());
  if (hosts.every((host) => /^[a-z0-9.-]{1,253}$/.test(host))) return hosts;
  throw new Error(`must be host names separated by commas, without ports, got ${JSON.stringify(text)}`);
}

function checkedDatabaseUrl(text: string): string {
  parseDatabaseUrl(text);
  return text;
}

/** The URL may hold a password. */
function parseRedisUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^(rediss?|unix):$/.test(url.protocol)) return text;
  throw new Error("must be redis://host:port, rediss://host:port or unix:///path/of/a/socket");
}

function parseSeconds(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(s|m)?$/.exec(text);
  if (match === null) throw new Error(`must be a time such as 30s or 10m, got ${JSON.stringify(text)}`);
  return Number(match[1]) * (match[2] === "m" ? 60_000 : 1000);
}

function parseLogLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((candidate) => candidate === text.toLowerCase());
  if (level === undefined) throw new Error(`must be one of ${LOG_LEVELS.join(", ")}, got ${JSON.stringify(text)}`);
  return level;
}

export function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) {
    if (typeof member === "object" && member !== null) deepFreeze(member);
  }
  return Object.freeze(value);
}
