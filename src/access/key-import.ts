/**
 * Keys from a CSV file (RFC 4180, UTF-8): the first line names the columns as the options of `keys create` are named, an empty
 * cell is an option that is not given.
 *
 * Everything that is wrong with a file is found before anything is created. A name must be new, in the file and among the
 * keys that still count, so that importing a file twice makes no second key for anybody.
 */
import { CsvError, parse } from "csv-parse/sync";
import type { Key } from "../store/store.ts";
import { type SettingName, shown } from "./key-settings.ts";
import type { NewKeySettings } from "./keys.ts";
import { readSettings, SETTING_WORDS, type SettingText } from "./setting-text.ts";

export interface ImportProblem {
  readonly line: number;
  readonly message: string;
}

export interface ImportFile {
  readonly rows: readonly NewKeySettings[];
  readonly problems: readonly ImportProblem[];
}

export interface ImportOptions {
  /** All that there are. */
  readonly keys: readonly Pick<Key, "id" | "name" | "revokedAt">[];
  /** Unix milliseconds. */
  readonly now: number;
}

export const MAX_IMPORT_BYTES = 16 * 1024 * 1024;
export const MAX_IMPORT_ROWS = 50_000;

/** The columns, and the options that they stand for. */
const COLUMNS = {
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
  "soft-budget": "softBudget",
  "budget-period": "budgetPeriod",
  expires: "expires",
} as const satisfies Readonly<Record<string, keyof SettingText>>;

interface CsvLine {
  /** Where it begins. */
  readonly line: number;
  readonly cells: readonly string[];
}

export function readImport(file: Uint8Array, { keys, now }: ImportOptions): ImportFile {
  const parsed = parseCsv(file);
  if ("line" in parsed) return { rows: [], problems: [parsed] };
  const [header, ...lines] = parsed.lines;
  if (header === undefined || lines.length === 0) {
    const message = `there are no keys in it; the first line names the columns (${Object.keys(COLUMNS).join(", ")})`;
    return { rows: [], problems: [{ line: 1, message }] };
  }
  if (lines.length > MAX_IMPORT_ROWS) {
    const message = `a file can have ${MAX_IMPORT_ROWS} keys; this one has ${lines.length}`;
    return { rows: [], problems: [{ line: MAX_IMPORT_ROWS + 2, message }] };
  }
  const columns = header.cells.map(columnNamed);
  const headerProblems = checkHeader(header, columns);
  if (headerProblems.length > 0) return { rows: [], problems: headerProblems };
  return readRows(lines, columns, { keys, now });
}

function parseCsv(file: Uint8Array): { lines: CsvLine[] } | ImportProblem {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(file);
  } catch {
    return { line: 1, message: "the file is not UTF-8 text; save it as CSV UTF-8" };
  }
  const lines: CsvLine[] = [];
  try {
    parse(text, {
      relax_column_count: true,
      skip_empty_lines: true,
      skip_records_with_empty_values: true,
      trim: true,
      on_record: (cells: string[], info) => {
        lines.push({ line: info.lines - lineEnds(cells), cells });
        return null;
      },
    });
    return { lines };
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const message =
      'the quotes do not match; a cell with quotes is "put in quotes, with each ""quote"" of its own doubled"';
    return { line: Number(error.lines), message };
  }
}

/** A cell in quotes may have several lines, and the parser counts where a record ends. */
function lineEnds(cells: readonly string[]): number {
  return cells.join("").match(/\r\n|\n|\r/g)?.length ?? 0;
}

function columnNamed(cell: string): keyof SettingText | undefined {
  const name = cell.toLowerCase().replaceAll("_", "-");
  return Object.entries(COLUMNS).find(([column]) => column === name)?.[1];
}

function checkHeader({ line, cells }: CsvLine, columns: readonly (keyof SettingText | undefined)[]): ImportProblem[] {
  const unknown = cells.filter((_, index) => columns[index] === undefined).map(shown);
  const repeated = cells.filter((_, index) => columns[index] && columns.indexOf(columns[index]) < index);
  return [
    unknown.length > 0 && `there is no column ${unknown.join(", ")}; there are ${Object.keys(COLUMNS).join(", ")}`,
    repeated.length > 0 && `a column is there twice: ${repeated.join(", ")}`,
    !columns.includes("name") && "the column name is missing; the first line names the columns, separated by commas",
  ].flatMap((message) => (message ? [{ line, message }] : []));
}

function readRows(
  lines: readonly CsvLine[],
  columns: readonly (keyof SettingText | undefined)[],
  { keys, now }: ImportOptions,
): ImportFile {
  const taken = new Map(keys.filter((key) => key.revokedAt === null).map(({ id, name }) => [name, `key ${id}`]));
  const rows: NewKeySettings[] = [];
  const problems: ImportProblem[] = [];
  for (const { line, cells } of lines) {
    if (cells.length !== columns.length) {
      problems.push({ line, message: `${cells.length} cells, where the first line has ${columns.length}` });
      continue;
    }
    const text = textOf(cells, columns);
    const { name = "" } = text;
    const { settings, problems: found } = readSettings({ ...text, name }, now);
    problems.push(...found.map(({ setting, message }) => ({ line, message: named(setting, message) })));
    const other = taken.get(name);
    if (other !== undefined)
      problems.push({ line, message: `name: The ${other} has the name ${shown(name)} already.` });
    taken.set(name, other ?? `key in line ${line}`);
    rows.push({ ...settings, name });
  }
  return { rows, problems };
}

function textOf(cells: readonly string[], columns: readonly (keyof SettingText | undefined)[]): SettingText {
  return Object.fromEntries(columns.map((column, index) => [column, cells[index]]).filter(([, cell]) => cell !== ""));
}

function named(setting: SettingName | undefined, message: string): string {
  return setting === undefined ? message : `${SETTING_WORDS[setting]}: ${message}`;
}
