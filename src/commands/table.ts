/** Text tables for people: columns as wide as they need, numbers to the right. */

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const lines = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => width(line[index] ?? ""))));
  const render = (line: readonly string[]) =>
    columns
      .map((column, index) => pad(line[index] ?? "", widths[index] ?? 0, column.align ?? "left"))
      .join("  ")
      .trimEnd();
  return `${lines.map(render).join("\n")}\n`;
}

function pad(text: string, size: number, align: "left" | "right"): string {
  const gap = " ".repeat(Math.max(0, size - width(text)));
  return align === "left" ? text + gap : gap + text;
}

function width(text: string): number {
  return [...text].length;
}
