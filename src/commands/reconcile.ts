/** `usage reconcile`: corrects the ledger by Bedrock's model invocation log, and reports where the two differ. */
import type { Command } from "commander";
import { formatUsd, showUsd } from "../money.ts";
import type { TokenUsage } from "../store/store.ts";
import { type InvocationEntry, parseLogRecord } from "../usage/invocation-log.ts";
import { logFiles, readRecords } from "../usage/log-files.ts";
import { createPrices, type Prices } from "../usage/prices.ts";
import {
  createReconciliation,
  type Difference,
  type ReconcileReport,
  type Reconciliation,
} from "../usage/reconcile.ts";
import { CommandFailure, type CommandIo, createCommand, printJson, withStore } from "./command.ts";
import { type Column, renderTable } from "./table.ts";

interface ReconcileOptions {
  readonly all?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** What was read, beside what became of it. */
interface Reading {
  files: number;
  /** Records: lines, mostly. */
  lines: number;
  /** Records of other logs. */
  others: number;
  broken: number;
  /** The first of what can't be read, with its place. */
  readonly problems: string[];
}

interface Result extends ReconcileReport, Reading {}

const LISTED_PROBLEMS = 1_000;
const SHOWN = 20;
const PROGRESS_MS = 5_000;

export function reconcileCommand(io: CommandIo): Command {
  return createCommand("reconcile", io)
    .description("Replace estimates by the numbers of Bedrock's model invocation log, and report what differs")
    .argument(
      "<file...>",
      "files of the log as S3 or CloudWatch have them, also compressed; folders; - for standard input",
    )
    .option("--all", "replace also Bedrock's own numbers where the log has others")
    .option("--dry-run", "change nothing, only report")
    .option("--json", "print a JSON object")
    .action(async (paths: string[], options: ReconcileOptions) => {
      const prices = await readPrices(io);
      const result = await withStore(io, async (store) => {
        const reconciliation = createReconciliation({
          calls: store.calls,
          prices,
          replaceAll: options.all === true,
          dryRun: options.dryRun === true,
        });
        const reading = await readLogs(paths, reconciliation, io);
        return { ...(await reconciliation.finish()), ...reading };
      });
      if (options.json) printJson(io, toJson(result));
      else io.stdout.write(toText(result, options.dryRun === true));
      if (result.broken > 0) throw new CommandFailure(`could not read all of the log: ${result.problems[0]}`);
    });
}

/** Without an operator's file nothing needs to be set for this but the database. */
async function readPrices(io: CommandIo): Promise<Prices> {
  if ((io.env.GATEWAY_CONFIG?.trim() ?? "") === "") return createPrices();
  // Loaded when it is needed: reading the file takes parts of the gateway that `usage` alone has no use for.
  const { readSettings } = await import("./settings.ts");
  return createPrices((await readSettings(io.env)).operator.prices);
}

async function readLogs(paths: readonly string[], { add }: Reconciliation, io: CommandIo): Promise<Reading> {
  const reading: Reading = { files: 0, lines: 0, others: 0, broken: 0, problems: [] };
  let saidAt = performance.now();

  function problem(place: string, text: string): void {
    reading.broken += 1;
    if (reading.problems.length < LISTED_PROBLEMS) reading.problems.push(`${place}: ${text}`);
  }

  async function readFile(file: string): Promise<void> {
    for await (const { line, text } of readRecords(file, io.stdin)) {
      reading.lines += 1;
      const { entries, others, problems } = text === undefined ? TOO_LONG : parseLogRecord(text);
      reading.others += others;
      for (const said of problems) problem(`${file}:${line}`, said);
      for (const entry of entries) await add(entry);
      if (performance.now() - saidAt < PROGRESS_MS) continue;
      saidAt = performance.now();
      io.stderr.write(`${reading.lines.toLocaleString("en-US")} lines, at ${file}:${line}\n`);
    }
  }

  for await (const file of namedFiles(paths)) {
    reading.files += 1;
    try {
      await readFile(file);
    } catch (error) {
      if (!isReadError(error)) throw error;
      problem(file, error.message);
    }
  }
  return reading;
}

const TOO_LONG = { entries: [], others: 0, problems: ["it is too long"] };

async function* namedFiles(paths: readonly string[]): AsyncIterable<string> {
  try {
    yield* logFiles(paths);
  } catch (error) {
    if (isReadError(error)) throw new CommandFailure(error.message, { cause: error });
    throw error;
  }
}

/** The file system's and the decompression's: the next file may be fine. */
function isReadError(error: unknown): error is Error {
  return error instanceof Error && "errno" in error && "code" in error && !/^ERR_/.test(String(error.code));
}

const COUNTS = [
  "files",
  "lines",
  "others",
  "broken",
  "entries",
  "matched",
  "replaced",
  "equal",
  "different",
  "uncounted",
  "duplicates",
  "unmatched",
] as const;

function toJson(result: Result) {
  return {
    ...Object.fromEntries(COUNTS.map((name) => [name, result[name]])),
    cost_before_usd: formatUsd(result.costBefore),
    cost_after_usd: formatUsd(result.costAfter),
    differences: result.differences.map(({ callId, requestId, ledger, log }) => ({
      call_id: callId,
      request_id: requestId,
      ledger: tokens(ledger),
      log: tokens(log),
    })),
    unmatched_entries: result.unmatchedEntries.map(({ requestId, at, modelId, keyId, errorCode, usage }) => ({
      request_id: requestId,
      timestamp: new Date(at).toISOString(),
      model: modelId,
      key_id: keyId ?? null,
      error: errorCode ?? null,
      ...(usage === undefined ? {} : tokens(usage)),
    })),
    problems: result.problems,
  };
}

function tokens({ inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens }: TokenUsage) {
  return {
    input_tokens: inputTokens,
    output_tokens: outputTokens,
    cache_read_tokens: cacheReadTokens,
    cache_write_tokens: cacheWriteTokens,
  };
}

const MEANING: Readonly<Record<(typeof COUNTS)[number], string>> = {
  files: "files read",
  lines: "records in them",
  others: "of other logs",
  broken: "that can't be read",
  entries: "calls in the log",
  matched: "that the ledger has",
  replaced: "whose numbers were replaced by the log's",
  equal: "with the same numbers",
  different: "with other numbers, which were kept (--all replaces them)",
  uncounted: "of which the log has no numbers",
  duplicates: "that the log has more than once",
  unmatched: "that the ledger does not have",
};

function toText(result: Result, dryRun: boolean): string {
  const columns: Column[] = [{ title: "COUNT", align: "right" }, { title: "WHAT" }];
  const rows = COUNTS.map((name) => [result[name].toLocaleString("en-US"), MEANING[name]]);
  const { costBefore, costAfter, replaced } = result;
  const parts = [
    renderTable(columns, rows),
    replaced === 0 ? "" : `The replaced cost ${showUsd(costBefore)} USD before and ${showUsd(costAfter)} USD now.\n`,
    list("Different", result.differences, result.different, showDifference),
    list("Not in the ledger", result.unmatchedEntries, result.unmatched, showEntry),
    list("Not readable", result.problems, result.broken, (text) => text),
    dryRun ? "Nothing was changed (--dry-run).\n" : "",
  ];
  return parts.filter((part) => part !== "").join("\n");
}

function list<T>(title: string, items: readonly T[], count: number, show: (item: T) => string): string {
  if (items.length === 0) return "";
  const shown = items.slice(0, SHOWN).map((item) => `  ${show(item)}\n`);
  const more = count > shown.length ? `  and ${(count - shown.length).toLocaleString("en-US")} more\n` : "";
  return `${title}:\n${shown.join("")}${more}`;
}

function showDifference({ callId, ledger, log }: Difference): string {
  return `${callId}: ${showTokens(ledger)}; in the log ${showTokens(log)}`;
}

function showEntry({ requestId, at, modelId, keyId, errorCode, usage }: InvocationEntry): string {
  const what = errorCode ?? (usage === undefined ? "no numbers" : showTokens(usage));
  return `${requestId}: ${new Date(at).toISOString()}, ${modelId}, ${keyId ?? "no key"}, ${what}`;
}

function showTokens({ inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens }: TokenUsage): string {
  return `${inputTokens} in, ${outputTokens} out, ${cacheReadTokens} read, ${cacheWriteTokens} written`;
}
