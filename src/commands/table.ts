/** Text tables for people: columns as wide as they need, numbers to the right. */

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
  /** Longer cells are cut, and end in an ellipsis. */
  readonly max?: number;
}

export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const lines = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ max }, i) => cut(row[i], max))),
  ];
  const widths = columns.map((_, index) => lines.reduce((most, line) => Math.max(most, width(line[index] ?? "")), 0));
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

function cut(text = "", max = Number.POSITIVE_INFINITY): string {
  if (width(text) <= max) return text;
  let kept = "";
  for (const { segment } of SEGMENTS.segment(text)) {
    if (width(kept + segment) >= max) break;
    kept += segment;
  }
  return `${kept}…`;
}

const SEGMENTS = new Intl.Segmenter("en", { granularity: "grapheme" });

/** What terminals show two columns wide, by and large: East Asian scripts and emoji (https://www.unicode.org/reports/tr11/). */
const WIDE =
  /^(?:[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303e\uff01-\uff60]|\p{Emoji_Presentation})/u;

/** In columns of a terminal. */
function width(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  return [...SEGMENTS.segment(text)].reduce((sum, { segment }) => sum + (WIDE.test(segment) ? 2 : 1), 0);
}
