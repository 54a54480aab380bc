/** What is written down of a call: one row, one log line, one access log line, all with Bedrock's numbers and no secret. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { isJsonObject } from "../../src/json.ts";
import { fails, type ScriptedAnswer, says } from "../../src/simulator/simulator.ts";
import { parseUsd } from "../../src/usage/cost.ts";
import { ask, readSse, startTestGateway, uniqueModel } from "./harness.ts";

const gateway = await startTestGateway({
  operator: `prices:
    - {match: "test.*", input: 1, output: 2, cache_read: 0.1, cache_write_5m: 1.25, cache_write_1h: 2}`,
});
after(() => gateway.stop());

const USAGE = {
  inputTokens: 101,
  outputTokens: 23,
  totalTokens: 1524,
  cacheReadInputTokens: 1_000,
  cacheWriteInputTokens: 400,
  cacheDetails: [
    { ttl: "5m", inputTokens: 300 },
    { ttl: "1h", inputTokens: 100 },
  ],
};
/** 101 × 1, 23 × 2, 1,000 × 0.1, 300 × 1.25 and 100 × 2 USD per million. */
const COST = "0.000822";
const LEDGER = {
  inputTokens: 101,
  outputTokens: 23,
  cacheReadTokens: 1_000,
  cacheWriteTokens: 400,
  cacheWrite1hTokens: 100,
};

describe("the ledger", { concurrency: true }, () => {
  for (const stream of [false, true]) {
    it(`has one row for an answered call, with Bedrock's own numbers${stream ? ", for a stream" : ""}`, async () => {
      const { model, key, keyId } = await scene(says("Hello there!", { usage: USAGE }));
      const before = Date.now();
      const response = await gateway.chat(ask(model, { stream }), { key });
      await response.text();
      const row = await gateway.closedCall(response.headers.get("x-request-id"));
      assert.deepEqual(await rows(keyId), [row]);
      assert.deepEqual(
        [row.dialect, row.modelRequested, row.modelInvoked, row.region, row.stream],
        ["openai-chat", model, model, "us-east-1", stream],
      );
      const { closing } = row;
      assert.ok(closing);
      assert.deepEqual(
        [closing.status, closing.httpStatus, closing.errorCode, closing.estimated, closing.usage],
        ["ok", 200, undefined, false, LEDGER],
      );
      assert.equal(closing.cost, parseUsd(COST));
      assert.equal(response.headers.get("x-gateway-cost"), stream ? null : COST);
      assert.equal(closing.bedrockRequestId, response.headers.get("x-amzn-requestid"));
      const times = [before, row.startedAt, closing.firstTokenAt ?? 0, closing.finishedAt, Date.now()];
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
      );
    });
  }

  it("has one row for a call that Envoy sent again, and the access log its attempts", async () => {
    const { model, key, keyId } = await scene(
      fails("ThrottlingException", { times: 2 }),
      says("At last.", { usage: USAGE }),
    );
    const response = await gateway.chat(ask(model), { key });
    assert.equal(response.status, 200, await response.text());
    assert.equal((await gateway.accessLine(response.headers.get("x-request-id"))).attempts, 3);
    const [row, ...others] = await rows(keyId);
    assert.deepEqual([row?.closing?.usage, others], [LEDGER, []]);
    const bodies = gateway.simulator.requests.filter(({ modelId }) => modelId === model).map(({ body }) => body);
    assert.equal(bodies.length, 3);
    assert.equal(new Set(bodies).size, 1);
  });

  it("has one row for a call that failed three times, with no tokens", async () => {
    const { model, key, keyId } = await scene(fails("ServiceUnavailableException", { times: 3 }));
    const response = await gateway.chat(ask(model), { key });
    assert.equal(response.status, 503, await response.text());
    assert.equal((await gateway.accessLine(response.headers.get("x-request-id"))).attempts, 3);
    const [row, ...others] = await rows(keyId);
    assert.deepEqual(
      [row?.closing?.errorCode, row?.closing?.usage.inputTokens, others],
      ["upstream_unavailable", 0, []],
    );
    assert.equal(row?.closing?.cost, 0n);
    assert.equal(response.headers.get("x-gateway-cost"), null);
  });

  it("has a row and a cost for each choice, and their sum on the answer", async () => {
    const { model, key, keyId } = await scene(says("Hello there!", { usage: USAGE, times: 2 }));
    const response = await gateway.chat(ask(model, { n: 2 }), { key });
    await response.text();
    const costs = (await rows(keyId)).map(({ closing }) => closing?.cost);
    assert.deepEqual(costs, [parseUsd(COST), parseUsd(COST)]);
    assert.equal(response.headers.get("x-gateway-cost"), "0.001644");
  });

  it("does not send a refused request again", async () => {
    const { model, key } = await scene(fails("ValidationException"), says("wrong"));
    const response = await gateway.chat(ask(model), { key });
    assert.equal(response.status, 400, await response.text());
    assert.equal((await gateway.accessLine(response.headers.get("x-request-id"))).attempts, 1);
  });

  it("marks a call as interrupted and estimated when its client leaves a stream", async () => {
    const { model, key, keyId } = await scene(says("one two three four five six seven eight", { pace: 300 }));
    const abort = new AbortController();
    const response = await gateway.chat(ask(model, { stream: true }), { key, signal: abort.signal });
    const { complete } = await readSse(response, (text) => text.includes('"content":"one') && abort.abort());
    assert.equal(complete, false);
    const row = await gateway.closedCall(response.headers.get("x-request-id"));
    assert.deepEqual(await rows(keyId), [row]);
    assert.deepEqual(
      [row.closing?.status, row.closing?.httpStatus, row.closing?.estimated],
      ["interrupted", 200, true],
    );
    assert.ok((row.closing?.usage.inputTokens ?? 0) > 0 && (row.closing?.usage.outputTokens ?? 0) > 0);
  });

  it("marks a call as interrupted when its client leaves before any answer", async () => {
    const { model, key, keyId } = await scene(says("late", { delay: 60_000 }));
    const abort = new AbortController();
    const response = gateway.chat(ask(model), { key, signal: abort.signal });
    const { headers } = await gateway.simulator.waitFor(({ modelId }) => modelId === model);
    abort.abort();
    await assert.rejects(response, { name: "AbortError" });
    const row = await gateway.closedCall(String(headers["x-request-id"]));
    assert.deepEqual([row.keyId, row.closing?.status, row.closing?.httpStatus], [keyId, "interrupted", 499]);
    assert.equal(row.closing?.estimated, true);
    assert.ok((row.closing?.usage.inputTokens ?? 0) > 0);
  });

  it("adds up to what Bedrock counted", async () => {
    const { model, key, keyId } = await scene(
      says("a", { usage: { inputTokens: 1, outputTokens: 2, totalTokens: 3 }, times: 20 }),
    );
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const response = await gateway.chat(ask(model, { stream: index % 2 === 0 }), { key });
        await response.text();
        await gateway.closedCall(response.headers.get("x-request-id"));
      }),
    );
    const total = (await gateway.store.reports.totals({ by: "key" })).find(({ group }) => group === keyId);
    assert.deepEqual([total?.requests, total?.inputTokens, total?.outputTokens], [20, 20, 40]);
    assert.deepEqual([total?.cost, total?.unpricedRequests], [parseUsd("0.0001"), 0]);
  });
});

describe("the logs", { concurrency: true }, () => {
  for (const stream of [false, true]) {
    it(`name key, model, tokens and times${stream ? " of a stream" : ""}`, async () => {
      const { model, key, keyId } = await scene(says("Hello there!", { usage: USAGE }));
      const response = await gateway.chat(ask(model, { stream }), { key, path: "/chat/completions?x=secret-in-query" });
      const { length } = await response.text();
      const id = response.headers.get("x-request-id");
      const line = await gateway.accessLine(id);
      assert.deepEqual(
        [line.method, line.path, line.status, line.attempts, line.client, line.protocol],
        ["POST", "/chat/completions", 200, 1, "127.0.0.1", "HTTP/1.1"],
      );
      assert.ok(Number(line.bytes_sent) >= length && Number(line.duration_ms) >= Number(line.first_byte_ms));
      assert.ok(isJsonObject(line.gateway));
      const { first_token_ms, duration_ms, ...told } = line.gateway;
      assert.ok(typeof first_token_ms === "number" && typeof duration_ms === "number");
      assert.deepEqual(told, {
        route: "plaintext",
        key_id: keyId,
        dialect: "openai-chat",
        model,
        region: "us-east-1",
        stream,
        attempts: 1,
        input_tokens: 101,
        output_tokens: 23,
        cache_read_tokens: 1_000,
        cache_write_tokens: 400,
        estimated: false,
        cost_usd: COST,
      });
      const logged = await gateway.serviceLine(id);
      assert.equal(logged.cost_usd, COST);
      assert.deepEqual(
        [logged.level, logged.msg, logged.key_id, logged.model, logged.outcome, logged.status, logged.input_tokens],
        ["info", "call", keyId, model, "ok", 200, 101],
      );
    });
  }

  it("tell of an error in a stream, whose status is 200", async () => {
    const { model, key } = await scene({
      kind: "events",
      steps: [
        { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: "Begin" } } },
        { exception: "modelStreamErrorException", payload: { message: "Failed." } },
      ],
    });
    const response = await gateway.chat(ask(model, { stream: true }), { key });
    await response.text();
    const line = await gateway.accessLine(response.headers.get("x-request-id"));
    assert.ok(isJsonObject(line.gateway));
    assert.deepEqual([line.status, line.gateway.error, line.gateway.estimated], [200, "model_error", true]);
  });
});

async function scene(...answers: ScriptedAnswer[]): Promise<{ model: string; key: string; keyId: string }> {
  const model = uniqueModel();
  gateway.simulator.scriptModel(model, answers);
  const { key, secret } = await gateway.keys.create({ name: model });
  return { model, key: secret, keyId: key.id };
}

async function rows(keyId: string) {
  return (await gateway.usage()).filter((call) => call.keyId === keyId);
}
