import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it, type TestContext } from "node:test";
import { createKeys } from "../../src/access/keys.ts";
import { createLedger } from "../../src/usage/ledger.ts";
import { openTempStore, tempDir } from "../store/temp-store.ts";
import { type CommandResult, runCommands } from "./run-commands.ts";

const NOON = Date.parse("2025-11-21T12:00:00Z");
const DAY_MS = 86_400_000;

describe("usage", () => {
  it("prints an empty array before the first call", async (t) => {
    const result = await runCommands(`sqlite:${tempDir(t)}/gateway.db`, ["usage", "--json"]);
    assert.deepEqual(result, { code: 0, stdout: "[]\n", stderr: "" });
  });

  it("prints the rows of each grouping as JSON, while the database is in use", async (t) => {
    const { usage, keyId } = await openWithCalls(t);
    const numbers = {
      requests: 2,
      input_tokens: 3000,
      output_tokens: 10,
      cache_read_tokens: 0,
      cache_write_tokens: 0,
      cost_usd: "0.000075000001",
      estimated_requests: 0,
      unpriced_requests: 1,
      errors: 0,
      interrupted: 0,
    };
    assert.deepEqual(JSON.parse((await usage("--json")).stdout), [{ key_id: keyId, name: "=alice, inc", ...numbers }]);
    assert.deepEqual(JSON.parse((await usage("--by", "team", "--json")).stdout), [{ team: null, ...numbers }]);
    assert.deepEqual(JSON.parse((await usage("--by", "model", "--json")).stdout), [{ model: "us.nova", ...numbers }]);
    const days = JSON.parse((await usage("--by", "day", "--json")).stdout);
    assert.deepEqual(
      days.map((row: Record<string, unknown>) => [row.day, row.input_tokens]),
      [
        ["2025-11-21", 1000],
        ["2025-11-22", 2000],
      ],
    );
  });

  it("prints a table with totals", async (t) => {
    const { usage } = await openWithCalls(t);
    const lines = (await usage("--by", "day")).stdout.trimEnd().split("\n");
    assert.equal(lines.length, 4);
    assert.match(
      lines[0] ?? "",
      /^DAY +REQUESTS +INPUT +OUTPUT +CACHE READ +CACHE WRITE +COST USD +ESTIMATED +UNPRICED +ERRORS +INTERRUPTED$/,
    );
    assert.match(lines[1] ?? "", /^2025-11-21 +1 +1,000 +5 +0 +0 +- +0 +1 +0 +0$/);
    assert.match(lines[3] ?? "", /^TOTAL +2 +3,000 +10 +0 +0 +<0\.0001 +0 +1 +0 +0$/);
  });

  it("prints CSV that no spreadsheet takes for a formula", async (t) => {
    const { usage, keyId } = await openWithCalls(t);
    assert.equal(
      (await usage("--csv")).stdout,
      "key_id,name,requests,input_tokens,output_tokens,cache_read_tokens,cache_write_tokens,cost_usd," +
        `estimated_requests,unpriced_requests,errors,interrupted\r\n${keyId},"'=alice, inc",2,3000,10,0,0,0.000075000001,0,1,0,0\r\n`,
    );
  });

  const ranges: [string[], number][] = [
    [["--from", "2025-11-21", "--to", "2025-11-21"], 1000],
    [["--from", "2025-11-22"], 2000],
    [["--to", "2025-11-22"], 3000],
    [["--from", "2025-11-21T12:00Z", "--to", "2025-11-21T12:00:00.000Z"], 1000],
    [["--from", "2025-11-21T12:00:00.001Z"], 2000],
  ];
  for (const [range, input] of ranges) {
    it(`takes ${range.join(" ")}`, async (t) => {
      const { usage } = await openWithCalls(t);
      const rows: { input_tokens: number }[] = JSON.parse((await usage(...range, "--json")).stdout);
      assert.equal(rows[0]?.input_tokens ?? 0, input);
    });
  }

  it("takes a duration back from now", async (t) => {
    const { usage, ledger, keyId } = await openWithCalls(t);
    await ledger.open(call("recent", keyId, Date.now() - 3_600_000));
    assert.equal(JSON.parse((await usage("--from", "2h", "--json")).stdout)[0].requests, 1);
    assert.equal((await usage("--from", "2h", "--to", "90m", "--json")).stdout, "[]\n");
  });

  const wrong: [string[], number, RegExp][] = [
    [["--from", "last week"], 1, /--from "last week".*7d/],
    [["--to", "2026-13-01"], 1, /--to "2026-13-01".*7d/],
    [["--from", "2025-11-22", "--to", "2025-11-21"], 1, /--from must be earlier/],
    [["--by", "colour"], 2, /--by.*key, team, model, day/],
    [["--json", "--csv"], 2, /--csv/],
  ];
  for (const [args, code, message] of wrong) {
    it(`refuses ${args.join(" ")}`, async (t) => {
      const result = await runCommands(`sqlite:${tempDir(t)}/gateway.db`, ["usage", ...args]);
      assert.deepEqual([result.code, result.stdout], [code, ""]);
      assert.match(result.stderr, message);
    });
  }
});

interface Opened {
  readonly usage: (...args: string[]) => Promise<CommandResult>;
  readonly ledger: ReturnType<typeof createLedger>;
  readonly keyId: string;
}

/** One call on each of two days, the second with a price. The store stays open, as that of a running gateway. */
async function openWithCalls(t: TestContext): Promise<Opened> {
  const { store, url } = await openTempStore(t);
  const { key } = await createKeys(store, { now: Date.now, randomBytes, by: "test" }).create({ name: "=alice, inc" });
  const ledger = createLedger(store.calls);
  for (const [id, startedAt, inputTokens] of [
    ["first", NOON, 1000],
    ["second", NOON + DAY_MS, 2000],
  ] as const) {
    await ledger.open(call(id, key.id, startedAt));
    const usage = { inputTokens, outputTokens: 5, cacheReadTokens: 0, cacheWriteTokens: 0 };
    const closing = { status: "ok", httpStatus: 200, usage, estimated: false, finishedAt: startedAt + 1 } as const;
    await ledger.close(id, { ...closing, ...(id === "second" && { cost: 75_000_001n }) });
  }
  return { usage: (...args) => runCommands(url, ["usage", ...args]), ledger, keyId: key.id };
}

function call(id: string, keyId: string, startedAt: number) {
  const models = { modelRequested: "nova", modelInvoked: "us.nova" };
  return {
    ...{ id, keyId, team: null, instance: "here", dialect: "openai-chat", ...models, region: "us-east-1" },
    ...{ stream: false, startedAt, inputEstimate: 1, reserved: 0n, budgets: [] },
  };
}
