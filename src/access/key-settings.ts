/**
 * What the settings of a key and of a team may be. Everything that is wrong is said at once, one sentence a setting, in words
 * that fit the command line and the admin API alike.
 */
import { formatUsd } from "../money.ts";
import type { BudgetPeriod, KeySettings, Limits, TeamSettings } from "../store/store.ts";

export const BUDGET_PERIODS = ["day", "month", "total"] as const satisfies readonly BudgetPeriod[];

export type SettingName = keyof KeySettings | "grace";

export interface SettingProblem {
  /** Undefined when it is the key or the team itself that is wrong. */
  readonly setting: SettingName | undefined;
  /** A whole sentence. */
  readonly message: string;
}

/** What the person at the command line or the admin API has to correct. */
export class KeyInputError extends Error {
  override readonly name: string = "KeyInputError";
  /** At least one. */
  readonly problems: readonly SettingProblem[];

  constructor(problems: readonly SettingProblem[]) {
    super(problems.map(({ message }) => message).join(" "));
    this.problems = problems;
  }

  /** Of the first problem. */
  get setting(): SettingName | undefined {
    return this.problems[0]?.setting;
  }
}

/** There is no such key or team. */
export class KeyNotFoundError extends KeyInputError {
  override readonly name: string = "KeyNotFoundError";

  constructor(message: string) {
    super([{ setting: undefined, message }]);
  }
}

export const KEY_ID_PREFIX = "key_";

const MAX_NAME_LENGTH = 100;
const MAX_OWNER_LENGTH = 200;
const MAX_NOTE_LENGTH = 1000;
const MAX_TAGS = 20;
const MAX_TAG_LENGTH = 50;
const MAX_MODELS = 200;
const MAX_MODEL_LENGTH = 512;
const MAX_COUNT = 1_000_000_000;
const MICRO_DOLLAR = 1_000_000n;
/** A sum of pico-dollars in 64 bits ends a little above. */
const MAX_BUDGET = 9_000_000n * 10n ** 12n;
const MAX_TIME = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
const MAX_GRACE_MS = 365 * 86_400_000;

/** Control characters, invisible ones that turn the text around, line ends of any kind, halves of a character. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** Only what is given is checked, soft against hard budget where both are. */
export function keyProblems(settings: Partial<KeySettings>, now: number): SettingProblem[] {
  const { name, owner, team, tags, note, models, expiresAt } = settings;
  return [
    name === undefined ? undefined : (labelProblem("name", name, MAX_NAME_LENGTH) ?? idProblem(name)),
    owner == null ? undefined : labelProblem("owner", owner, MAX_OWNER_LENGTH),
    team == null ? undefined : labelProblem("team", team, MAX_NAME_LENGTH),
    tags === undefined ? undefined : tagsProblem(tags),
    note == null ? undefined : labelProblem("note", note, MAX_NOTE_LENGTH),
    models === undefined ? undefined : modelsProblem(models),
    ...limitProblems(settings),
    expiresAt == null ? undefined : expiryProblem(expiresAt, now),
  ].filter((problem) => problem !== undefined);
}

export function teamProblems(name: string, settings: Partial<TeamSettings>): SettingProblem[] {
  return [
    labelProblem("team", name, MAX_NAME_LENGTH),
    settings.note == null ? undefined : labelProblem("note", settings.note, MAX_NOTE_LENGTH),
    ...limitProblems(settings),
  ].filter((problem) => problem !== undefined);
}

export function graceProblems(graceMs: number): SettingProblem[] {
  if (Number.isInteger(graceMs) && graceMs >= 0 && graceMs <= MAX_GRACE_MS) return [];
  return [{ setting: "grace", message: "The old secret may work for at most 365 days more." }];
}

/** Throws KeyInputError where there is a problem. */
export function assertNone(problems: readonly SettingProblem[]): void {
  if (problems.length > 0) throw new KeyInputError(problems);
}

/** A given text in a message: the begin of a long one, and nothing that a terminal would act on. */
export function shown(text: string): string {
  const begin = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  return JSON.stringify(begin).replace(UNPRINTABLE, (found) => `\\u{${found.codePointAt(0)?.toString(16)}}`);
}

function limitProblems(limits: Partial<Limits>): (SettingProblem | undefined)[] {
  const { rpm, tpm, parallel, budget, softBudget, budgetPeriod } = limits;
  return [
    countProblem("rpm", rpm, "requests per minute"),
    countProblem("tpm", tpm, "tokens per minute"),
    countProblem("parallel", parallel, "requests at once"),
    moneyProblem("budget", budget),
    moneyProblem("softBudget", softBudget) ?? orderProblem(budget, softBudget),
    budgetPeriod === undefined || BUDGET_PERIODS.includes(budgetPeriod)
      ? undefined
      : { setting: "budgetPeriod", message: "The period of the budgets must be day, month or total." },
  ];
}

function labelProblem(setting: "name" | "owner" | "team" | "note", text: string, max: number) {
  if (isLabel(text, max)) return undefined;
  const article = setting === "owner" ? "An" : "A";
  return {
    setting,
    message: `${article} ${setting} must have 1 to ${max} printable characters, without spaces around it.`,
  };
}

function isLabel(text: string, max: number): boolean {
  return text !== "" && text.length <= max && text === text.trim() && text.search(UNPRINTABLE) < 0;
}

function idProblem(name: string): SettingProblem | undefined {
  if (!name.startsWith(KEY_ID_PREFIX)) return undefined;
  return { setting: "name", message: `A name must not start with ${KEY_ID_PREFIX}, as ids do.` };
}

function tagsProblem(tags: readonly string[]): SettingProblem | undefined {
  const setting = "tags";
  if (tags.length > MAX_TAGS) return { setting, message: `A key can have ${MAX_TAGS} tags.` };
  const wrong = tags.find((tag) => !isLabel(tag, MAX_TAG_LENGTH) || tag.includes(","));
  if (wrong === undefined) return undefined;
  return {
    setting,
    message:
      `${shown(wrong)} can't be a tag: give 1 to ${MAX_TAG_LENGTH} printable characters, ` +
      "without a comma and without spaces around them.",
  };
}

function modelsProblem(models: readonly string[]): SettingProblem | undefined {
  const setting = "models";
  if (models.length > MAX_MODELS) {
    return { setting, message: `A key can list ${MAX_MODELS} models; use patterns such as anthropic.*.` };
  }
  const wrong = models.find((model) => !/^[\x21-\x7e]+$/.test(model) || model.length > MAX_MODEL_LENGTH);
  if (wrong === undefined) return undefined;
  return { setting, message: `${shown(wrong)} can't be a model: give ids, aliases, or patterns such as anthropic.*.` };
}

function countProblem(setting: "rpm" | "tpm" | "parallel", count: number | null | undefined, what: string) {
  if (count == null || (Number.isInteger(count) && count >= 1 && count <= MAX_COUNT)) return undefined;
  return { setting, message: `The ${what} must be a whole number from 1 to ${MAX_COUNT}.` };
}

function moneyProblem(setting: "budget" | "softBudget", amount: bigint | null | undefined): SettingProblem | undefined {
  if (amount == null || (amount > 0n && amount <= MAX_BUDGET && amount % MICRO_DOLLAR === 0n)) return undefined;
  return {
    setting,
    message: `The ${nameOf(setting)} must be more than 0 and at most ${formatUsd(MAX_BUDGET)} USD, with at most 6 decimals.`,
  };
}

function orderProblem(budget: bigint | null | undefined, softBudget: bigint | null | undefined) {
  if (budget == null || softBudget == null || softBudget <= budget) return undefined;
  return {
    setting: "softBudget" as const,
    message: `The soft budget (${formatUsd(softBudget)} USD) must not be above the budget (${formatUsd(budget)} USD).`,
  };
}

function nameOf(setting: "budget" | "softBudget"): string {
  return setting === "budget" ? "budget" : "soft budget";
}

function expiryProblem(expiresAt: number, now: number): SettingProblem | undefined {
  if (Number.isInteger(expiresAt) && expiresAt > now && expiresAt <= MAX_TIME) return undefined;
  return { setting: "expiresAt", message: "The expiry must lie in the future, before the year 10000." };
}
