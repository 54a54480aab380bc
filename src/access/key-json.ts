/**
 * Keys, teams and the audit as the command line and the admin API show them, and the same names read back: money as decimal
 * strings in USD, times in ISO 8601. What no field may show is a secret.
 */
import { formatUsd, parseUsd } from "../money.ts";
import {
  type AuditEntry,
  type BudgetPeriod,
  type Key,
  type KeySettings,
  type Limits,
  NO_LIMITS,
  type TeamSettings,
} from "../store/store.ts";
import { parseDate } from "../time.ts";
import { KeyInputError, type SettingName, type SettingProblem } from "./key-settings.ts";
import { type KeyStatus, keyStatus } from "./keys.ts";
import type { TeamOverview } from "./teams.ts";

export interface LimitsJson {
  readonly rpm: number | null;
  readonly tpm: number | null;
  readonly parallel: number | null;
  readonly budget_usd: string | null;
  readonly soft_budget_usd: string | null;
  readonly budget_period: BudgetPeriod;
}

export interface KeySettingsJson extends LimitsJson {
  readonly name: string;
  readonly owner: string | null;
  readonly team: string | null;
  readonly tags: readonly string[];
  readonly note: string | null;
  readonly models: readonly string[];
  readonly expires_at: string | null;
}

export interface KeyJson extends KeySettingsJson {
  readonly id: string;
  readonly prefix: string;
  readonly status: KeyStatus;
  readonly created_at: string;
  readonly created_by: string | null;
  readonly blocked_at: string | null;
  readonly revoked_at: string | null;
  readonly last_used_at: string | null;
}

export interface TeamJson extends LimitsJson {
  readonly name: string;
  /** Those that are not revoked. */
  readonly keys: number;
  readonly note: string | null;
  /** Null where it only has keys. */
  readonly created_at: string | null;
}

export interface AuditJson extends Omit<AuditEntry, "at"> {
  readonly at: string;
}

/** As a client may write it: an amount as a number too, a day instead of a time. */
export type GivenSettings<T> = {
  readonly [name in keyof T]?: (name extends "budget_usd" | "soft_budget_usd" ? T[name] | number : T[name]) | undefined;
};

export function keyJson(key: Key, now: number): KeyJson {
  const { name, ...settings } = settingsJson(key);
  return {
    id: key.id,
    name,
    prefix: key.prefix,
    status: keyStatus(key, now),
    ...settings,
    created_at: iso(key.createdAt),
    created_by: key.createdBy,
    blocked_at: isoOrNull(key.blockedAt),
    revoked_at: isoOrNull(key.revokedAt),
    last_used_at: isoOrNull(key.lastUsedAt),
  };
}

export function settingsJson(settings: KeySettings): KeySettingsJson {
  const { name, owner, team, tags, note, models, expiresAt } = settings;
  return { name, owner, team, tags, note, models, ...limitsJson(settings), expires_at: isoOrNull(expiresAt) };
}

export function teamJson({ name, keys, settings }: TeamOverview): TeamJson {
  return {
    name,
    keys,
    note: settings?.note ?? null,
    ...limitsJson(settings ?? NO_LIMITS),
    created_at: isoOrNull(settings?.createdAt ?? null),
  };
}

export function auditJson(entry: AuditEntry): AuditJson {
  return { ...entry, at: iso(entry.at) };
}

/** Only what is given; null clears. Throws KeyInputError for what is no amount and no time; `Keys` checks the rest. */
export function keySettingsFrom(json: GivenSettings<KeySettingsJson>): Partial<KeySettings> {
  const { name, owner, team, tags, note, models, expires_at } = json;
  const problems: SettingProblem[] = [];
  const settings = {
    ...withoutUndefined({ name, owner, team, tags, note, models }),
    ...limitsFrom(json, problems),
    ...withoutUndefined({ expiresAt: expires_at == null ? expires_at : timeFrom(expires_at, problems) }),
  };
  if (problems.length > 0) throw new KeyInputError(problems);
  return settings;
}

/** As `keySettingsFrom`. */
export function teamSettingsFrom(json: GivenSettings<LimitsJson & Pick<TeamJson, "note">>): Partial<TeamSettings> {
  const problems: SettingProblem[] = [];
  const settings = { ...withoutUndefined({ note: json.note }), ...limitsFrom(json, problems) };
  if (problems.length > 0) throw new KeyInputError(problems);
  return settings;
}

/** Pico-dollars; undefined for what is no decimal number of USD with at most 6 decimals. Whether it is too much is not checked. */
export function parseBudget(text: string): bigint | undefined {
  return /^\d{1,12}(\.\d{1,6})?$/.test(text) ? parseUsd(text) : undefined;
}

function limitsJson({ rpm, tpm, parallel, budget, softBudget, budgetPeriod }: Limits): LimitsJson {
  return {
    rpm,
    tpm,
    parallel,
    budget_usd: budget === null ? null : formatUsd(budget),
    soft_budget_usd: softBudget === null ? null : formatUsd(softBudget),
    budget_period: budgetPeriod,
  };
}

function limitsFrom(json: GivenSettings<LimitsJson>, problems: SettingProblem[]): Partial<Limits> {
  const { rpm, tpm, parallel, budget_usd, soft_budget_usd, budget_period } = json;
  return withoutUndefined({
    rpm,
    tpm,
    parallel,
    budget: budgetFrom("budget", budget_usd, problems),
    softBudget: budgetFrom("softBudget", soft_budget_usd, problems),
    budgetPeriod: budget_period,
  });
}

function budgetFrom(setting: SettingName, amount: string | number | null | undefined, problems: SettingProblem[]) {
  if (amount == null) return amount;
  const pico = parseBudget(String(amount));
  if (pico === undefined) {
    problems.push({
      setting,
      message: `${JSON.stringify(amount)} is no amount in USD: give one such as "50" or "0.25".`,
    });
  }
  return pico;
}

function timeFrom(text: string, problems: SettingProblem[]): number | undefined {
  const at = parseDate(text, "end");
  if (at === undefined) {
    const message = `${JSON.stringify(text)} is no time: give one such as 2026-12-31T12:00:00Z, or a day such as 2026-12-31.`;
    problems.push({ setting: "expiresAt", message });
  }
  return at;
}

export type Given<T> = { [name in keyof T]?: Exclude<T[name], undefined> };

/** What is given of some fields. */
export function withoutUndefined<T extends object>(fields: T): Given<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<T>;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : iso(ms);
}
