/**
 * CSV as in RFC 4180.
 *
 * Spreadsheets run a cell that begins like a formula, and a key's name is free text: such a cell gets an apostrophe in
 * front, as OWASP advises (https://owasp.org/www-community/attacks/CSV_Injection). A sign of full width counts too: East
 * Asian spreadsheets take it for the plain one.
 */

export type CsvCell = string | number | null;

export function renderCsv(header: readonly string[], rows: readonly (readonly CsvCell[])[]): string {
  return [header, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function cell(value: CsvCell): string {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const safe = /^[=+\-@＝＋－＠\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
