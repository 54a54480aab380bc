/**
 * Files of a log, folders of them and standard input, as records. Compressed files are known by their content, because
 * what was downloaded has any name. One file after the other, one chunk at a time.
 */
import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { createRecordSplitter, type LogRecord } from "./log-records.ts";

export const STDIN = "-";

const GZIP = Buffer.from([0x1f, 0x8b]);

/** The files of what was named: folders with all that is in them, in the order of their names. Rejects where there is nothing. */
export async function* logFiles(paths: Iterable<string>): AsyncIterable<string> {
  for (const path of paths) {
    if (path !== STDIN && (await stat(path)).isDirectory()) yield* filesBelow(path);
    else yield path;
  }
}

async function* filesBelow(folder: string): AsyncIterable<string> {
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else if (entry.isFile()) yield path;
  }
}

/** Throws what the file system or the decompression says, after the records that could be read. */
export async function* readRecords(path: string, stdin: AsyncIterable<Uint8Array>): AsyncIterable<LogRecord> {
  const source: AsyncIterable<Uint8Array> = path === STDIN ? stdin : createReadStream(path);
  const splitter = createRecordSplitter();
  for await (const chunk of decompressed(source)) yield* splitter.push(chunk);
  yield* splitter.end();
}

async function* decompressed(source: AsyncIterable<Uint8Array>): AsyncIterable<Buffer> {
  const chunks = source[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  while (head.length < GZIP.length) {
    const { value, done } = await chunks.next();
    if (done) break;
    head = Buffer.concat([head, value]);
  }
  const whole = withHead(head, chunks);
  if (!head.subarray(0, GZIP.length).equals(GZIP)) return yield* whole;
  // A failure on either side is thrown to who reads.
  yield* pipeline(whole, createGunzip(), () => {});
}

async function* withHead(head: Buffer, chunks: AsyncIterator<Uint8Array>): AsyncIterable<Buffer> {
  yield head;
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
    const { buffer, byteOffset, byteLength } = next.value;
    yield Buffer.from(buffer, byteOffset, byteLength);
  }
}
