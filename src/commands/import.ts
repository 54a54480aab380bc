/** `keys import`: reads the file or stdin, says everything that is wrong with it, or makes the keys and prints them. */
import { createReadStream } from "node:fs";
import { type ImportProblem, MAX_IMPORT_BYTES, readImport } from "../access/key-import.ts";
import { keyJson, settingsJson } from "../access/key-json.ts";
import { completeSettings, type IssuedKey, type Keys, type NewKeySettings } from "../access/keys.ts";
import { renderCsv } from "../usage/csv.ts";
import { CommandFailure, type CommandIo, printJson } from "./command.ts";
import { renderTable } from "./table.ts";

export interface ImportCommandOptions {
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly csv?: boolean;
}

const MAX_SHOWN_PROBLEMS = 100;
/** From here on it takes long enough to be told. */
const LONG_ROWS = 1000;

export async function importKeys(
  io: CommandIo,
  keys: Keys,
  file: string,
  options: ImportCommandOptions,
): Promise<void> {
  const [bytes, existing] = await Promise.all([readAll(io, file), keys.list()]);
  const name = file === "-" ? "stdin" : file;
  const { rows, problems } = readImport(bytes, { keys: existing, now: Date.now() });
  if (problems.length > 0) throw new CommandFailure(explain(name, problems));
  if (options.dryRun) return showPlan(io, name, rows, options);
  if (rows.length >= LONG_ROWS) io.stderr.write(`${name} is in order: making ${rows.length} keys …\n`);
  const issued = await keys.createMany(rows);
  io.stderr.write("This is the only time the keys are shown: store them now.\n");
  showIssued(io, issued, options);
}

async function readAll(io: CommandIo, file: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of file === "-" ? io.stdin : createReadStream(file)) {
      size += chunk.length;
      if (size > MAX_IMPORT_BYTES) throw new CommandFailure(`${file} is longer than ${MAX_IMPORT_BYTES} bytes.`);
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof CommandFailure) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CommandFailure(`${file} can't be read: ${reason}`, { cause });
  }
  return Buffer.concat(chunks);
}

function explain(name: string, problems: readonly ImportProblem[]): string {
  const lines = problems.slice(0, MAX_SHOWN_PROBLEMS).map(({ line, message }) => `  line ${line}: ${message}`);
  const more = problems.length - lines.length;
  if (more > 0) lines.push(`  and ${more} more`);
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return `${name} has ${count}, and no key was made:\n${lines.join("\n")}`;
}

const CSV_COLUMNS = ["name", "owner", "team"] as const;

function showPlan(io: CommandIo, name: string, rows: readonly NewKeySettings[], { json, csv }: ImportCommandOptions) {
  io.stderr.write(
    `${name} is in order: ${rows.length} ${rows.length === 1 ? "key" : "keys"} can be made, and none was.\n`,
  );
  const settings = rows.map(completeSettings);
  if (json) printJson(io, settings.map(settingsJson));
  else if (csv)
    io.stdout.write(
      renderCsv(
        CSV_COLUMNS,
        settings.map((row) => CSV_COLUMNS.map((column) => row[column])),
      ),
    );
}

function showIssued(io: CommandIo, issued: readonly IssuedKey[], { json, csv }: ImportCommandOptions): void {
  if (json) {
    printJson(
      io,
      issued.map(({ key, secret }) => ({ ...keyJson(key, Date.now()), key: secret })),
    );
  } else if (csv) {
    const rows = issued.map(({ key, secret }) => [...CSV_COLUMNS.map((column) => key[column]), key.id, secret]);
    io.stdout.write(renderCsv([...CSV_COLUMNS, "id", "key"], rows));
  } else {
    const columns = [{ title: "NAME", max: 24 }, { title: "ID" }, { title: "KEY" }];
    io.stdout.write(
      renderTable(
        columns,
        issued.map(({ key, secret }) => [key.name, key.id, secret]),
      ),
    );
  }
}
