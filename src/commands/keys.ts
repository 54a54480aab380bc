/**
 * `keys`: makes, shows, changes, blocks, rotates and revokes the keys of developers.
 *
 * Works on the database itself, so it needs no running gateway; a running one sees every change within its cache time.
 * A key's secret is printed by `create`, `import` and `rotate` alone.
 */
import { randomBytes } from "node:crypto";
import { type Command, Option } from "commander";
import { keyJson } from "../access/key-json.ts";
import { createKeys, type IssuedKey, KEY_STATUSES, type Key, type KeyFilter, type Keys } from "../access/keys.ts";
import { spentOf } from "../access/spent.ts";
import { formatUsd } from "../money.ts";
import type { Store } from "../store/store.ts";
import { type AuditOptions, auditOptions, showAudit } from "./audit.ts";
import { actor, type CommandIo, createCommand, printJson, withStore } from "./command.ts";
import { type ImportCommandOptions, importKeys } from "./import.ts";
import { changesFromOptions, keyOptions, NONE, type SettingText, settingsFromOptions } from "./key-options.ts";
import { keyLines, keyTable, renderLines, spentLines } from "./key-output.ts";
import { requireDuration } from "./time-options.ts";

interface JsonOption {
  readonly json?: boolean;
}

const JSON_OBJECT = ["--json", "print a JSON object"] as const;
const KEY = ["<id>", "a key's id, or a name that only one key has"] as const;

export function keysCommand(io: CommandIo): Command {
  const command = createCommand("keys", io).description("Manage the keys that developers use");

  keyOptions(
    command
      .command("create")
      .description("Make a key; its secret is shown once")
      .requiredOption("--name <name>", "whose key it is"),
  )
    .option(...JSON_OBJECT)
    .addHelpText("after", example("keys create --name alice --team search --rpm 60 --budget 50 --models 'amazon.*'"))
    .action((options: SettingText & JsonOption & { name: string }) =>
      withKeys(io, async (keys) => {
        const settings = settingsFromOptions(options, Date.now());
        showIssued(io, await keys.create({ ...settings, name: options.name }), options);
      }),
    );

  command
    .command("list")
    .description("Show keys, the oldest first")
    .option("--team <name>", "only those of a team")
    .option("--tag <tag>", "only those with a tag")
    .addOption(new Option("--status <status>", "only those in a state").choices([...KEY_STATUSES]))
    .option("--json", "print a JSON array")
    .addHelpText("after", example("keys list --team search --status active"))
    .action((options: KeyFilter & JsonOption) =>
      withKeys(io, async (keys) => showList(io, await keys.list(options), options)),
    );

  command
    .command("show")
    .description("Show one key, and what it has spent of its budget")
    .argument(...KEY)
    .option(...JSON_OBJECT)
    .action((ref: string, options: JsonOption) =>
      withKeys(io, async (keys, store) => showWithSpent(io, await keys.show(ref), store, options)),
    );

  keyOptions(
    command
      .command("update")
      .description(`Change a key's settings; ${NONE} clears one`)
      .argument(...KEY),
  )
    .option("--name <name>", "a new name")
    .option(...JSON_OBJECT)
    .addHelpText("after", example(`keys update alice --rpm 120 --budget ${NONE}`))
    .action((ref: string, options: SettingText & JsonOption) =>
      withKeys(io, async (keys) => {
        showKey(io, await keys.update(ref, changesFromOptions(options, Date.now())), options);
      }),
    );

  for (const [name, description] of [
    ["block", "Refuse a key until it is unblocked"],
    ["unblock", "Let a blocked key in again"],
    ["revoke", "End a key for good"],
  ] as const) {
    command
      .command(name)
      .description(description)
      .argument(...KEY)
      .option(...JSON_OBJECT)
      .action((ref: string, options: JsonOption) =>
        withKeys(io, async (keys) => showKey(io, await keys[name](ref), options)),
      );
  }

  command
    .command("rotate")
    .description("Give a key a new secret; it is shown once")
    .argument(...KEY)
    .option("--grace <duration>", "how long the old secret still works, such as 1h", "0s")
    .option(...JSON_OBJECT)
    .addHelpText("after", example("keys rotate alice --grace 24h"))
    .action((ref: string, options: JsonOption & { grace: string }) =>
      withKeys(io, async (keys) => {
        const graceMs = requireDuration("--grace", options.grace);
        showIssued(io, await keys.rotate(ref, { graceMs }), options);
      }),
    );

  command
    .command("import")
    .description("Make a key of each line of a CSV file: all of them, or none when a line has a fault")
    .argument("<file>", "a CSV file in UTF-8, or - for stdin; its first line names the options of `keys create`")
    .option("--dry-run", "only check the file")
    .option("--json", "print a JSON array with the keys")
    .addOption(new Option("--csv", "print CSV with the keys").conflicts("json"))
    .addHelpText(
      "after",
      `${example("keys import team.csv --csv > new-keys.csv")}
  with this in team.csv:
    name,team,rpm,budget,budget-period,tags
    alice,search,60,50,month,"web,prod"
    bob,search,,20,,\n`,
    )
    .action((file: string, options: ImportCommandOptions) =>
      withKeys(io, (keys) => importKeys(io, keys, file, options)),
    );

  auditOptions(command.command("audit")).action((ref: string | undefined, options: AuditOptions) =>
    withKeys(io, (keys, { audit }) => showAudit(io, { audit, keys, ref }, options)),
  );

  return command;
}

function example(text: string): string {
  return `\nExample:\n  npm run -s ${text.replace(" ", " -- ")}\n`;
}

async function withKeys(io: CommandIo, work: (keys: Keys, store: Store) => Promise<void>): Promise<void> {
  await withStore(io, (store) => work(createKeys(store, { now: Date.now, randomBytes, by: actor() }), store));
}

function showIssued(io: CommandIo, { key, secret }: IssuedKey, { json }: JsonOption): void {
  io.stderr.write("This is the only time the key is shown: store it now.\n");
  if (json) printJson(io, { ...keyJson(key, Date.now()), key: secret });
  else io.stdout.write(renderLines([...keyLines(key, Date.now()), ["key", secret]]));
}

function showKey(io: CommandIo, key: Key, { json }: JsonOption): void {
  if (json) printJson(io, keyJson(key, Date.now()));
  else io.stdout.write(renderLines(keyLines(key, Date.now())));
}

async function showWithSpent(io: CommandIo, key: Key, store: Store, { json }: JsonOption): Promise<void> {
  const now = Date.now();
  const spent = await spentOf(store.calls, `key:${key.id}`, key, now);
  if (json) printJson(io, { ...keyJson(key, now), spent_usd: spent === null ? null : formatUsd(spent) });
  else io.stdout.write(renderLines([...keyLines(key, now), ...spentLines(spent)]));
}

function showList(io: CommandIo, keys: readonly Key[], { team, tag, status, json }: KeyFilter & JsonOption): void {
  if (json) {
    printJson(
      io,
      keys.map((key) => keyJson(key, Date.now())),
    );
  } else if (keys.length > 0) {
    io.stdout.write(keyTable(keys, Date.now()));
  } else {
    const all = team === undefined && tag === undefined && status === undefined;
    io.stderr.write(all ? "No keys yet: `keys create --name NAME` makes one.\n" : "No such keys.\n");
  }
}
