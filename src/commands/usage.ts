/** `usage`: what was used, by key, team, model, day or tag, as a table, JSON or CSV. */
import { type Command, Option } from "commander";
import { parseUsd, showUsd } from "../usage/cost.ts";
import {
  groupColumnNames,
  USAGE_GROUPINGS,
  USAGE_NUMBERS,
  type UsageGrouping,
  type UsageNumbers,
  type UsageQuery,
  type UsageRow,
  usageCsv,
  usageReport,
  usageTotal,
} from "../usage/report.ts";
import { CommandFailure, type CommandIo, createCommand, printJson, withStore } from "./command.ts";
import { reconcileCommand } from "./reconcile.ts";
import { type Column, renderTable } from "./table.ts";
import { parseDate, parseDuration } from "./time-options.ts";

interface UsageOptions {
  readonly by: UsageGrouping;
  readonly from?: string;
  readonly to?: string;
  readonly json?: boolean;
  readonly csv?: boolean;
}

export function usageCommand(io: CommandIo): Command {
  return createCommand("usage", io)
    .enablePositionalOptions()
    .addCommand(reconcileCommand(io))
    .description("Show the tokens that were used, and what they cost")
    .addOption(new Option("--by <group>", "what to add up").choices([...USAGE_GROUPINGS]).default("key"))
    .option(
      "--from <when>",
      "a UTC date such as 2026-12-01, a time such as 2026-12-01T08:00Z, or a duration back from now such as 7d; default: all there is",
    )
    .option("--to <when>", "the same; a date counts as a whole day")
    .option("--json", "print a JSON array")
    .addOption(new Option("--csv", "print CSV").conflicts("json"))
    .action(async (options: UsageOptions) => {
      const query = toQuery(options, Date.now());
      const [rows, total] = await withStore(io, ({ reports }) =>
        Promise.all([usageReport(reports, query), usageTotal(reports, query)]),
      );
      if (options.json) printJson(io, rows);
      else if (options.csv) io.stdout.write(usageCsv(options.by, rows));
      else if (rows.length === 0) io.stderr.write("No calls in this time.\n");
      else io.stdout.write(toTable(options.by, rows, total));
    });
}

function toQuery({ by, from, to }: UsageOptions, now: number): UsageQuery {
  const start = from === undefined ? undefined : moment("--from", from, "start", now);
  // The range ends before `to`, so the last millisecond of a day is one too early.
  const end = to === undefined ? undefined : moment("--to", to, "end", now) + 1;
  if (start !== undefined && end !== undefined && start >= end) {
    throw new CommandFailure("--from must be earlier than --to.");
  }
  return { by, ...(start !== undefined && { from: start }), ...(end !== undefined && { to: end }) };
}

function moment(option: string, text: string, edge: "start" | "end", now: number): number {
  const duration = parseDuration(text);
  const at = duration === undefined ? parseDate(text, edge) : now - duration;
  if (at === undefined) {
    throw new CommandFailure(
      `${option} ${JSON.stringify(text)} is not a time: give a date such as 2026-12-01 or a duration such as 7d.`,
    );
  }
  return at;
}

function toTable(by: UsageGrouping, rows: readonly UsageRow[], total: UsageNumbers): string {
  const groups = groupColumnNames(by);
  const columns: Column[] = [
    ...groups.map((name) => ({ title: heading(name) })),
    ...USAGE_NUMBERS.map((name) => ({ title: heading(name), align: "right" as const })),
  ];
  const cells = (row: UsageNumbers) => USAGE_NUMBERS.map((name) => showNumber(row[name]));
  return renderTable(columns, [
    ...rows.map((row) => [...groups.map((name) => String(row[name] ?? "-")), ...cells(row)]),
    ["TOTAL", ...groups.slice(1).map(() => ""), ...cells(total)],
  ]);
}

function heading(column: string): string {
  return column.replaceAll("_", " ").replace(" requests", "").replace(" tokens", "").toUpperCase();
}

function showNumber(value: number | string | null): string {
  if (value === null) return "-";
  return typeof value === "number" ? value.toLocaleString("en-US") : showUsd(parseUsd(value));
}
