/** Two gateways, each with its Envoy, on one PostgreSQL and one Valkey or Redis. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createKeys, type IssuedKey } from "../../src/access/keys.ts";
import { parseUsd } from "../../src/money.ts";
import { says } from "../../src/simulator/answer.ts";
import { type Simulator, startSimulator } from "../../src/simulator/simulator.ts";
import type { Call } from "../../src/store/store.ts";
import { postgresMissing, sharedPostgres } from "../servers/postgres.ts";
import { type RedisServer, redisMissing, startRedis } from "../servers/redis.ts";
import { ask, readError, until } from "./harness.ts";
import { type SplitGateway, startSplitGateway } from "./split-gateway.ts";

/** Priced: 0.24 USD per million output tokens. */
const MODEL = "amazon.nova-lite-v1:0";
const REVOKED_MS = 2_000;
/** A gateway is given up 20 s after its last sign of life; it is looked for every 10 s. */
const SWEPT_MS = 40_000;

const skip = postgresMissing() ?? redisMissing;

describe("two gateways on one PostgreSQL and one Valkey", { skip }, () => {
  let redis: RedisServer;
  let simulator: Simulator;
  let replicas: readonly SplitGateway[] = [];

  before(async () => {
    const databaseUrl = await (await sharedPostgres()).createDatabase();
    redis = await startRedis();
    simulator = await startSimulator();
    const shared = { databaseUrl, simulator, env: { REDIS_URL: redis.url } };
    replicas = await Promise.all([startSplitGateway(shared), startSplitGateway(shared)]);
  });
  after(async () => {
    for (const replica of replicas) await replica[Symbol.asyncDispose]();
    await simulator?.close();
    await redis?.end();
  });

  const replica = (index: number): SplitGateway => replicas[index % replicas.length] ?? assert.fail("no replica");
  const keys = () => createKeys(replica(0).store, { now: Date.now, randomBytes, by: "test" });
  const send = (index: number, { secret }: IssuedKey, body: unknown) =>
    fetch(`${replica(index).url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });

  /** `count` requests at once, in turn to the one and the other. */
  const together = (count: number, issued: IssuedKey, body: unknown) =>
    Promise.all(Array.from({ length: count }, (_, index) => send(index, issued, body)));

  it("let exactly 10 of 40 parallel requests pass where 10 per minute are allowed", async () => {
    const issued = await keys().create({ name: "ten", rpm: 10 });
    const answers = await together(40, issued, ask(MODEL));
    assert.equal(answers.filter(({ status }) => status === 200).length, 10);
    const refused = answers.filter(({ status }) => status === 429);
    assert.equal(refused.length, 30);
    for (const { headers } of refused) assert.match(headers.get("retry-after") ?? "", /^([1-9]|[1-5]\d|60)$/);
    await Promise.all(answers.map((answer) => answer.text()));
  });

  it("share places for parallel requests, which are free again when answers end", async () => {
    const issued = await keys().create({ name: "three at once", parallel: 3 });
    simulator.scriptModel(MODEL, says("slow", { delay: 500, times: 3 }));
    const answers = await together(12, issued, ask(MODEL));
    assert.equal(answers.filter(({ status }) => status === 200).length, 3);
    await Promise.all(answers.map((answer) => answer.text()));
    const again = await together(3, issued, ask(MODEL));
    assert.deepEqual(
      again.map(({ status }) => status),
      [200, 200, 200],
    );
    await Promise.all(again.map((answer) => answer.text()));
  });

  it("hold one budget, with what is in flight at the other one", async () => {
    // 1,000 tokens of answer may cost 0.00024 USD: one call holds more than the budget.
    const issued = await keys().create({ name: "budget", budget: parseUsd("0.0002"), budgetPeriod: "day" });
    simulator.scriptModel(
      MODEL,
      says("dear", { delay: 500, usage: { inputTokens: 1, outputTokens: 900, totalTokens: 901 } }),
    );
    const answers = await together(20, issued, ask(MODEL, { max_tokens: 1_000 }));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    const refused = answers.find(({ status }) => status === 429) ?? assert.fail("nothing was refused");
    assert.equal(refused.headers.get("x-should-retry"), "false");
    assert.equal((await readError(refused)).code, "insufficient_quota");
    // Spent: 900 × 0.24 + 1 × 0.06 millionths of a dollar, above the budget; refused at both.
    for (const index of [0, 1]) assert.equal((await send(index, issued, ask(MODEL))).status, 429);
  });

  it("refuse a key that was revoked or blocked anywhere, within two seconds", async () => {
    const issued = await keys().create({ name: "revoked" });
    for (const index of [0, 1]) assert.equal((await send(index, issued, ask(MODEL))).status, 200);
    await keys().revoke(issued.key.id);
    await sleep(REVOKED_MS);
    for (const index of [0, 1]) assert.equal((await send(index, issued, ask(MODEL))).status, 401);
  });

  it("keep an exact ledger when one of them is killed under load", async (t) => {
    const issued = await keys().create({ name: "load", rpm: 100_000, tpm: 100_000_000, budget: parseUsd("1000") });
    const { id } = issued.key;
    const before = simulator.requests.length;
    simulator.scriptModel(MODEL, says("one two three", { delay: 50, pace: 20, times: 1_000 }));
    const answered: string[] = [];
    let killed = false;

    async function client(index: number): Promise<void> {
      for (let turn = 0; turn < 25; turn += 1) {
        const stream = turn % 3 === 0;
        const answer = await send(index, issued, ask(MODEL, { stream })).catch(() => undefined);
        const text = await answer?.text().catch(() => undefined);
        const whole = text !== undefined && answer?.status === 200 && (!stream || text.endsWith("data: [DONE]\n\n"));
        if (whole) answered.push(answer.headers.get("x-request-id") ?? "");
        if (!killed && answered.length > 100) {
          killed = true;
          process.kill(replica(0).service.pid, "SIGKILL");
        }
      }
    }
    await Promise.all(Array.from({ length: 16 }, (_, index) => client(index)));
    assert.ok(killed);

    const rows = async () => {
      const listed = await replica(1).store.calls.list({ keyId: id, limit: 1_000 });
      return new Map(listed.map((row) => [row.id, row] as const));
    };
    const open = (call: Call) => call.closing === undefined;
    const closed = await until(
      "the killed gateway's rows are closed",
      async () => {
        const all = await rows();
        return [...all.values()].some(open) ? undefined : all;
      },
      SWEPT_MS,
    );
    const lost = [...closed.values()].filter(({ closing }) => closing?.errorCode === "gateway_lost");
    const seen = simulator.requests.slice(before).filter(({ json }) => keyIdOf(json) === id);
    t.diagnostic(`${answered.length} answered, ${seen.length} at Bedrock, ${closed.size} rows, ${lost.length} lost`);

    assert.ok(lost.length > 0, "no call was in flight when the gateway was killed");
    // Whatever reached Bedrock has one row; a row may be of a call that was killed just before it went out.
    assert.ok(closed.size >= seen.length && closed.size - seen.length <= lost.length);
    for (const { closing } of lost) {
      assert.deepEqual([closing?.status, closing?.estimated], ["interrupted", true]);
      assert.ok(closing !== undefined && closing.usage.inputTokens > 0 && closing.cost !== undefined);
    }
    // An answer that came whole was closed as such, but for those whose gateway died with the row's closing on its way.
    const unsettled = answered.filter((requestId) => closed.get(requestId)?.closing?.status !== "ok");
    assert.ok(unsettled.length <= lost.length, `${unsettled.length} answers without their row`);
    for (const requestId of answered) assert.ok(closed.has(requestId), requestId);

    const [total] = (await replica(1).store.reports.totals({ by: "key" })).filter(({ group }) => group === id);
    const sum = [...closed.values()].reduce((cost, { closing }) => cost + (closing?.cost ?? 0n), 0n);
    assert.deepEqual([total?.requests, total?.cost], [closed.size, sum]);
    const budget = { subject: `key:${id}`, period: "month", limit: undefined } as const;
    const [state] = await replica(1).store.calls.budgets([budget], Date.now());
    assert.deepEqual([state?.spent, state?.reserved], [sum, 0n]);
  });

  it("take the killed one back", async () => {
    await replica(0).startService();
    const issued = await keys().create({ name: "back" });
    await until("an answer", async () => ((await send(0, issued, ask(MODEL))).status === 200 ? true : undefined));
  });
});

/** Each call carries its key's id for AWS's own log. */
function keyIdOf(body: unknown): unknown {
  if (typeof body !== "object" || body === null || !("requestMetadata" in body)) return undefined;
  const metadata: unknown = body.requestMetadata;
  return typeof metadata === "object" && metadata !== null && "gateway_key_id" in metadata
    ? metadata.gateway_key_id
    : undefined;
}
