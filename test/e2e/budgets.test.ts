/** Budgets against who tries to spend more. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { parseUsd } from "../../src/money.ts";
import { says } from "../../src/simulator/answer.ts";
import { ask, readError, startTestGateway, until } from "./harness.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());

describe("a budget", { concurrency: true }, () => {
  it("holds all choices of a call, for as long as one of them runs, however many calls come at once", async () => {
    // 0.24 USD per million output tokens: eight choices of 1,000 may cost 0.00192 USD.
    const model = "amazon.nova-lite-v1:0";
    const { key, secret } = await gateway.keys.create({ name: "choices", budget: parseUsd("0.0019") });
    const usage = { inputTokens: 1, outputTokens: 1_000, totalTokens: 1_001 };
    gateway.simulator.scriptModel(model, [
      says("at once", { usage, delay: 100 }),
      says("later", { usage, delay: 1_500, times: 7 }),
    ]);
    const body = ask(model, { n: 8, max_tokens: 1_000 });
    const first = gateway.chat(body, { key: secret });
    await until("seven choices that wait", () => {
      const seen = gateway.simulator.requests.filter(({ modelId }) => modelId === model);
      return seen.length === 8 && seen.filter(({ done }) => done).length === 1 ? true : undefined;
    });
    const others = await Promise.all(Array.from({ length: 20 }, () => gateway.chat(body, { key: secret })));
    for (const other of others) assert.equal((await readError(other)).code, "insufficient_quota");
    assert.equal((await first).status, 200, await (await first).text());
    const budget = { subject: `key:${key.id}`, period: "month", limit: undefined } as const;
    const [state] = await gateway.store.calls.budgets([budget], Date.now());
    assert.deepEqual([state?.spent, state?.reserved], [8n * (60_000n + 1_000n * 240_000n), 0n]);
  });

  it("refuses what has no price, by its model or by what the client asks of it, before it is forwarded", async () => {
    const { secret } = await gateway.keys.create({ name: "unpriced", budget: parseUsd("50") });
    const model = "amazon.nova-micro-v1:0";
    for (const body of [
      ask("test.unpriced-v1:0"),
      ask(model, { service_tier: "priority" }),
      ask(model, { performance_config: { latency: "optimized" } }),
    ]) {
      const error = await readError(await gateway.chat(body, { key: secret }));
      assert.deepEqual([error.status, error.code, error.param], [403, "model_not_allowed", "model"]);
    }
    const seen = gateway.simulator.requests.map(({ modelId }) => modelId);
    assert.ok(!seen.includes(model) && !seen.includes("test.unpriced-v1:0"));
    const priced = await gateway.chat(ask(model), { key: secret });
    assert.equal(priced.status, 200, await priced.text());
  });
});
