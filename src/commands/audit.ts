/** `keys audit`: who changed which key or team, when, and how. */
import type { Command } from "commander";
import { auditJson } from "../access/key-json.ts";
import type { Keys } from "../access/keys.ts";
import type { AuditEntry, AuditStore } from "../store/store.ts";
import { CommandFailure, type CommandIo, printJson } from "./command.ts";
import { type Column, renderTable } from "./table.ts";
import { showTime } from "./time-options.ts";

export interface AuditOptions {
  readonly team?: string;
  readonly limit: string;
  readonly json?: boolean;
}

const MAX_LIMIT = 100_000;

export function auditOptions(command: Command): Command {
  return command
    .description("Show who changed what, newest first")
    .argument("[id]", "a key's id, or its name: only its changes")
    .option("--team <name>", "only the changes of a team's limits")
    .option("--limit <number>", "how many changes at most", "50")
    .option("--json", "print a JSON array");
}

export async function showAudit(
  io: CommandIo,
  { audit, keys, ref }: { audit: AuditStore; keys: Keys; ref: string | undefined },
  { team, limit, json }: AuditOptions,
): Promise<void> {
  if (ref !== undefined && team !== undefined) throw new CommandFailure("Give a key or --team, not both.");
  const subject = ref === undefined ? team : (await keys.show(ref)).id;
  const entries = await audit.list({ ...(subject !== undefined && { subject }), limit: parseLimit(limit) });
  if (json) printJson(io, entries.map(auditJson));
  else if (entries.length === 0) io.stderr.write("No changes yet.\n");
  else io.stdout.write(auditTable(entries, subject === undefined));
}

function parseLimit(text: string): number {
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= MAX_LIMIT) return limit;
  throw new CommandFailure(`--limit ${JSON.stringify(text)} is not a whole number from 1 to ${MAX_LIMIT}.`);
}

/** With the subjects, the changes have what is left of 100 columns. */
function auditTable(entries: readonly AuditEntry[], withSubject: boolean): string {
  const columns: Column[] = [
    { title: "AT (UTC)" },
    { title: "BY", max: 14 },
    { title: "ACTION" },
    ...(withSubject ? [{ title: "SUBJECT", max: 24 }] : []),
    { title: "CHANGES", max: withSubject ? 28 : 54 },
  ];
  const rows = entries.map((entry) => [
    showTime(entry.at, "-"),
    entry.by,
    entry.action,
    ...(withSubject ? [entry.subject] : []),
    changesText(entry),
  ]);
  return renderTable(columns, rows);
}

/** What a new key was given is said without what it was before. */
function changesText({ changes }: AuditEntry): string {
  return Object.entries(changes)
    .map(([name, { from, to }]) => `${name}: ${from === null ? "" : `${value(from)} → `}${value(to)}`)
    .join(", ");
}

function value(of: unknown): string {
  if (of === null || of === undefined) return "none";
  return typeof of === "string" ? of : JSON.stringify(of);
}
