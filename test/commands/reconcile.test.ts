import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { createKeys } from "../../src/access/keys.ts";
import { openTempStore, tempDir } from "../store/temp-store.ts";
import { aClosing, anOpening } from "../usage/memory-calls.ts";
import { runCommands } from "./run-commands.ts";

const AT = Date.parse("2026-11-20T10:00:00Z");

describe("usage reconcile", { concurrency: 2 }, () => {
  it("replaces estimates in rows, totals and budgets, and changes nothing the second time", async (t) => {
    const { store, keyId, reconcile, usage, dir } = await setUp(t);
    const before = await usage();
    assert.deepEqual([before.estimated_requests, before.cost_usd], [2, "0.000012000005"]);
    write(dir, "2026/11/20/a.json.gz", gzipSync(lines([record("b-1"), record("b-2")])));
    write(dir, "2026/11/20/b", JSON.stringify([record("b-3", { requestMetadata: { gateway_key_id: keyId } })]));

    const first = await reconcile(dir, "--json");
    assert.equal(first.code, 0, first.stderr);
    const {
      files,
      lines: read,
      entries,
      matched,
      replaced,
      equal,
      different,
      unmatched,
      ...more
    } = JSON.parse(first.stdout);
    assert.deepEqual([files, read, entries, matched, replaced, equal], [2, 3, 3, 3, 2, 0]);
    assert.deepEqual([different, unmatched], [1, 0]);
    assert.deepEqual([more.cost_before_usd, more.cost_after_usd], ["0.000012", "0.000168"]);
    assert.deepEqual(more.differences[0].call_id, "call-2");

    const after = await usage();
    assert.deepEqual([after.requests, after.estimated_requests, after.cost_usd], [3, 0, "0.000168000005"]);
    assert.equal((await store.calls.get("call-3"))?.closing?.bedrockRequestId, "b-3");
    const spent = await store.calls.budgets([{ subject: `key:${keyId}`, period: "total", limit: undefined }], AT);
    assert.equal(spent[0]?.spent, 168_000_005n);

    const second = JSON.parse((await reconcile(dir, "--json")).stdout);
    assert.deepEqual([second.matched, second.replaced, second.equal, second.different], [3, 0, 2, 1]);
    assert.deepEqual(await usage(), after);

    const all = JSON.parse((await reconcile(dir, "--json", "--all")).stdout);
    assert.deepEqual([all.replaced, all.equal, all.different], [1, 2, 0]);
    assert.equal((await usage()).cost_usd, "0.000252");
  });

  it("only says what it would do with --dry-run", async (t) => {
    const { reconcile, usage, dir } = await setUp(t);
    write(dir, "log", lines([record("b-1")]));
    const before = await usage();
    const { code, stdout } = await reconcile(join(dir, "log"), "--dry-run");
    assert.equal(code, 0);
    assert.match(stdout, /^ +1 {2}whose numbers were replaced by the log's$/m);
    assert.match(stdout, /Nothing was changed/);
    assert.deepEqual(await usage(), before);
  });

  it("names what it can't read by file and line, uses the rest, and says so with its exit code", async (t) => {
    const { reconcile, dir } = await setUp(t);
    const other = JSON.stringify({ schemaType: "Other" });
    write(dir, "1-lines", `${JSON.stringify(record("b-1"))}\n{"cut\n${other}\n`);
    write(dir, "2-cut.gz", gzipSync(lines([record("b-2")])).subarray(0, 40));
    write(dir, "3-fine", lines([record("b-9")]));
    const { code, stdout, stderr } = await reconcile(dir, "--json");
    assert.equal(code, 1);
    assert.match(stderr, /could not read all of the log: .*1-lines:2: it is not JSON/);
    const report = JSON.parse(stdout);
    assert.deepEqual([report.files, report.entries, report.others, report.broken], [3, 2, 1, 2]);
    assert.match(report.problems[1], /2-cut\.gz: .*end of file/);
    assert.deepEqual([report.matched, report.unmatched], [1, 1]);
    assert.equal(report.unmatched_entries[0].request_id, "b-9");
  });

  it("goes by the operator's prices, and reads standard input", async (t) => {
    const { store, url, dir } = await setUp(t);
    write(dir, "gateway.yaml", 'prices:\n  - { match: "us.amazon.nova-lite-v1:0", input: 1, output: 10 }\n');
    const env = { GATEWAY_CONFIG: join(dir, "gateway.yaml"), AWS_REGION: "us-east-1" };
    const { code, stderr } = await runCommands(url, ["usage", "reconcile", "-"], lines([record("b-1")]), env);
    assert.equal(code, 0, stderr);
    assert.equal((await store.calls.get("call-1"))?.closing?.cost, 2_000_000_000n);
  });

  it("says in a sentence that a file is not there", async (t) => {
    const { reconcile, dir } = await setUp(t);
    const { code, stdout, stderr } = await reconcile(join(dir, "none"));
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /^error: .*none'\n$/);
  });

  it("needs a file", async (t) => {
    const { reconcile } = await setUp(t);
    const { code, stderr } = await reconcile();
    assert.equal(code, 2);
    assert.match(stderr, /missing required argument/);
  });
});

/** Two estimates, one of a call whose request id nobody heard, and a call with Bedrock's numbers, which the log denies. */
async function setUp(t: TestContext) {
  const { store, url } = await openTempStore(t);
  const { key } = await createKeys(store, { now: Date.now, randomBytes, by: "test" }).create({ name: "alice" });
  const { bedrockRequestId: _none, ...lost } = aClosing({
    estimated: true,
    status: "interrupted",
    cost: 6_000_000n,
    finishedAt: AT + 1_000,
  });
  const closings = [{ ...lost, bedrockRequestId: "b-1" }, aClosing({ bedrockRequestId: "b-2" }), lost];
  for (const [index, closing] of closings.entries()) {
    const id = `call-${index + 1}`;
    await store.calls.open(anOpening(id, { keyId: key.id, startedAt: AT }));
    await store.calls.close(id, closing);
  }
  return {
    store,
    url,
    keyId: key.id,
    dir: tempDir(t),
    reconcile: (...args: string[]) => runCommands(url, ["usage", "reconcile", ...args]),
    usage: async () => JSON.parse((await runCommands(url, ["usage", "--json"])).stdout)[0],
  };
}

function record(requestId: string, more: object = {}): object {
  return {
    schemaType: "ModelInvocationLog",
    timestamp: "2026-11-20T10:00:01Z",
    requestId,
    operation: "Converse",
    modelId: "us.amazon.nova-lite-v1:0",
    input: { inputTokenCount: 1_000 },
    output: { outputTokenCount: 100 },
    ...more,
  };
}

function lines(records: readonly object[]): string {
  return records.map((each) => `${JSON.stringify(each)}\n`).join("");
}

function write(dir: string, name: string, content: string | Buffer): void {
  mkdirSync(join(dir, name, ".."), { recursive: true });
  writeFileSync(join(dir, name), content);
}
