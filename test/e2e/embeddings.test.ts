/** Embeddings through the whole gateway: many calls for one request, their rows, limits, failures and ends. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as v from "valibot";
import { isJsonObject } from "../../src/json.ts";
import { parseUsd } from "../../src/money.ts";
import { fails } from "../../src/simulator/answer.ts";
import { readError, startTestGateway, type TestGateway, until } from "./harness.ts";

const ONE_AT_A_TIME = "amazon.titan-embed-text-v2:0";
const MANY_AT_ONCE = "cohere.embed-english-v3";

let gateway: TestGateway;
before(async () => {
  gateway = await startTestGateway({ env: { LOG_LEVEL: "info" } });
});
after(() => gateway.stop());

const Answer = v.object({
  data: v.array(v.object({ embedding: v.string() })),
  usage: v.object({ prompt_tokens: v.number() }),
});
const read = async (response: Response) => v.parse(Answer, await response.json());
const texts = (count: number) => Array.from({ length: count }, (_, n) => `text ${n}`);
/** As base64, which is what SDKs ask for. */
const embed = (body: object, init: { key?: string; signal?: AbortSignal } = {}) =>
  gateway.chat({ encoding_format: "base64", ...body }, { path: "/v1/embeddings", ...init });

/** The rows of one request, its first call before the further ones. */
async function rowsOf(response: Response) {
  const id = response.headers.get("x-request-id") ?? "";
  const rows = await gateway.store.calls.list({ limit: 1_000 });
  return rows.filter((row) => row.id === id || row.callId === id).toSorted((a, b) => a.id.length - b.id.length);
}

describe("a request for embeddings", () => {
  it("becomes as many calls as the model needs, each with its row, cost and signature", async () => {
    const response = await embed({ model: ONE_AT_A_TIME, input: texts(20) });
    assert.equal(response.status, 200);
    const body = await read(response);
    assert.equal(body.data.length, 20);
    const rows = await rowsOf(response);
    assert.deepEqual(
      rows.map(({ dialect, modelInvoked, closing }) => [dialect, modelInvoked, closing?.status, closing?.estimated]),
      Array(20).fill(["openai-embeddings", ONE_AT_A_TIME, "ok", false]),
    );
    const tokens = rows.reduce((sum, { closing }) => sum + (closing?.usage.inputTokens ?? 0), 0);
    assert.equal(body.usage.prompt_tokens, tokens);
    // 0.02 USD per million tokens.
    assert.equal(response.headers.get("x-gateway-cost"), costText(BigInt(tokens) * 20_000n));
    const seen = gateway.simulator.requests.filter(({ modelId }) => modelId === ONE_AT_A_TIME);
    assert.ok(seen.length >= 20 && seen.every(({ leaks, status }) => leaks.length === 0 && status === 200));
    const line = await gateway.accessLine(response.headers.get("x-request-id") ?? "");
    assert.ok(isJsonObject(line.gateway));
    assert.deepEqual([line.gateway.attempts, line.gateway.input_tokens], [20, tokens]);
  });

  it("of 2,048 inputs is answered whole and in order, and one more is refused", async () => {
    const response = await embed({ model: MANY_AT_ONCE, input: texts(2_048) });
    const { data } = await read(response);
    const [alone] = (await read(await embed({ model: MANY_AT_ONCE, input: "text 2000" }))).data;
    assert.deepEqual(data[2_000]?.embedding, alone?.embedding);
    assert.equal((await rowsOf(response)).length, Math.ceil(2_048 / 96));
    const error = await readError(await embed({ model: MANY_AT_ONCE, input: texts(2_049) }));
    assert.deepEqual([error.status, error.param], [400, "input"]);
  });

  it("counts as one request, and its tokens against the minute and the budget", async () => {
    const { key, secret } = await gateway.keys.create({ name: "e", rpm: 2, tpm: 1_000, budget: parseUsd("1") });
    const response = await embed({ model: ONE_AT_A_TIME, input: texts(10) }, { key: secret });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("x-ratelimit-remaining-requests"), "1");
    assert.match(response.headers.get("x-ratelimit-remaining-tokens") ?? "", /^\d+$/);
    const long = await readError(await embed({ model: ONE_AT_A_TIME, input: "word ".repeat(4_000) }, { key: secret }));
    assert.deepEqual([long.status, long.code], [429, "rate_limit_exceeded"]);
    const subject = `key:${key.id}` as const;
    const [state] = await gateway.store.calls.budgets([{ subject, period: "month", limit: undefined }], Date.now());
    assert.ok(state !== undefined && state.spent > 0n);
    assert.equal(state.reserved, 0n);
  });

  it("fails as a whole with Bedrock's error; rows of what was done are charged, the others are free", async () => {
    gateway.simulator.scriptModel(MANY_AT_ONCE, fails("ValidationException", { times: 1 }));
    const response = await embed({ model: MANY_AT_ONCE, input: texts(200) });
    const error = await readError(response.clone());
    assert.equal(error.status, 400);
    const rows = await until("closed rows", async () => {
      const all = await rowsOf(response);
      return all.length > 0 && all.every(({ closing }) => closing !== undefined) ? all : undefined;
    });
    assert.deepEqual(
      rows.map(({ closing }) => [closing?.status, closing?.cost]),
      [["error", 0n]],
    );
  });

  it("ends with the client that asked for it", async () => {
    const model = "amazon.titan-embed-text-v1";
    const abort = new AbortController();
    const asked = embed({ model, input: texts(500) }, { signal: abort.signal });
    await gateway.simulator.waitFor(({ modelId }) => modelId === model);
    abort.abort();
    await assert.rejects(asked);
    await until("no open row", async () => {
      const open = await gateway.store.calls.list({ status: "open", limit: 10 });
      return open.length === 0 || undefined;
    });
    const calls = gateway.simulator.requests.filter(({ modelId }) => modelId === model).length;
    assert.ok(calls < 500, `${calls} calls`);
  });

  it("is refused for a chat model, and for one outside the key's list", async () => {
    const chat = await readError(await embed({ model: "amazon.nova-lite-v1:0", input: "x" }));
    assert.deepEqual([chat.status, chat.param], [400, "model"]);
    const { secret } = await gateway.keys.create({ name: "chat only", models: ["amazon.nova-*"] });
    const other = await readError(await embed({ model: MANY_AT_ONCE, input: "x" }, { key: secret }));
    assert.deepEqual([other.status, other.code], [403, "model_not_allowed"]);
  });
});

function costText(pico: bigint): string {
  return `0.${String(pico).padStart(12, "0").replace(/0+$/, "")}`;
}
