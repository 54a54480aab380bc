/** Keys and teams for people: tables that fit 100 columns, and one setting a line for a single one. */
import { keyStatus } from "../access/keys.ts";
import type { TeamOverview } from "../access/teams.ts";
import { formatUsd } from "../money.ts";
import type { Key, Limits } from "../store/store.ts";
import { type Column, renderTable } from "./table.ts";
import { showTime } from "./time-options.ts";

export type Line = readonly [label: string, value: string];

const KEY_COLUMNS: readonly Column[] = [
  { title: "ID" },
  { title: "NAME", max: 20 },
  { title: "TEAM", max: 14 },
  { title: "PREFIX" },
  { title: "STATUS" },
  { title: "LAST USED (UTC)" },
];

const TEAM_COLUMNS: readonly Column[] = [
  { title: "NAME", max: 28 },
  { title: "KEYS", align: "right" },
  { title: "RPM", align: "right" },
  { title: "TPM", align: "right" },
  { title: "PARALLEL", align: "right" },
  { title: "BUDGET (USD)", align: "right" },
];

export function keyTable(keys: readonly Key[], now: number): string {
  const rows = keys.map((key) => [
    key.id,
    key.name,
    key.team ?? "-",
    key.prefix,
    keyStatus(key, now),
    showTime(key.lastUsedAt, "never"),
  ]);
  return renderTable(KEY_COLUMNS, rows);
}

export function teamTable(teams: readonly TeamOverview[]): string {
  const rows = teams.map(({ name, keys, settings }) => [
    name,
    String(keys),
    showCount(settings?.rpm, "-"),
    showCount(settings?.tpm, "-"),
    showCount(settings?.parallel, "-"),
    settings?.budget == null ? "-" : `${formatUsd(settings.budget)}/${settings.budgetPeriod}`,
  ]);
  return renderTable(TEAM_COLUMNS, rows);
}

export function keyLines(key: Key, now: number): Line[] {
  return [
    ["id", key.id],
    ["name", key.name],
    ["owner", key.owner ?? "-"],
    ["team", key.team ?? "-"],
    ["tags", key.tags.join(",") || "-"],
    ["note", key.note ?? "-"],
    ["prefix", key.prefix],
    ["status", statusText(key, now)],
    ["models", key.models.join(",") || "all"],
    ...limitLines(key),
    ["expires", showTime(key.expiresAt, "never")],
    ["created", showTime(key.createdAt, "-") + (key.createdBy === null ? "" : ` by ${key.createdBy}`)],
    ["last used", showTime(key.lastUsedAt, "never")],
  ];
}

export function teamLines({ name, keys, settings }: TeamOverview): Line[] {
  return [
    ["name", name],
    ["keys", String(keys)],
    ["note", settings?.note ?? "-"],
    ...(settings === null ? [["limits", "none"] as const] : limitLines(settings)),
  ];
}

/** What is spent of a budget; nothing where there is none. */
export function spentLines(spent: bigint | null): Line[] {
  return spent === null ? [] : [["spent", `${formatUsd(spent)} USD`]];
}

export function renderLines(lines: readonly Line[]): string {
  const width = Math.max(...lines.map(([label]) => label.length));
  return lines.map(([label, value]) => `${label.padEnd(width)}  ${value}\n`).join("");
}

function limitLines({ rpm, tpm, parallel, budget, softBudget, budgetPeriod }: Limits): Line[] {
  return [
    ["rpm", showCount(rpm, "unlimited")],
    ["tpm", showCount(tpm, "unlimited")],
    ["parallel", showCount(parallel, "unlimited")],
    ["budget", showBudget(budget, budgetPeriod, "unlimited")],
    ["soft budget", showBudget(softBudget, budgetPeriod, "-")],
  ];
}

function statusText(key: Key, now: number): string {
  const status = keyStatus(key, now);
  const since = status === "revoked" ? key.revokedAt : status === "blocked" ? key.blockedAt : null;
  return since === null ? status : `${status} since ${showTime(since, "-")}`;
}

function showCount(count: number | null | undefined, none: string): string {
  return count == null ? none : String(count);
}

function showBudget(amount: bigint | null, period: Limits["budgetPeriod"], none: string): string {
  if (amount === null) return none;
  return `${formatUsd(amount)} USD ${period === "total" ? "in total" : `a ${period}`}`;
}
