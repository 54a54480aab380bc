/**
 * Cuts a log into its records without having it in memory: lines of JSON, or the objects of a JSON array.
 *
 * A file that begins with `[`, or with a `{` that stands alone on its line, is read object by object, however it is laid
 * out; every other one line by line, because then a broken line spoils no other. No record is parsed here.
 */

export interface LogRecord {
  /** Where it begins: 1 for the first line. */
  readonly line: number;
  /** Undefined for one that is longer than the limit. */
  readonly text: string | undefined;
}

export interface RecordSplitter {
  push(chunk: Buffer): Iterable<LogRecord>;
  end(): Iterable<LogRecord>;
}

/** Bedrock keeps bodies above 100 kB apart, so a record is far smaller. */
const MAX_RECORD_BYTES = 16 * 1024 * 1024;
const MAX_HEAD_BYTES = 1024;

const NEWLINE = 0x0a;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;

export function createRecordSplitter(maxBytes = MAX_RECORD_BYTES): RecordSplitter {
  let head: Buffer<ArrayBufferLike> = Buffer.alloc(0);
  let splitter: RecordSplitter | undefined;

  return {
    push(chunk) {
      if (splitter !== undefined) return splitter.push(chunk);
      head = Buffer.concat([head, chunk]);
      const layout = layoutOf(head);
      if (layout === undefined && head.length < MAX_HEAD_BYTES) return [];
      splitter = layout === "objects" ? objects(maxBytes) : lines(maxBytes);
      return splitter.push(head);
    },
    *end() {
      if (splitter === undefined) {
        splitter = lines(maxBytes);
        yield* splitter.push(head);
      }
      yield* splitter.end();
    },
  };
}

/** Undefined: not to be told yet. */
function layoutOf(head: Buffer): "objects" | "lines" | undefined {
  const text = head.toString("latin1").replace(/^\xef\xbb\xbf/, "");
  if (/^\s*\[/.test(text) || /^\s*\{[ \t\r]*\n/.test(text)) return "objects";
  return /^\s*(\{[ \t\r]*)?$/.test(text) ? undefined : "lines";
}

/** Bytes of one record; what is too long is let go. */
class Pieces {
  readonly #maxBytes: number;
  #pieces: Buffer[] = [];
  #size = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  add(piece: Buffer): void {
    this.#size += piece.length;
    if (this.#size > this.#maxBytes) this.#pieces = [];
    else if (piece.length > 0) this.#pieces.push(piece);
  }

  take(line: number): LogRecord {
    const text = this.#size > this.#maxBytes ? undefined : Buffer.concat(this.#pieces).toString();
    this.#pieces = [];
    this.#size = 0;
    return { line, text };
  }
}

function lines(maxBytes: number): RecordSplitter {
  const pieces = new Pieces(maxBytes);
  let line = 1;
  const isBlank = ({ text }: LogRecord) => text !== undefined && text.trim() === "";

  return {
    *push(chunk) {
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        pieces.add(chunk.subarray(start, end));
        const record = pieces.take(line);
        if (!isBlank(record)) yield record;
        line += 1;
        start = end + 1;
      }
      pieces.add(chunk.subarray(start));
    },
    *end() {
      const record = pieces.take(line);
      if (!isBlank(record)) yield record;
    },
  };
}

/** Whatever stands between objects is passed over. A line's end inside a string is no JSON: there the next object begins. */
function objects(maxBytes: number): RecordSplitter {
  const pieces = new Pieces(maxBytes);
  let line = 1;
  let begin = 1;
  let depth = 0;
  let inString = false;
  let escaped = false;

  return {
    *push(chunk) {
      let start = 0;
      for (let at = 0; at < chunk.length; at++) {
        const byte = chunk[at];
        if (byte === NEWLINE) line += 1;
        if (inString) {
          if (escaped) escaped = false;
          else if (byte === BACKSLASH) escaped = true;
          else if (byte === QUOTE) inString = false;
          if (byte !== NEWLINE) continue;
          depth = 0;
          inString = false;
          escaped = false;
        } else if (depth === 0) {
          if (byte !== OPEN) continue;
          depth = 1;
          begin = line;
          start = at;
          continue;
        } else if (byte === QUOTE) inString = true;
        else if (byte === OPEN) depth += 1;
        else if (byte === CLOSE) depth -= 1;
        if (depth > 0) continue;
        pieces.add(chunk.subarray(start, at + 1));
        yield pieces.take(begin);
      }
      if (depth > 0) pieces.add(chunk.subarray(start));
    },
    *end() {
      if (depth > 0) yield pieces.take(begin);
    },
  };
}
