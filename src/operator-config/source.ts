/**
 * A YAML text with its places: what it holds as plain values, and the line and column of any path in it.
 *
 * YAML 1.2 (https://yaml.org/spec/1.2.2/), one document, every key once. Nothing is merged with `<<`, and unknown tags
 * are problems. A number of more digits than a double is sure to keep stays the text that it was.
 */
import { type Document, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, visit } from "yaml";

export type Path = readonly (string | number)[];

export interface Source {
  readonly value: unknown;
  /** `12:5`, the first of both is 1: where the path is or, when it is absent, the nearest thing above it. */
  place(path: Path): Place;
}

export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface SyntaxProblem extends Place {
  readonly text: string;
}

/** The source, or all that is wrong with its syntax. */
export function parseSource(text: string): { source: Source } | { problems: readonly SyntaxProblem[] } {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const problems = [...document.errors, ...document.warnings].map(({ message, pos }) => ({
    ...placeAt(pos[0]),
    text: message,
  }));
  if (problems.length > 0) return { problems };
  keepLongNumbers(document);
  try {
    return { source: { value: document.toJS(), place: (path) => placeAt(offsetOf(document, path)) } };
  } catch (error) {
    // An alias without its anchor; the library does not say where.
    return { problems: [{ line: 1, column: 1, text: error instanceof Error ? error.message : String(error) }] };
  }
}

const SURE_DIGITS = 15;

function keepLongNumbers(document: Document.Parsed): void {
  visit(document, {
    Scalar(_, node) {
      const digits = node.source?.replace(/\D/g, "") ?? "";
      if (typeof node.value === "number" && digits.length > SURE_DIGITS) node.value = node.source;
    },
  });
}

function offsetOf(document: Document.Parsed, path: Path): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const key of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
      if (pair === undefined) return offset;
      offset = startOf(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(key)];
      offset = startOf(node) ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
