import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { GatewayError } from "../../src/errors.ts";
import {
  type Budget,
  type BudgetState,
  type CallClosing,
  type CallOpening,
  type OpenedCall,
  StoreConflict,
} from "../../src/store/store.ts";
import { type CallStart, createCallRecorder, type ObserveCall } from "../../src/usage/call-record.ts";
import { createPrices, type Prices } from "../../src/usage/prices.ts";

const START: CallStart = {
  id: "r-1",
  key: { id: "key_1", team: "core" },
  budgets: [],
  dialect: "openai-chat",
  modelRequested: "nova",
  modelInvoked: "us.amazon.nova-lite-v1:0",
  region: "us-east-1",
  foundationModel: "amazon.nova-lite-v1:0",
  request: {},
  inputEstimate: 10,
  stream: true,
  startedAt: 1_000,
};

const BUDGET: Budget = { subject: "key:key_1", period: "month", limit: 1_000n };

const NONE = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };
const USAGE = { inputTokens: 3, outputTokens: 4 };
const COUNTED = { inputTokens: 3, outputTokens: 4, cacheReadTokens: 0, cacheWriteTokens: 0, cacheWrite1hTokens: 0 };
const REFUSED = new GatewayError("rate_limit_exceeded", "slow");

describe("opening a call's record", () => {
  it("writes the row, and nothing of the prompt", async () => {
    const { open, opened } = setUp();
    await open();
    assert.deepEqual(opened, [
      {
        id: "r-1",
        keyId: "key_1",
        team: "core",
        instance: "i-1",
        dialect: "openai-chat",
        modelRequested: "nova",
        modelInvoked: "us.amazon.nova-lite-v1:0",
        foundationModel: "amazon.nova-lite-v1:0",
        region: "us-east-1",
        inputEstimate: 10,
        reserved: 0n,
        budgets: [],
        stream: true,
        startedAt: 1_000,
      },
    ]);
  });

  it("reserves what the call may cost at most, where a budget counts", async () => {
    const { recorder, opened } = setUp();
    const request = { ...START.request, inferenceConfig: { maxTokens: 100 } };
    await recorder.open({ ...START, budgets: [BUDGET], request });
    await recorder.open({ ...START, budgets: [BUDGET], request, choices: 3 });
    await recorder.open({ ...START, request });
    assert.deepEqual(
      opened.map(({ budgets, reserved }) => [budgets.length, reserved]),
      [
        [1, 10n * 60_000n + 100n * 240_000n],
        [1, 3n * (10n * 60_000n + 100n * 240_000n)],
        [0, 0n],
      ],
    );
  });

  it("refuses under a budget what has no price: the model, or the tier or latency that is asked for", async () => {
    const { recorder, opened } = setUp();
    const unpriced: Partial<CallStart>[] = [
      { modelInvoked: "test.unknown", foundationModel: undefined },
      { request: { serviceTier: { type: "priority" } } },
      { request: { performanceConfig: { latency: "optimized" } } },
    ];
    for (const more of unpriced) {
      const refused = { code: "model_not_allowed", param: "model" };
      await assert.rejects(recorder.open({ ...START, budgets: [BUDGET], ...more }), refused);
      assert.equal(opened.length, 0);
    }
    const soft = { ...BUDGET, limit: undefined };
    for (const more of unpriced)
      for (const budgets of [[], [soft]]) await recorder.open({ ...START, budgets, ...more });
    assert.equal(opened.length, 6);
    const lenient = setUp({ allowUnpriced: true });
    for (const more of unpriced) await lenient.recorder.open({ ...START, budgets: [BUDGET], ...more });
    assert.equal(lenient.opened.length, 3);
  });

  it("reserves nothing where the pricing fails, and opens the call all the same", async () => {
    const fault = new Error("no such tier");
    const prices: Prices = {
      priceOf() {
        throw fault;
      },
    };
    const { recorder, opened, faults } = setUp({ prices });
    await recorder.open({ ...START, budgets: [BUDGET] });
    assert.deepEqual([opened[0]?.reserved, faults], [0n, [[fault, "r-1"]]]);
  });

  it("hands on what the budgets were before the call", async () => {
    const states: BudgetState[] = [{ budget: BUDGET, spent: 5n, reserved: 6n }];
    const { recorder } = setUp({ open: async () => ({ opened: true, budgets: states }) });
    assert.deepEqual((await recorder.open({ ...START, budgets: [BUDGET] })).budgets, states);
  });

  it("fails with what the budgets' owner says when one of them is spent, and with a quota's error where it says nothing", async () => {
    const states: BudgetState[] = [{ budget: BUDGET, spent: 1_000n, reserved: 0n }];
    for (const refusal of [new GatewayError("insufficient_quota", "team core has spent it"), undefined]) {
      const { recorder } = setUp({ open: async () => ({ opened: false, budgets: states }), refusal });
      await assert.rejects(recorder.open({ ...START, budgets: [BUDGET] }), (error) => {
        assert.ok(error instanceof GatewayError);
        assert.equal(error.code, "insufficient_quota");
        if (refusal !== undefined) assert.equal(error, refusal);
        return true;
      });
    }
  });

  it("refuses a request whose id another call has, which is no fault of the database", async () => {
    const { recorder, faults } = setUp({
      open: async () => {
        throw new StoreConflict("call r-1 runs already");
      },
    });
    await assert.rejects(recorder.open(START), { code: "invalid_request", message: /x-request-id/ });
    assert.deepEqual(faults, []);
  });

  it("fails with unavailable when the row can't be written", async () => {
    const { recorder, faults } = setUp({ open: () => Promise.reject(new Error("disk full")) });
    await assert.rejects(recorder.open(START), (error) => {
      assert.ok(error instanceof GatewayError && error.cause instanceof Error);
      assert.deepEqual([error.code, error.retryAfter], ["unavailable", 1]);
      assert.equal(error.cause.message, "disk full");
      assert.doesNotMatch(error.message, /disk/);
      return true;
    });
    assert.deepEqual(faults, [["not opened"]]);
  });
});

describe("ending a call's record", () => {
  it("closes a completed call with Bedrock's counts, times and request id", async () => {
    const { open, closed, clock } = setUp();
    const record = await open();
    record.answered(200, "b-1");
    clock.now = 1_500;
    record.meter.stage.push({ type: "contentBlockDelta", index: 0, delta: { text: "hi" } });
    record.meter.stage.push({ type: "metadata", usage: USAGE });
    clock.now = 2_000;
    await record.completed(200);
    assert.deepEqual(closed, [
      {
        status: "ok",
        httpStatus: 200,
        usage: COUNTED,
        estimated: false,
        cost: 1_140_000n,
        finishedAt: 2_000,
        firstTokenAt: 1_500,
        bedrockRequestId: "b-1",
      },
    ]);
  });

  it("closes a completed call whose counts never came as an estimate", async () => {
    const { open, closed } = setUp();
    const record = await open();
    record.meter.stage.push({ type: "contentBlockDelta", index: 0, delta: { text: "x".repeat(8) } });
    await record.completed(200);
    assert.equal(closed[0]?.estimated, true);
    assert.deepEqual(closed[0]?.usage, { ...NONE, inputTokens: 10, outputTokens: 2 });
  });

  it("closes a call that Bedrock refused with its error and no cost", async () => {
    const { open, closed } = setUp();
    const record = await open();
    record.answered(429, "b-1");
    await record.failed(REFUSED, 429);
    assert.deepEqual(closed, [
      {
        status: "error",
        httpStatus: 429,
        errorCode: "rate_limit_exceeded",
        usage: NONE,
        estimated: false,
        cost: 0n,
        finishedAt: 1_000,
        bedrockRequestId: "b-1",
      },
    ]);
  });

  it("closes a stream that failed after its first token with what it had used", async () => {
    const { open, closed } = setUp();
    const record = await open();
    record.answered(200, "b-1");
    record.meter.stage.push({ type: "contentBlockDelta", index: 0, delta: { text: "x".repeat(8) } });
    await record.failed(REFUSED, 200);
    assert.deepEqual(closed[0]?.usage, { ...NONE, inputTokens: 10, outputTokens: 2 });
    assert.equal(closed[0]?.estimated, true);
    assert.equal(closed[0]?.httpStatus, 200);
  });

  it("estimates a call whose connection broke after it had gone out", async () => {
    const { open, closed } = setUp();
    const record = await open();
    record.lost();
    await record.failed(new GatewayError("upstream_invalid_response", "broke"), 502);
    assert.deepEqual(closed[0]?.usage, { ...NONE, inputTokens: 10 });
    assert.equal(closed[0]?.estimated, true);
  });

  it("estimates an interrupted call, with what its client had been sent", async () => {
    for (const status of [200, 499]) {
      const { open, closed } = setUp();
      const record = await open();
      if (status === 200) record.answered(200, "b-1");
      await record.interrupted(status);
      assert.deepEqual(
        [closed[0]?.status, closed[0]?.httpStatus, closed[0]?.estimated, closed[0]?.usage.inputTokens],
        ["interrupted", status, true, 10],
      );
    }
  });

  it("charges nothing when the client leaves while Bedrock's refusal is read, or before the request went out", async () => {
    const refused = setUp();
    const record = await refused.open();
    record.answered(400, "b-1");
    await record.interrupted(499);
    const early = setUp();
    await (await early.open()).abandoned();
    for (const { closed } of [refused, early]) {
      assert.equal(closed[0]?.status, "interrupted");
      assert.equal(closed[0]?.httpStatus, 499);
      assert.deepEqual(closed[0]?.usage, NONE);
      assert.equal(closed[0]?.estimated, false);
    }
  });

  it("counts the first end alone, and logs one line", async () => {
    const { open, closed, lines } = setUp();
    const record = await open();
    await Promise.all([
      record.completed(200),
      record.interrupted(200),
      record.failed(REFUSED, 429),
      record.abandoned(),
    ]);
    assert.deepEqual(
      closed.map(({ status }) => status),
      ["ok"],
    );
    assert.equal(lines.length, 1);
  });

  it("reports a row that can't be closed, and goes on", async () => {
    const failure = new Error("disk full");
    const { open, faults, lines } = setUp({ close: () => Promise.reject(failure) });
    await (await open()).completed(200);
    assert.deepEqual(faults, [[failure, "r-1"]]);
    assert.equal(lines.length, 1);
  });
});

describe("what a call's row says it cost", () => {
  async function closedWith(start: Partial<CallStart>, served: { serviceTier?: string; performance?: string } = {}) {
    const { recorder, closed } = setUp();
    const record = await recorder.open({ ...START, ...start });
    assert.equal(record.cost, undefined);
    record.meter.stage.push({ type: "metadata", usage: { inputTokens: 1_000, outputTokens: 0 }, ...served });
    await record.completed(200);
    assert.equal(record.cost, closed[0]?.cost);
    return closed[0];
  }

  const NOVA_2 = { modelInvoked: "us.amazon.nova-2-lite-v1:0" };
  const NOVA_PRO = { modelInvoked: "us.amazon.nova-pro-v1:0" };
  const asking = (more: Partial<CallStart["request"]>) => ({ request: { ...START.request, ...more } });

  it("is nothing known for a model without a price, and zero where no token was used", async () => {
    const unknown = { modelInvoked: "test.unknown", foundationModel: "test.unknown" };
    const closing = await closedWith(unknown);
    assert.ok(closing && !Object.hasOwn(closing, "cost"));
    const { recorder, closed, lines } = setUp();
    const refused = await recorder.open({ ...START, ...unknown });
    refused.answered(429, "b-1");
    await refused.failed(REFUSED, 429);
    assert.equal(closed[0]?.cost, 0n);
    assert.equal(lines[0]?.cost_usd, "0");
  });

  it("is null in the log where it is not known", async () => {
    const { recorder, lines } = setUp();
    const record = await recorder.open({ ...START, modelInvoked: "test.unknown" });
    record.meter.stage.push({ type: "metadata", usage: USAGE });
    await record.completed(200);
    assert.equal(lines[0]?.cost_usd, null);
    assert.equal(record.metadata().cost_usd, undefined);
  });

  it("goes by the tier that Bedrock served, by the one asked for where Bedrock does not say", async () => {
    const flex = asking({ serviceTier: { type: "flex" } });
    const served = await closedWith({ ...NOVA_2, ...flex }, { serviceTier: "default" });
    assert.deepEqual([served?.cost, served?.serviceTier], [330_000_000n, "default"]);
    const asked = await closedWith({ ...NOVA_2, ...flex });
    assert.deepEqual([asked?.cost, asked?.serviceTier], [165_000_000n, "flex"]);
  });

  it("goes by the latency that Bedrock served", async () => {
    const optimized = asking({ performanceConfig: { latency: "optimized" } });
    const costs = [
      await closedWith({ ...NOVA_PRO, ...optimized }, { performance: "optimized", serviceTier: "default" }),
      await closedWith({ ...NOVA_PRO, ...optimized }, { performance: "standard", serviceTier: "default" }),
      await closedWith(NOVA_PRO),
    ].map((closing) => closing?.cost);
    assert.deepEqual(costs, [1_000_000_000n, 800_000_000n, 800_000_000n]);
  });

  it("is that of an application inference profile's model", async () => {
    const arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1";
    assert.equal((await closedWith({ modelInvoked: arn }))?.cost, 60_000_000n);
  });

  it("is unknown where the pricing fails, and the row is closed all the same", async () => {
    const fault = new Error("no such tier");
    const prices: Prices = {
      priceOf() {
        throw fault;
      },
    };
    const { open, closed, faults } = setUp({ prices });
    const record = await open();
    record.meter.stage.push({ type: "metadata", usage: USAGE });
    await record.completed(200);
    assert.deepEqual([closed[0]?.status, closed[0]?.cost, faults], ["ok", undefined, [[fault, "r-1"]]]);
  });

  it("is unknown where it is more than a row can hold", async () => {
    const { recorder, closed } = setUp();
    const record = await recorder.open(START);
    record.meter.stage.push({
      type: "metadata",
      usage: { inputTokens: Number.MAX_SAFE_INTEGER, outputTokens: 0 },
    });
    await record.completed(200);
    assert.deepEqual([closed.length, closed[0]?.cost], [1, undefined]);
  });
});

describe("what is said of a call", () => {
  it("is, for tokens per minute, what it read and wrote but for cached tokens, once it has ended", async () => {
    const { open } = setUp();
    const record = await open();
    assert.equal(record.tokens, undefined);
    const usage = { inputTokens: 3, outputTokens: 4, cacheReadInputTokens: 1_000, cacheWriteInputTokens: 50 };
    record.meter.stage.push({ type: "metadata", usage });
    await record.completed(200);
    assert.equal(record.tokens, 57);
  });

  it("is told to its observers when it is opened, answered and ended", async () => {
    const heard: unknown[] = [];
    const observer =
      (name: string): ObserveCall =>
      (call) => {
        heard.push([name, call.keyId, call.team, call.modelInvoked]);
        return {
          answered: (status) => heard.push([name, status]),
          ended: ({ status, usage }) => heard.push([name, status, usage.inputTokens]),
        };
      };
    const { recorder } = setUp({ observe: observer("metrics") });
    const record = await recorder.open({ ...START, trace: observer("span") });
    record.answered(200, "b-1");
    record.meter.stage.push({ type: "metadata", usage: USAGE });
    await record.completed(200);
    const names = ["metrics", "span"];
    assert.deepEqual(heard, [
      ...names.map((name) => [name, "key_1", "core", "us.amazon.nova-lite-v1:0"]),
      ...names.map((name) => [name, 200]),
      ...names.map((name) => [name, "ok", 3]),
    ]);
  });

  it("costs the row nothing when an observer fails", async () => {
    const fault = new Error("no such label");
    const ended = () => {
      throw fault;
    };
    const { open, closed, faults } = setUp({ observe: () => ({ ended }) });
    await (await open()).completed(200);
    assert.deepEqual([closed.length, faults], [1, [[fault, "r-1"]]]);
  });

  it("is one line of the log: ids, model, outcome, tokens and times, no text", async () => {
    const { open, lines, clock } = setUp();
    const record = await open();
    record.answered(200, "b-1");
    clock.now = 1_250;
    record.meter.stage.push({ type: "contentBlockDelta", index: 0, delta: { text: "secret words" } });
    record.meter.stage.push({ type: "metadata", usage: USAGE });
    clock.now = 1_750;
    await record.completed(200);
    assert.deepEqual(lines, [
      {
        request_id: "r-1",
        key_id: "key_1",
        dialect: "openai-chat",
        model: "us.amazon.nova-lite-v1:0",
        stream: true,
        outcome: "ok",
        status: 200,
        error: undefined,
        input_tokens: 3,
        output_tokens: 4,
        cache_read_tokens: 0,
        cache_write_tokens: 0,
        reasoning_tokens: undefined,
        estimated: false,
        cost_usd: "0.00000114",
        service_tier: undefined,
        first_token_ms: 250,
        duration_ms: 750,
        bedrock_request_id: "b-1",
      },
    ]);
    assert.doesNotMatch(JSON.stringify(lines), /secret|xxxx/);
  });

  it("is, for Envoy's access log, tokens and times once it has ended", async () => {
    const { open, clock } = setUp();
    const record = await open();
    assert.deepEqual(
      Object.values(record.metadata()).filter((value) => value !== undefined),
      [],
    );
    record.meter.stage.push({ type: "metadata", usage: USAGE });
    clock.now = 1_100;
    await record.completed(200);
    assert.deepEqual(record.metadata(), {
      input_tokens: 3,
      output_tokens: 4,
      cache_read_tokens: 0,
      cache_write_tokens: 0,
      estimated: false,
      cost_usd: "0.00000114",
      first_token_ms: undefined,
      duration_ms: 100,
    });
  });
});

interface Setting {
  readonly open?: () => Promise<OpenedCall>;
  readonly close?: () => Promise<void>;
  readonly prices?: Prices;
  readonly refusal?: GatewayError | undefined;
  readonly observe?: ObserveCall;
  readonly allowUnpriced?: boolean;
}

function setUp(setting: Setting = {}) {
  const clock = { now: 1_000 };
  const opened: CallOpening[] = [];
  const closed: CallClosing[] = [];
  const lines: Record<string, unknown>[] = [];
  const faults: unknown[][] = [];
  const recorder = createCallRecorder({
    ledger: {
      waiting: 0,
      failing: false,
      async open(call) {
        const outcome = (await setting.open?.()) ?? { opened: true, budgets: [] };
        opened.push(call);
        return outcome;
      },
      async close(id, closing) {
        assert.equal(id, START.id);
        await setting.close?.();
        closed.push(closing);
      },
      drain: async () => 0,
    },
    prices: setting.prices ?? createPrices(),
    allowUnpriced: setting.allowUnpriced ?? false,
    instance: "i-1",
    refused: () => setting.refusal,
    observe: setting.observe ?? (() => ({ ended() {} })),
    now: () => clock.now,
    log: (line) => lines.push(line),
    onNotOpened: () => faults.push(["not opened"]),
    onFault: (...fault) => faults.push(fault),
  });
  return { recorder, open: () => recorder.open(START), clock, opened, closed, lines, faults };
}
