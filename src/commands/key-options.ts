/** The settings of keys and teams as options of the command line. */
import { type Command, Option } from "commander";
import { assertNone, BUDGET_PERIODS } from "../access/key-settings.ts";
import { readSettings, type SettingText } from "../access/setting-text.ts";
import type { KeySettings } from "../store/store.ts";
import { CommandFailure } from "./command.ts";

export { NONE, type SettingText } from "../access/setting-text.ts";

/** What can also be set for a team. */
export function limitOptions(command: Command): Command {
  return command
    .option("--rpm <number>", "requests per minute")
    .option("--tpm <number>", "tokens per minute")
    .option("--parallel <number>", "requests at once")
    .option("--budget <usd>", "USD, such as 50 or 0.25: nothing more is forwarded once it is spent")
    .option("--soft-budget <usd>", "USD: answers carry a warning from here on")
    .addOption(
      new Option("--budget-period <period>", "of both budgets, in UTC; month unless set").choices([...BUDGET_PERIODS]),
    )
    .option("--note <text>", "what there is to say about it");
}

export function keyOptions(command: Command): Command {
  command
    .option("--owner <text>", "who answers for it: an address, a service")
    .option("--team <name>", "the team that its use counts for, and whose limits hold too")
    .option("--tags <tags>", "labels for reports, separated by commas")
    .option("--models <ids>", "the models it may use: ids, aliases, or patterns with *, separated by commas");
  return limitOptions(command).option(
    "--expires <when>",
    "a duration such as 30d, or a date (the last day it works, UTC)",
  );
}

/** Only what was given. Throws KeyInputError with everything that is wrong with it. */
export function settingsFromOptions(text: SettingText, now: number): Partial<KeySettings> {
  const { settings, problems } = readSettings(text, now);
  assertNone(problems);
  return settings;
}

/** As `settingsFromOptions`, for a change that must change something. */
export function changesFromOptions(text: SettingText, now: number): Partial<KeySettings> {
  const settings = settingsFromOptions(text, now);
  if (Object.keys(settings).length > 0) return settings;
  throw new CommandFailure("Nothing to change: give at least one option, such as --rpm or --note. --help shows them.");
}
