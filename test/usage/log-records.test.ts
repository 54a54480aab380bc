import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createRecordSplitter, type LogRecord } from "../../src/usage/log-records.ts";

const RECORDS = ['{"a":"} ] \\" { é","b":{"c":[1,{"d":2}]}}', '{"e":1}', '{"f":"\\\\"}'];

const LAYOUTS: Readonly<Record<string, { text: string; lines: readonly number[] }>> = {
  "lines of JSON": { text: RECORDS.join("\n"), lines: [1, 2, 3] },
  "lines with empty ones, carriage returns and a last newline": {
    text: `\r\n${RECORDS.join("\r\n\n")}\n\n`,
    lines: [2, 4, 6],
  },
  "an array on one line": { text: `[${RECORDS.join(",")}]`, lines: [1, 1, 1] },
  "an array with a record on each line": { text: `[\n${RECORDS.join(",\n")}\n]\n`, lines: [2, 3, 4] },
  "objects that are laid out over lines": {
    text: `{\n  "a":"} ] \\" { é","b":{"c":\n[1,{"d":2}]}}\n${RECORDS.slice(1).join("\n")}`,
    lines: [1, 4, 5],
  },
  "a byte order mark": { text: `\ufeff${RECORDS.join("\n")}`, lines: [1, 2, 3] },
};

describe("the records of a log", () => {
  for (const [name, { text, lines }] of Object.entries(LAYOUTS)) {
    it(`are found in ${name}, whole, in two parts and byte by byte`, () => {
      const bytes = Buffer.from(text);
      const splits = [
        [bytes],
        ...Array.from({ length: bytes.length - 1 }, (_, at) => [bytes.subarray(0, at + 1), bytes.subarray(at + 1)]),
        Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)),
      ];
      for (const chunks of splits) {
        const records = split(chunks);
        assert.deepEqual(
          records.map((record) => JSON.parse((record.text ?? "").replace(/^\ufeff/, ""))),
          RECORDS.map((record) => JSON.parse(record)),
        );
        assert.deepEqual(
          records.map(({ line }) => line),
          lines,
        );
      }
    });
  }

  it("are none in nothing", () => {
    for (const text of ["", "\n\n", "[]", "[\n]"]) assert.deepEqual(split([Buffer.from(text)]), []);
  });

  it("are given also where they are cut off", () => {
    assert.deepEqual(split([Buffer.from('{"a":1}\n{"b"')]), [
      { line: 1, text: '{"a":1}' },
      { line: 2, text: '{"b"' },
    ]);
    assert.deepEqual(split([Buffer.from('[{"a":1},\n{"b')]), [
      { line: 1, text: '{"a":1}' },
      { line: 2, text: '{"b' },
    ]);
  });

  it("begin anew after a string that has no end", () => {
    assert.deepEqual(split([Buffer.from('[{"a":"x\n,{"b":2}]')]), [
      { line: 1, text: '{"a":"x\n' },
      { line: 2, text: '{"b":2}' },
    ]);
  });

  it("are let go where they are too long, and the next is found", () => {
    const long = `{"a":"${"x".repeat(100)}"}`;
    for (const text of [`${long}\n{"b":2}\n`, `[${long},\n{"b":2}]`]) {
      for (const size of [1, 7, 1_000]) {
        assert.deepEqual(split(pieces(Buffer.from(text), size), 50), [
          { line: 1, text: undefined },
          { line: 2, text: '{"b":2}' },
        ]);
      }
    }
  });
});

function split(chunks: readonly Buffer[], maxBytes?: number): LogRecord[] {
  const splitter = createRecordSplitter(maxBytes);
  return [...chunks.flatMap((chunk) => [...splitter.push(chunk)]), ...splitter.end()];
}

function pieces(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) => bytes.subarray(n * size, (n + 1) * size));
}
