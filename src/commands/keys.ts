/**
 * `keys`: makes, shows, changes, rotates and revokes the keys of developers.
 *
 * Works on the database itself, so it needs no running gateway; a running one sees every change within its cache time.
 * A key's secret is printed by `create` and `rotate` alone.
 */
import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import { createKeys, type IssuedKey, type Key, type KeySettings, type Keys, keyStatus } from "../access/keys.ts";
import { actor, CommandFailure, type CommandIo, createCommand, printJson, withStore } from "./command.ts";
import { type Column, renderTable } from "./table.ts";
import { parseDate, parseDuration, requireDuration, showTime } from "./time-options.ts";

interface SettingOptions {
  readonly name?: string;
  readonly team?: string;
  readonly models?: string;
  readonly rpm?: string;
  readonly expires?: string;
}

interface JsonOption {
  readonly json?: boolean;
}

/** Clears a setting on the command line. */
const NONE = "none";

export function keysCommand(io: CommandIo): Command {
  const command = createCommand("keys", io).description("Manage the keys that developers use");

  settingOptions(command.command("create").description("Make a key; its secret is shown once"))
    .requiredOption("--name <name>", "whose key it is")
    .action((options: SettingOptions & JsonOption & { name: string }) =>
      withKeys(io, async (keys) =>
        showIssued(io, await keys.create({ ...settings(options), name: options.name }), options),
      ),
    );

  command
    .command("list")
    .description("Show all keys")
    .option("--json", "print a JSON array")
    .action((options: JsonOption) => withKeys(io, async (keys) => showList(io, await keys.list(), options)));

  command
    .command("show")
    .description("Show one key")
    .argument("<id>", "a key's id, or its name")
    .option("--json", "print a JSON object")
    .action((ref: string, options: JsonOption) =>
      withKeys(io, async (keys) => showKey(io, await keys.show(ref), options)),
    );

  settingOptions(
    command.command("update").description("Change a key's settings").argument("<id>", "a key's id, or its name"),
  )
    .option("--name <name>", "a new name")
    .action((ref: string, options: SettingOptions & JsonOption) =>
      withKeys(io, async (keys) => showKey(io, await keys.update(ref, changes(options)), options)),
    );

  command
    .command("revoke")
    .description("End a key for good")
    .argument("<id>", "a key's id, or its name")
    .option("--json", "print a JSON object")
    .action((ref: string, options: JsonOption) =>
      withKeys(io, async (keys) => showKey(io, await keys.revoke(ref), options)),
    );

  command
    .command("rotate")
    .description("Give a key a new secret; it is shown once")
    .argument("<id>", "a key's id, or its name")
    .option("--grace <duration>", "how long the old secret still works, such as 1h", "0s")
    .option("--json", "print a JSON object")
    .action((ref: string, options: JsonOption & { grace: string }) =>
      withKeys(io, async (keys) => {
        const graceMs = requireDuration("--grace", options.grace);
        showIssued(io, await keys.rotate(ref, { graceMs }), options);
      }),
    );

  return command;
}

function settingOptions(command: Command): Command {
  return command
    .option("--team <team>", `the team that its use counts for, or ${NONE}`)
    .option("--models <ids>", "allowed model ids, separated by commas; * stands for any text; none: every model")
    .option("--rpm <number>", `requests per minute, or ${NONE}`)
    .option("--expires <when>", `a duration such as 30d, a date (the last day it works, UTC), or ${NONE}`)
    .option("--json", "print a JSON object");
}

async function withKeys(io: CommandIo, work: (keys: Keys) => Promise<void>): Promise<void> {
  await withStore(io, (store) => work(createKeys(store, { now: Date.now, randomBytes, by: actor() })));
}

function changes(options: SettingOptions): Partial<KeySettings> {
  const changed = settings(options);
  if (Object.keys(changed).length === 0) {
    throw new CommandFailure("Nothing to change: give --name, --team, --models, --rpm or --expires.");
  }
  return changed;
}

/** Only what was given. */
function settings({ name, team, models, rpm, expires }: SettingOptions): Partial<KeySettings> {
  return {
    ...(name !== undefined && { name }),
    ...(team !== undefined && { team: team === NONE ? null : team }),
    ...(models !== undefined && { models: models === NONE ? [] : parseModels(models) }),
    ...(rpm !== undefined && { rpm: rpm === NONE ? null : parseRpm(rpm) }),
    ...(expires !== undefined && { expiresAt: expires === NONE ? null : parseExpiry(expires, Date.now()) }),
  };
}

function parseModels(text: string): string[] {
  const models = [...new Set(text.split(",").map((model) => model.trim()))].filter((model) => model !== "");
  if (models.length === 0) {
    throw new CommandFailure(`--models names no model: give ids separated by commas, or ${NONE} to allow all.`);
  }
  return models;
}

function parseRpm(text: string): number {
  if (!/^\d{1,10}$/.test(text) || Number(text) < 1) {
    throw new CommandFailure(
      `--rpm ${JSON.stringify(text)} is not a number of requests: give a whole number from 1, or ${NONE} for no limit.`,
    );
  }
  return Number(text);
}

function parseExpiry(text: string, now: number): number {
  const duration = parseDuration(text);
  const at = duration === undefined ? parseDate(text, "end") : now + duration;
  if (at === undefined) {
    throw new CommandFailure(
      `--expires ${JSON.stringify(text)} is neither a duration such as 30d nor a date such as 2026-12-31 nor ${NONE}.`,
    );
  }
  if (at <= now) throw new CommandFailure(`--expires ${JSON.stringify(text)} must lie in the future.`);
  return at;
}

function showIssued(io: CommandIo, { key, secret }: IssuedKey, { json }: JsonOption): void {
  io.stderr.write("This is the only time the key is shown: store it now.\n");
  if (json) printJson(io, { ...keyJson(key), key: secret });
  else io.stdout.write(keyText(key, [["key", secret]]));
}

function showKey(io: CommandIo, key: Key, { json }: JsonOption): void {
  if (json) printJson(io, keyJson(key));
  else io.stdout.write(keyText(key));
}

const LIST_COLUMNS: readonly Column[] = [
  { title: "ID" },
  { title: "NAME" },
  { title: "TEAM" },
  { title: "PREFIX" },
  { title: "STATUS" },
  { title: "RPM", align: "right" },
  { title: "MODELS" },
  { title: "EXPIRES (UTC)" },
  { title: "LAST USED (UTC)" },
];

function showList(io: CommandIo, keys: readonly Key[], { json }: JsonOption): void {
  if (json) {
    printJson(io, keys.map(keyJson));
    return;
  }
  if (keys.length === 0) {
    io.stderr.write("No keys yet: `keys create --name NAME` makes one.\n");
    return;
  }
  const rows = keys.map((key) => [
    key.id,
    key.name,
    key.team ?? "-",
    key.prefix,
    keyStatus(key, Date.now()),
    key.rpm === null ? "-" : String(key.rpm),
    key.models.length === 0 ? "all" : key.models.join(","),
    showTime(key.expiresAt, "never"),
    showTime(key.lastUsedAt, "never"),
  ]);
  io.stdout.write(renderTable(LIST_COLUMNS, rows));
}

function keyText(key: Key, more: readonly [string, string][] = []): string {
  const rows: [string, string][] = [
    ["id", key.id],
    ["name", key.name],
    ["team", key.team ?? "-"],
    ["prefix", key.prefix],
    ["status", keyStatus(key, Date.now())],
    ["rpm", key.rpm === null ? "unlimited" : String(key.rpm)],
    ["models", key.models.length === 0 ? "all" : key.models.join(",")],
    ["expires", showTime(key.expiresAt, "never")],
    ["created", showTime(key.createdAt, "-")],
    ["last used", showTime(key.lastUsedAt, "never")],
    ...more,
  ];
  return rows.map(([label, value]) => `${label.padEnd(11)}${value}\n`).join("");
}

/** The settings under the names of their options, times in ISO 8601. */
function keyJson(key: Key): Record<string, unknown> {
  return {
    id: key.id,
    name: key.name,
    team: key.team,
    prefix: key.prefix,
    status: keyStatus(key, Date.now()),
    models: key.models,
    rpm: key.rpm,
    expires_at: isoOrNull(key.expiresAt),
    created_at: isoOrNull(key.createdAt),
    revoked_at: isoOrNull(key.revokedAt),
    last_used_at: isoOrNull(key.lastUsedAt),
  };
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
