/**
 * `config-check`: validates the environment and the operator's file as `start` would, and shows what they come to. Nothing
 * is started, and AWS is not asked.
 */
import type { Command } from "commander";
import { type Config, ConfigError, readConfig } from "../config.ts";
import { type OperatorConfig, readOperatorConfig } from "../operator-config.ts";
import { parseDatabaseUrl } from "../store/database-url.ts";
import { formatUsd } from "../usage/cost.ts";
import { DEFAULT_TIER, type PriceOverride } from "../usage/prices.ts";
import { CommandFailure, type CommandIo, createCommand } from "./command.ts";

export function configCheckCommand(io: CommandIo): Command {
  return createCommand("config-check", io)
    .description("Check the environment and the file in GATEWAY_CONFIG, and show what they come to")
    .action(async () => {
      const file = io.env.GATEWAY_CONFIG?.trim() || undefined;
      const problems: string[] = [];
      const config = await collect(problems, readConfig(io.env));
      const operator = await collect(problems, readOperatorConfig(file, config?.aws.region));
      if (config === undefined || operator === undefined) throw new CommandFailure(new ConfigError(problems).message);
      const rows = [
        ...environmentRows(config),
        ["file", file ?? "none (GATEWAY_CONFIG is not set)"],
        ...fileRows(operator),
      ];
      io.stdout.write(`ok\n${rows.map(([label = "", value = ""]) => `  ${label.padEnd(16)}${value}\n`).join("")}`);
    });
}

async function collect<T>(problems: string[], reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
    return undefined;
  }
}

/** Neither a database server's URL nor a token: they may hold secrets. */
function environmentRows(config: Config): string[][] {
  const { clients, tls, admin, aws, databaseUrl, redisUrl, drainTimeoutMs, logLevel } = config;
  const database = parseDatabaseUrl(databaseUrl);
  return [
    ["clients", `${tls === undefined ? "http" : "https"} on ${clients.host}:${clients.port}`],
    [
      "admin",
      `${admin.host}:${admin.port}, ${admin.tokenSha256 === undefined ? "no ADMIN_TOKEN: API and page are off" : "with a token"}`,
    ],
    ["database", database.kind === "sqlite" ? `SQLite in ${database.path}` : "PostgreSQL"],
    ["limits", redisUrl === undefined ? "counted in this process" : "counted in Redis"],
    ["drain timeout", `${drainTimeoutMs / 1000} s`],
    ["bedrock", `${aws.runtime.authority} (${aws.region})`],
    ["log level", logLevel],
  ];
}

function fileRows(operator: OperatorConfig): string[][] {
  const { models, regions, images, s3, caching, profiles, prices, limits, retention, responses, metrics } = operator;
  const { enabled, allow, maxBytes, timeoutMs } = images.fetch;
  const { auto } = caching;
  const parts = auto && (["system", "tools", "conversation"] as const).filter((part) => auto[part]);
  return [
    ...[...models.aliases].map(([name, to]) => ["alias", `${name} = ${targetText(to)}`]),
    ...[...models.fallbacks].map(([name, list]) => ["fallbacks", `${name}: ${list.map(targetText).join(", then ")}`]),
    ...models.capabilities.map(({ match, ...columns }) => ["capabilities", `${match}: ${JSON.stringify(columns)}`]),
    ["regions", regions.allowed.join(", ")],
    [
      "image fetching",
      enabled ? `${allow.join(", ") || "any public host"}; ${maxBytes} bytes in ${timeoutMs} ms` : "off",
    ],
    ["S3 buckets", s3.buckets.join(", ") || "none"],
    ["auto caching", auto === undefined ? "off" : `${parts?.join(", ") || "nothing"}; ttl ${auto.ttl}`],
    ["profiles", profiles.automatic],
    ...prices.map((price) => ["price", priceText(price)]),
    ["without Redis", limits.redisLost === "local" ? "limits are counted locally" : "limited requests are refused"],
    ["without a price", limits.unpriced === "allow" ? "forwarded beside budgets" : "refused under a budget"],
    ["retention", `calls ${daysText(retention.calls)}; totals ${daysText(retention.totals)}`],
    ["responses", responses.store === undefined ? "not stored" : `stored for ${daysText(responses.store)}`],
    ["metrics", metrics.keyLabels ? "with keys" : "without keys"],
  ];
}

function daysText(ms: number | undefined): string {
  return ms === undefined ? "for good" : `${ms / 86_400_000} days`;
}

const MILLION = 1_000_000n;

/** In USD per million tokens. */
function priceText({ match, from, tier, rates }: PriceOverride): string {
  const columns = Object.entries(rates).map(([name, rate]) => `${name} ${formatUsd(rate * MILLION)}`);
  const since = from === undefined ? "" : ` from ${new Date(from).toISOString().slice(0, 10)}`;
  return `${match}${tier === DEFAULT_TIER ? "" : ` (${tier})`}: ${columns.join(", ")}${since}`;
}

function targetText({ model = "the same model", region }: { model?: string; region?: string }): string {
  return region === undefined ? model : `${model} in ${region}`;
}
