import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, it, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { logFiles, readRecords } from "../../src/usage/log-files.ts";

describe("the files of a log", () => {
  it("are those that were named, and all that folders hold, in order", async (t) => {
    const dir = folder(t);
    mkdirSync(join(dir, "2026/11/02"), { recursive: true });
    mkdirSync(join(dir, "2026/11/01"), { recursive: true });
    for (const name of ["2026/11/02/b", "2026/11/02/a", "2026/11/01/z", "own"]) writeFileSync(join(dir, name), "");
    symlinkSync(dir, join(dir, "2026/loop"));
    const found = await Array.fromAsync(logFiles([join(dir, "own"), "-", join(dir, "2026")]));
    assert.deepEqual(found, [
      join(dir, "own"),
      "-",
      ...["2026/11/01/z", "2026/11/02/a", "2026/11/02/b"].map((name) => join(dir, name)),
    ]);
  });

  it("must be there", async (t) => {
    await assert.rejects(Array.fromAsync(logFiles([join(folder(t), "none")])), /ENOENT/);
  });

  it("are read plain and compressed, whatever their names say", async (t) => {
    const dir = folder(t);
    const text = '{"a":1}\n{"b":2}\n';
    const files = {
      "plain.gz": Buffer.from(text),
      packed: gzipSync(text),
      "in parts": Buffer.concat([gzipSync('{"a":1}\n'), gzipSync('{"b":2}')]),
    };
    for (const [name, bytes] of Object.entries(files)) {
      writeFileSync(join(dir, name), bytes);
      assert.deepEqual(await texts(join(dir, name)), ['{"a":1}', '{"b":2}']);
    }
    for (const [name, bytes] of Object.entries({ empty: "", one: "{" })) {
      writeFileSync(join(dir, name), bytes);
      assert.deepEqual(await texts(join(dir, name)), bytes === "" ? [] : ["{"]);
    }
  });

  it("are read from standard input too", async () => {
    const parts = (bytes: Buffer) => Readable.from([bytes.subarray(0, 1), bytes.subarray(1, 5), bytes.subarray(5)]);
    for (const bytes of [Buffer.from('{"a":1}\n{"b":2}'), gzipSync('{"a":1}\n{"b":2}')]) {
      assert.deepEqual(await texts("-", parts(bytes)), ['{"a":1}', '{"b":2}']);
    }
  });

  it("fail where compressed data are cut off, after what could be read", async (t) => {
    const path = join(folder(t), "cut");
    const lines = Array.from({ length: 50_000 }, (_, n) => `{"n":${n},"x":${Math.random()}}`);
    const packed = gzipSync(lines.join("\n"));
    writeFileSync(path, packed.subarray(0, packed.length / 2));
    const read: unknown[] = [];
    await assert.rejects(async () => {
      for await (const { text } of readRecords(path, NO_INPUT)) read.push(text);
    }, /unexpected end of file/);
    assert.ok(read.length > 1_000);
  });

  it("are not held in memory", async (t) => {
    const path = join(folder(t), "large");
    const line = `${JSON.stringify({ text: "x".repeat(100_000) })}\n`;
    const member = gzipSync(line.repeat(20));
    writeFileSync(path, Buffer.concat(Array.from({ length: 200 }, () => member)));
    const before = process.memoryUsage().rss;
    let most = 0;
    let count = 0;
    for await (const record of readRecords(path, NO_INPUT)) {
      count += record.text === undefined ? 0 : 1;
      if (count % 100 === 0) most = Math.max(most, process.memoryUsage().rss);
    }
    assert.equal(count, 4_000);
    assert.ok(most - before < 200_000_000, `${most - before} of 400,000,000 bytes`);
  });
});

const NO_INPUT: AsyncIterable<Buffer> = Readable.from([]);

async function texts(path: string, stdin = NO_INPUT): Promise<(string | undefined)[]> {
  return (await Array.fromAsync(readRecords(path, stdin))).map(({ text }) => text);
}

function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "gateway-logs-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}
