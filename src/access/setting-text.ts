/**
 * The settings of keys and teams as text: options of the command line, and columns of a CSV file by the same names.
 */
import type { KeySettings } from "../store/store.ts";
import { parseDate, parseDuration } from "../time.ts";
import { parseBudget, withoutUndefined } from "./key-json.ts";
import { BUDGET_PERIODS, keyProblems, type SettingName, type SettingProblem, shown } from "./key-settings.ts";

/** What people call them. */
export const SETTING_WORDS: Readonly<Record<SettingName, string>> = {
  name: "name",
  owner: "owner",
  team: "team",
  tags: "tags",
  note: "note",
  models: "models",
  rpm: "rpm",
  tpm: "tpm",
  parallel: "parallel",
  budget: "budget",
  softBudget: "soft-budget",
  budgetPeriod: "budget-period",
  expiresAt: "expires",
  grace: "grace",
};

/** Clears a setting. */
export const NONE = "none";

/** As commander names them. */
export interface SettingText {
  readonly name?: string;
  readonly owner?: string;
  readonly team?: string;
  readonly tags?: string;
  readonly note?: string;
  readonly models?: string;
  readonly rpm?: string;
  readonly tpm?: string;
  readonly parallel?: string;
  readonly budget?: string;
  readonly softBudget?: string;
  readonly budgetPeriod?: string;
  readonly expires?: string;
}

export interface ReadSettings {
  /** Without what has a problem. */
  readonly settings: Partial<KeySettings>;
  readonly problems: readonly SettingProblem[];
}

export function readSettings(text: SettingText, now: number): ReadSettings {
  const problems: SettingProblem[] = [];
  function read<T>(
    setting: SettingName,
    given: string | undefined,
    parse: (text: string) => T | undefined,
    is: string,
  ) {
    const value = given === undefined ? undefined : parse(given);
    if (given !== undefined && value === undefined) {
      problems.push({ setting, message: `${shown(given)} is not ${is}.` });
    }
    return value;
  }
  const count = (setting: "rpm" | "tpm" | "parallel") =>
    read(setting, text[setting], orNull(parseCount), `a whole number from 1, nor ${NONE}`);
  const budget = (setting: "budget" | "softBudget") =>
    read(setting, text[setting], orNull(parseBudget), `an amount in USD such as 50 or 0.25, nor ${NONE}`);
  const settings = withoutUndefined({
    name: text.name,
    owner: clearable(text.owner),
    team: clearable(text.team),
    tags: read("tags", text.tags, parseList, `a list of tags separated by commas, nor ${NONE}`),
    note: clearable(text.note),
    models: read("models", text.models, parseList, `a list of model ids separated by commas, nor ${NONE} for all`),
    rpm: count("rpm"),
    tpm: count("tpm"),
    parallel: count("parallel"),
    budget: budget("budget"),
    softBudget: budget("softBudget"),
    budgetPeriod: read("budgetPeriod", text.budgetPeriod, parsePeriod, "day, month or total"),
    expiresAt: read(
      "expiresAt",
      text.expires,
      orNull((when) => parseExpiry(when, now)),
      `a duration such as 30d, a date such as 2026-12-31, nor ${NONE}`,
    ),
  });
  return { settings, problems: [...problems, ...keyProblems(settings, now)] };
}

function orNull<T>(parse: (text: string) => T | undefined): (text: string) => T | null | undefined {
  return (text) => (text === NONE ? null : parse(text));
}

function clearable(text: string | undefined): string | null | undefined {
  return text === NONE ? null : text;
}

function parseList(text: string): string[] | undefined {
  if (text === NONE) return [];
  const items = text.split(",").map((item) => item.trim());
  const named = items.filter((item) => item !== "");
  return named.length > 0 ? named : undefined;
}

function parseCount(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) >= 1 ? Number(text) : undefined;
}

function parsePeriod(text: string) {
  return BUDGET_PERIODS.find((period) => period === text);
}

function parseExpiry(text: string, now: number): number | undefined {
  const duration = parseDuration(text);
  return duration === undefined ? parseDate(text, "end") : now + duration;
}
