/** Columns of a SQLite row as typed values; a column of another type is an error, never a silent conversion. */
import type { SQLOutputValue } from "node:sqlite";

export type Row = Readonly<Record<string, SQLOutputValue>>;

export function text(row: Row, column: string): string {
  const value = row[column];
  return typeof value === "string" ? value : mismatch(column, "text");
}

export function textOrNull(row: Row, column: string): string | null {
  return row[column] === null ? null : text(row, column);
}

export function integer(row: Row, column: string): number {
  const value = row[column];
  if (typeof value === "bigint" && Number.isSafeInteger(Number(value))) return Number(value);
  return typeof value === "number" ? value : mismatch(column, "an integer");
}

export function integerOrNull(row: Row, column: string): number | null {
  return row[column] === null ? null : integer(row, column);
}

/** Of a statement that reads bigints: as numbers the driver refuses those of more than 53 bits. */
export function bigintOrNull(row: Row, column: string): bigint | null {
  const value = row[column];
  return value === null || typeof value === "bigint" ? value : mismatch(column, "an integer");
}

function mismatch(column: string, expected: string): never {
  throw new Error(`column ${column} of the database does not hold ${expected}`);
}
