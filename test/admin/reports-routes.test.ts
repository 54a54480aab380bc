import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CallClosing, CallOpening, ReportStore, UsageTotals } from "../../src/store/store.ts";
import { runCommands } from "../commands/run-commands.ts";
import { type Admin, START, startAdmin } from "./admin-client.ts";

const HOUR = 3_600_000;
const CLOSING: CallClosing = {
  status: "ok",
  httpStatus: 200,
  usage: { inputTokens: 10, outputTokens: 20, cacheReadTokens: 3, cacheWriteTokens: 4, reasoningTokens: 5 },
  estimated: false,
  cost: 1_500_000n,
  finishedAt: START + 1500,
  firstTokenAt: START + 300,
  bedrockRequestId: "bedrock-1",
  serviceTier: "default",
};

describe("usage over HTTP", () => {
  it("has the rows of the command line, for every grouping", async (t) => {
    const admin = await startAdmin(t);
    await addCalls(admin);
    for (const by of ["key", "team", "model", "day", "tag"]) {
      const printed = await runCommands(admin.url, ["usage", "--by", by, "--json"]);
      const { status, json } = await admin.ask("GET", `/api/usage?by=${by}`);
      assert.equal(status, 200);
      assert.deepEqual(json, JSON.parse(printed.stdout), by);
      assert.ok(json.length > 0);
    }
    const [row] = (await admin.ask("GET", "/api/usage")).json;
    assert.deepEqual([row.name, row.requests, row.cost_usd, row.errors], ["=alice", 3, "0.000003", 1]);
  });

  it("keeps to the range: times to the hour's end, days as a whole", async (t) => {
    const admin = await startAdmin(t);
    await addCalls(admin);
    const requests = async (query: string) => {
      const { json } = await admin.ask("GET", `/api/usage?by=model&${query}`);
      return json.reduce((sum: number, row: { requests: number }) => sum + row.requests, 0);
    };
    assert.equal(await requests("from=2026-11-22"), 3);
    assert.equal(await requests("to=2026-11-22"), 3);
    assert.equal(await requests("to=2026-11-21"), 0);
    assert.equal(await requests("from=2026-11-22T13:00:00Z"), 1);
    assert.equal(await requests("to=2026-11-22T13:00:00Z"), 2);
  });

  it("is CSV for who asks for it, and no cell of it is a formula", async (t) => {
    const admin = await startAdmin(t);
    await addCalls(admin);
    const printed = await runCommands(admin.url, ["usage", "--csv"]);
    for (const [path, headers] of [
      ["/api/usage?format=csv", {}],
      ["/api/usage", { accept: "text/csv, */*;q=0.1" }],
    ] as const) {
      const answer = await admin.ask("GET", path, { headers });
      assert.equal(answer.headers["content-type"], "text/csv; charset=utf-8");
      assert.match(String(answer.headers["content-disposition"]), /^attachment; filename="usage-by-key\.csv"$/);
      assert.equal(answer.text, printed.stdout);
      assert.match(answer.text, /,'=alice,3,/);
    }
    const json = await admin.ask("GET", "/api/usage?format=json", { headers: { accept: "text/csv" } });
    assert.equal(json.json.length, 1);
    const none = await admin.ask("GET", "/api/usage?format=csv&to=2020-01-01");
    assert.match(none.text, /^key_id,name,requests,[a-z_,]+\r\n$/);
  });

  it("runs over time, by hour or day, for all together or each", async (t) => {
    const admin = await startAdmin(t);
    const id = await addCalls(admin);
    const range = "from=2026-11-22T00:00:00Z&to=2026-11-23T00:00:00Z";
    const points = async (query: string) =>
      (await admin.ask("GET", `/api/usage/series?${query}&${range}`)).json.map(
        ({ at, group, requests }: Record<string, unknown>) => [at, group, requests],
      );
    assert.deepEqual(await points("by=key&bucket=hour"), [
      ["2026-11-22T12:00:00.000Z", id, 2],
      ["2026-11-22T13:00:00.000Z", id, 1],
    ]);
    assert.deepEqual(await points("bucket=day"), [["2026-11-22T00:00:00.000Z", null, 3]]);
    assert.deepEqual(await points("by=team"), [["2026-11-22T00:00:00.000Z", "platform", 3]]);
    assert.equal((await admin.ask("GET", "/api/usage/series")).json.length, 1);
  });

  it("says how long answers took", async (t) => {
    const admin = await startAdmin(t);
    await addCalls(admin);
    const { status, json } = await admin.ask("GET", "/api/latency?from=2026-11-22&to=2026-11-22");
    assert.equal(status, 200);
    const claude = json.find(({ model }: { model: string }) => model === "us.claude");
    assert.deepEqual([claude.duration_p50_ms, claude.first_token_p50_ms], [1500, 300]);
    assert.deepEqual((await admin.ask("GET", "/api/latency?to=2020-01-01")).json, []);
  });

  it("refuses ranges that are too long, and parameters that are none", async (t) => {
    const { ask } = await startAdmin(t);
    const cases: [path: string, field: string][] = [
      ["/api/usage?by=color", "by"],
      ["/api/usage?by=key&by=team", "by"],
      ["/api/usage?form=csv", "form"],
      ["/api/usage?format=xml", "format"],
      ["/api/usage?from=yesterday", "from"],
      ["/api/usage?from=2026-02-30", "from"],
      ["/api/usage?from=2026-12-01&to=2026-11-01", "from"],
      ["/api/usage?to=%00", "to"],
      ["/api/usage?from=99999999999999999999", "from"],
      ["/api/usage?__proto__=1", "__proto__"],
      ["/api/usage/series?bucket=minute", "bucket"],
      ["/api/usage/series?by=day", "by"],
      ["/api/usage/series?bucket=hour&from=2024-01-01&to=2026-01-01", "from"],
      ["/api/usage/series?from=0001-01-01&to=9999-12-31", "from"],
      ["/api/latency?from=2026-01-01&to=2026-12-31", "from"],
      ["/api/calls?limit=0", "limit"],
      ["/api/calls?limit=1001", "limit"],
      ["/api/calls?limit=1e3", "limit"],
      ["/api/calls?limit=-1", "limit"],
      ["/api/calls?status=done", "status"],
      ["/api/audit?limit=9999", "limit"],
      ["/api/audit?before=now", "before"],
      ["/api/budgets?x=1", "x"],
      ["/api/teams?x=1", "x"],
    ];
    for (const [path, field] of cases) {
      const { status, json } = await ask("GET", path);
      assert.deepEqual([status, json.error.field], [400, field], path);
    }
  });

  it("gives up a series with too many points, however short its range", async (t) => {
    const asked: (number | undefined)[] = [];
    const admin = await startAdmin(t);
    const reports: ReportStore = {
      ...admin.store.reports,
      series: async ({ limit = 20_000 }) => {
        asked.push(limit);
        return Array.from({ length: Math.min(limit, 20_000) }, () => ({ ...NOTHING, at: START }));
      },
    };
    const many = await startAdmin(t, { store: { ...admin.store, reports } });
    const { status, json } = await many.ask("GET", "/api/usage/series?by=key");
    assert.equal(status, 400);
    assert.match(json.error.message, /10000 points/);
    assert.deepEqual(asked, [10_001]);
  });

  it("makes few reports at once, keeps some waiting, and sends the others away", async (t) => {
    const admin = await startAdmin(t);
    const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
    const { promise: full, resolve: isFull } = Promise.withResolvers<void>();
    let running = 0;
    let most = 0;
    const reports: ReportStore = {
      ...admin.store.reports,
      totals: async () => {
        running += 1;
        most = Math.max(most, running);
        await finished;
        running -= 1;
        return [];
      },
    };
    const busy = await startAdmin(t, { store: { ...admin.store, reports } });
    let refused = 0;
    const asked = Array.from({ length: 60 }, async () => {
      const { status, headers } = await busy.ask("GET", "/api/usage");
      if (status === 429) {
        assert.ok(Number(headers["retry-after"]) > 0);
        refused += 1;
        if (refused === 28) isFull();
      }
      return status;
    });
    await full;
    assert.equal((await busy.ask("GET", "/api/calls")).status, 429);
    assert.equal((await busy.ask("GET", "/api/keys")).status, 200);
    finish();
    const answered = (await Promise.all(asked)).filter((status) => status === 200);
    assert.deepEqual([answered.length, refused, most], [32, 28, 2]);
    assert.equal((await busy.ask("GET", "/api/usage")).status, 200);
  });
});

describe("calls over HTTP", () => {
  it("come newest first with their costs and times, and no prompt", async (t) => {
    const admin = await startAdmin(t);
    const id = await addCalls(admin);
    const { json } = await admin.ask("GET", "/api/calls");
    assert.deepEqual(
      json.map((call: Record<string, unknown>) => [call.id, call.status]),
      [
        ["c3", "open"],
        ["c2", "error"],
        ["c1", "ok"],
      ],
    );
    assert.deepEqual(json[2], {
      id: "c1",
      call_id: null,
      key_id: id,
      key_name: "=alice",
      team: "platform",
      dialect: "openai-chat",
      model: "us.claude",
      model_requested: "claude",
      region: "us-east-1",
      stream: true,
      status: "ok",
      http_status: 200,
      error_code: null,
      started_at: new Date(START).toISOString(),
      finished_at: new Date(START + 1500).toISOString(),
      duration_ms: 1500,
      first_token_ms: 300,
      input_tokens: 10,
      output_tokens: 20,
      cache_read_tokens: 3,
      cache_write_tokens: 4,
      reasoning_tokens: 5,
      cost_usd: "0.0000015",
      reserved_usd: null,
      estimated: false,
      service_tier: "default",
      bedrock_request_id: "bedrock-1",
    });
    assert.deepEqual([json[0].reserved_usd, json[0].cost_usd, json[0].duration_ms], ["0.000007", null, null]);
  });

  it("are found by key, team, model, status and time, at most as many as asked", async (t) => {
    const admin = await startAdmin(t);
    const id = await addCalls(admin);
    const ids = async (query: string) =>
      (await admin.ask("GET", `/api/calls?${query}`)).json.map((call: { id: string }) => call.id);
    assert.deepEqual(await ids(`key=${id}&limit=2`), ["c3", "c2"]);
    assert.deepEqual(await ids("key=key_none"), []);
    assert.deepEqual(await ids("team=platform&status=open"), ["c3"]);
    assert.deepEqual(await ids("status=error"), ["c2"]);
    assert.deepEqual(await ids("model=us.claude&status=ok"), ["c1"]);
    assert.deepEqual(await ids(`to=${new Date(START + HOUR).toISOString()}`), ["c2", "c1"]);
    assert.deepEqual(await ids(`from=${new Date(START + HOUR).toISOString()}`), ["c3"]);
  });
});

describe("the end of a range of calls", () => {
  it("is the whole day for a day, and not part of it for a time", async (t) => {
    const admin = await startAdmin(t);
    const last = Date.parse("2026-11-22T23:59:59.999Z");
    await addCalls(admin, last);
    const count = async (to: string) =>
      (await admin.ask("GET", `/api/calls?from=2026-11-22T23:00Z&to=${to}`)).json.length;
    assert.equal(await count("2026-11-22"), 1);
    assert.equal(await count("2026-11-22T23:59:59.999Z"), 0);
  });
});

describe("budgets over HTTP", () => {
  it("show what is spent and held, and when they begin anew", async (t) => {
    const admin = await startAdmin(t);
    const id = await addCalls(admin);
    await admin.ask("PUT", "/api/teams/platform", { body: { soft_budget_usd: "5", budget_period: "total" } });
    await admin.ask("PUT", "/api/teams/unlimited", { body: { rpm: 5 } });
    const { json: revoked } = await admin.ask("POST", "/api/keys", { body: { name: "gone", budget_usd: "1" } });
    await admin.ask("POST", `/api/keys/${revoked.id}/revoke`);
    const { json: daily } = await admin.ask("POST", "/api/keys", {
      body: { name: "daily", budget_usd: "1", budget_period: "day" },
    });
    const { json } = await admin.ask("GET", "/api/budgets");
    assert.deepEqual(json, [
      {
        kind: "team",
        id: "platform",
        name: "platform",
        period: "total",
        budget_usd: null,
        soft_budget_usd: "5",
        spent_usd: "0.000003",
        reserved_usd: "0.000007",
        resets_at: null,
      },
      {
        kind: "key",
        id,
        name: "=alice",
        period: "month",
        budget_usd: "50",
        soft_budget_usd: null,
        spent_usd: "0.000003",
        reserved_usd: "0.000007",
        resets_at: "2026-12-01T00:00:00.000Z",
      },
      {
        kind: "key",
        id: daily.id,
        name: "daily",
        period: "day",
        budget_usd: "1",
        soft_budget_usd: null,
        spent_usd: "0",
        reserved_usd: "0",
        resets_at: "2026-11-23T00:00:00.000Z",
      },
    ]);
    assert.equal((await admin.ask("GET", `/api/keys/${id}`)).json.spent_usd, "0.000003");
    assert.equal((await admin.ask("GET", "/api/teams/platform")).json.spent_usd, "0.000003");
  });
});

const NOTHING: Omit<UsageTotals, "name"> = {
  group: null,
  requests: 0,
  errors: 0,
  interrupted: 0,
  estimatedRequests: 0,
  cost: null,
  unpricedRequests: 0,
  inputTokens: 0,
  outputTokens: 0,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
};

/** c1 went well, c2 failed, c3 of an hour later is running; they belong to the key whose id is returned. */
async function addCalls({ ask, store }: Admin, third = START + HOUR): Promise<string> {
  const settings = { name: "=alice", team: "platform", tags: ["a", "b"], budget_usd: "50" };
  const { json: key } = await ask("POST", "/api/keys", { body: settings });
  const open = (id: string, startedAt: number, more: Partial<CallOpening> = {}) =>
    store.calls.open({
      id,
      keyId: key.id,
      team: "platform",
      instance: "i",
      dialect: "openai-chat",
      modelRequested: "claude",
      modelInvoked: "us.claude",
      region: "us-east-1",
      stream: true,
      startedAt,
      inputEstimate: 1,
      reserved: 7_000_000n,
      budgets: [{ subject: `key:${key.id}`, period: "month", limit: 50n * 10n ** 12n }],
      ...more,
    });
  await open("c1", START);
  await open("c2", START + 1000);
  await open("c3", third, { modelInvoked: "us.nova" });
  await store.calls.close("c1", CLOSING);
  const failed = { ...CLOSING, status: "error", httpStatus: 400, errorCode: "invalid_request" } as const;
  await store.calls.close("c2", { ...failed, finishedAt: START + 2000 });
  return key.id;
}
