import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  closing,
  MODEL,
  NOTHING_USED,
  observedCall,
  samplesOf,
  scrape,
  sumOf,
  testMetrics,
  unpricedClosing,
} from "./observed-calls.ts";

const DURATION = "gen_ai_server_request_duration_seconds";
const FIRST_TOKEN = "gen_ai_server_time_to_first_token_seconds";
const PER_TOKEN = "gen_ai_server_time_per_output_token_seconds";
const USAGE = "gen_ai_client_token_usage";

describe("the metrics of OpenTelemetry's conventions", () => {
  // As docs/gen-ai/gen-ai-metrics.md of the conventions gives them.
  const boundaries: readonly (readonly [name: string, buckets: string])[] = [
    [DURATION, "0.01 0.02 0.04 0.08 0.16 0.32 0.64 1.28 2.56 5.12 10.24 20.48 40.96 81.92"],
    [FIRST_TOKEN, "0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10"],
    [PER_TOKEN, "0.01 0.025 0.05 0.075 0.1 0.15 0.2 0.3 0.4 0.5 0.75 1 2.5"],
    [USAGE, "1 4 16 64 256 1024 4096 16384 65536 262144 1048576 4194304 16777216 67108864"],
  ];
  for (const [name, buckets] of boundaries) {
    it(`have ${name} as a histogram with the conventions' buckets`, async () => {
      const { metrics, end } = testMetrics();
      end();
      assert.equal((await scrape(metrics)).types.get(name), "histogram");
      const found = (await samplesOf(metrics, `${name}_bucket`)).map(({ labels }) => labels.le);
      assert.deepEqual([...new Set(found)].join(" "), `${buckets} +Inf`);
    });
  }

  it("label a whole answer with what was called, and with no error", async () => {
    const { metrics, end } = testMetrics();
    end();
    const [count] = await samplesOf(metrics, `${DURATION}_count`);
    assert.deepEqual(count, {
      name: `${DURATION}_count`,
      labels: {
        gen_ai_operation_name: "chat",
        gen_ai_provider_name: "aws.bedrock",
        gen_ai_request_model: MODEL,
        gen_ai_response_model: MODEL.slice("us.".length),
        server_address: "bedrock-runtime.us-east-1.amazonaws.com",
        server_port: "443",
      },
      value: 1,
    });
    assert.equal(await sumOf(metrics, `${DURATION}_sum`), 3);
  });

  it("take the port of an endpoint that names one, and the operation that was asked for", async () => {
    const { metrics, end } = testMetrics({
      endpointOf: () => ({ authority: "localhost:9000", tls: false, basePath: "" }),
    });
    end({ operation: "embeddings" });
    const [count] = await samplesOf(metrics, `${DURATION}_count`);
    assert.equal(count?.labels.server_address, "localhost");
    assert.equal(count?.labels.server_port, "9000");
    assert.equal(count?.labels.gen_ai_operation_name, "embeddings");
  });

  it("tell failures by their code, and one that no table knows by none of its own text", async () => {
    const { metrics, end } = testMetrics();
    end({}, { status: "error", errorCode: "model_timeout" });
    end({}, { status: "error", errorCode: 'surprise "}\n' });
    end({}, { status: "interrupted" });
    const types = (await samplesOf(metrics, `${DURATION}_count`)).map(({ labels }) => labels.error_type);
    assert.deepEqual(types.sort(), ["_OTHER", "interrupted", "model_timeout"]);
    assert.equal(await sumOf(metrics, `${FIRST_TOKEN}_count`), 0);
  });

  it("count cached tokens among the input's, and tell them apart in the gateway's own counter", async () => {
    const { metrics, end } = testMetrics();
    end();
    assert.equal(await sumOf(metrics, `${USAGE}_sum`, { gen_ai_token_type: "input" }), 137);
    assert.equal(await sumOf(metrics, `${USAGE}_sum`, { gen_ai_token_type: "output" }), 51);
    const kinds = await samplesOf(metrics, "bedrock_gateway_tokens_total");
    assert.deepEqual(Object.fromEntries(kinds.map(({ labels, value }) => [labels.gen_ai_token_type, value])), {
      input: 100,
      output: 51,
      cache_read: 30,
      cache_write: 7,
    });
  });

  it("leave estimates to the gateway's own counters", async () => {
    const { metrics, end } = testMetrics();
    end({}, { estimated: true });
    assert.equal(await sumOf(metrics, `${USAGE}_count`), 0);
    assert.equal(await sumOf(metrics, `${PER_TOKEN}_count`), 0);
    assert.equal(await sumOf(metrics, "bedrock_gateway_tokens_total"), 188);
    assert.equal(await sumOf(metrics, "bedrock_gateway_estimated_calls_total"), 1);
  });

  it("count no tokens where none were used", async () => {
    const { metrics, end } = testMetrics();
    end({}, { status: "error", errorCode: "invalid_request", usage: NOTHING_USED, cost: 0n });
    assert.equal(await sumOf(metrics, `${USAGE}_count`), 0);
    assert.equal(await sumOf(metrics, "bedrock_gateway_unpriced_calls_total"), 0);
  });

  it("time the tokens of a stream, and of nothing else", async () => {
    const { metrics, end } = testMetrics();
    end();
    end({ stream: false });
    assert.equal(await sumOf(metrics, `${FIRST_TOKEN}_sum`), 0.5);
    assert.equal(await sumOf(metrics, `${FIRST_TOKEN}_count`), 1);
    assert.equal(await sumOf(metrics, `${PER_TOKEN}_sum`), 0.05);
    assert.equal(await sumOf(metrics, `${PER_TOKEN}_count`), 1);
  });

  it("survive a clock that was set back, and an answer of one token", async () => {
    const { metrics, end } = testMetrics();
    end({}, { finishedAt: 9_000, firstTokenAt: 8_000, usage: { ...NOTHING_USED, outputTokens: 1 } });
    assert.equal(await sumOf(metrics, `${DURATION}_sum`), 0);
    assert.equal(await sumOf(metrics, `${PER_TOKEN}_count`), 0);
  });
});

describe("the gateway's own metrics", () => {
  it("add up cost in USD, and count what has no price", async () => {
    const { metrics, end } = testMetrics();
    end();
    end({}, { cost: 250_000_000_000n });
    metrics.call(observedCall()).ended(unpricedClosing());
    assert.equal(await sumOf(metrics, "bedrock_gateway_cost_usd_total", { gen_ai_request_model: MODEL }), 1.75);
    assert.equal(await sumOf(metrics, "bedrock_gateway_unpriced_calls_total"), 1);
  });

  it("count what Bedrock throttled", async () => {
    const { metrics, end } = testMetrics();
    end({}, { status: "error", errorCode: "rate_limit_exceeded" });
    end({}, { status: "error", errorCode: "model_timeout" });
    assert.equal(await sumOf(metrics, "bedrock_gateway_bedrock_throttles_total"), 1);
  });

  it("count a call as in flight until it has ended, once", async () => {
    const { metrics } = testMetrics();
    const inFlight = () => sumOf(metrics, "bedrock_gateway_calls_in_flight");
    const [first, second] = [metrics.call(observedCall()), metrics.call(observedCall())];
    assert.equal(await inFlight(), 2);
    first.ended(closing());
    first.ended(closing());
    assert.equal(await inFlight(), 1);
    second.ended(closing());
    assert.equal(await inFlight(), 0);
    assert.equal(await sumOf(metrics, `${DURATION}_count`), 2);
  });

  it("count refusals, limits, recoveries and failed writes by their closed names", async () => {
    const { metrics } = testMetrics();
    metrics.refused("invalid_api_key", "openai-chat");
    metrics.refused("unknown_path", undefined);
    metrics.limited({ limit: "budget", subject: "team" });
    metrics.recovering("model_not_ready", true);
    metrics.ledgerFailed("close");
    assert.deepEqual(
      (await samplesOf(metrics, "bedrock_gateway_refusals_total")).map(({ labels }) => labels),
      [{ error_type: "invalid_api_key", dialect: "openai-chat" }, { error_type: "unknown_path" }],
    );
    assert.equal(await sumOf(metrics, "bedrock_gateway_limit_refusals_total", { limit: "budget", subject: "team" }), 1);
    assert.deepEqual(
      (await samplesOf(metrics, "bedrock_gateway_recovery_attempts_total")).map(({ labels }) => labels),
      [{ error_type: "model_not_ready", fallback: "true" }],
    );
    assert.equal(await sumOf(metrics, "bedrock_gateway_ledger_write_failures_total", { operation: "close" }), 1);
  });

  it("have limits and failed writes from the start, so that their first one is an increase", async () => {
    const { metrics } = testMetrics();
    const limits = await samplesOf(metrics, "bedrock_gateway_limit_refusals_total");
    const writes = await samplesOf(metrics, "bedrock_gateway_ledger_write_failures_total");
    assert.deepEqual([limits.length, writes.length], [8, 2]);
    assert.ok([...limits, ...writes].every(({ value }) => value === 0));
  });

  it("ask for a gauge's value when they are read, and leave out one that fails", async () => {
    const { metrics } = testMetrics();
    let waiting = 3;
    metrics.gauge("ledger_rows_waiting", () => waiting);
    metrics.gauge("store_up", () => assert.fail("no database"));
    assert.equal(await sumOf(metrics, "bedrock_gateway_ledger_rows_waiting"), 3);
    waiting = 4;
    assert.equal(await sumOf(metrics, "bedrock_gateway_ledger_rows_waiting"), 4);
    assert.deepEqual(await samplesOf(metrics, "bedrock_gateway_store_up"), []);
  });

  it("have Node's and the process's own under the names that everybody knows, and say what runs", async () => {
    const { metrics } = testMetrics();
    const { types, help } = await scrape(metrics);
    assert.equal(types.get("process_cpu_seconds_total"), "counter");
    assert.equal(types.get("nodejs_eventloop_lag_p99_seconds"), "gauge");
    const [build] = await samplesOf(metrics, "bedrock_gateway_build_info");
    assert.deepEqual(build?.labels, { version: "1.2.3", node_version: process.version });
    assert.match(metrics.contentType, /^text\/plain; version=0\.0\.4/);
    assert.deepEqual(
      [...types.keys()].filter((name) => !help.has(name)),
      [],
    );
  });

  it("cost a call about 10 µs", () => {
    const { end } = testMetrics({ keyLabels: true });
    const calls = 20_000;
    for (let call = 0; call < calls; call += 1) end();
    const before = process.cpuUsage();
    for (let call = 0; call < calls; call += 1) end();
    const { user, system } = process.cpuUsage(before);
    // Measured: 8 µs. The bound is for what would be another kind of work.
    assert.ok((user + system) / calls < 40, `${(user + system) / calls} µs`);
  });
});

describe("labels", () => {
  const HOSTILE = ['a"} 1\nfake_metric 7', "__proto__", "constructor", "😀", "x".repeat(100_000), "", "a:b,c:d"];

  it("never hold a model that nobody knows", async () => {
    const { metrics, end } = testMetrics({ knownModel: (model) => model === MODEL });
    for (const name of HOSTILE) end({ modelInvoked: name, foundationModel: name });
    for (let number = 0; number < 5_000; number += 1) {
      end({ modelInvoked: `made-up-${number}`, foundationModel: undefined });
    }
    const counts = await samplesOf(metrics, `${DURATION}_count`);
    assert.deepEqual(new Set(counts.map(({ labels }) => labels.gen_ai_request_model)), new Set(["other"]));
    assert.equal(await sumOf(metrics, `${DURATION}_count`), 5_000 + HOSTILE.length);
    const text = await metrics.render();
    assert.doesNotMatch(text, /fake_metric|made-up|x{1000}/);
  });

  it("are escaped where a model that is known has an odd name", async () => {
    const { metrics, end } = testMetrics();
    for (const name of HOSTILE) end({ modelInvoked: name });
    const counts = await samplesOf(metrics, `${DURATION}_count`);
    assert.deepEqual(counts.map(({ labels }) => labels.gen_ai_request_model).sort(), [...HOSTILE].sort());
    assert.deepEqual(await samplesOf(metrics, "fake_metric"), []);
  });

  it("hold at most 200 models, those that came first, and 50 regions", async () => {
    const { metrics, end } = testMetrics();
    for (let number = 0; number < 1_000; number += 1) {
      end({ modelInvoked: `model-${number}`, foundationModel: `base-${number}`, region: `us-east-${number}` });
    }
    end({ modelInvoked: "model-7" });
    const counts = await samplesOf(metrics, `${DURATION}_count`);
    const values = (label: string) => new Set(counts.map(({ labels }) => labels[label]));
    assert.equal(values("gen_ai_request_model").size, 201);
    assert.equal(values("gen_ai_response_model").size, 201);
    assert.equal(values("server_address").size, 51);
    assert.equal(await sumOf(metrics, `${DURATION}_count`, { gen_ai_request_model: "model-7" }), 2);
    assert.equal(await sumOf(metrics, `${DURATION}_count`), 1_001);
  });

  it("hold no key and no team, unless the operator wants it", async () => {
    const { metrics, end } = testMetrics();
    end();
    assert.doesNotMatch(await metrics.render(), /key_0|search/);
  });

  it("hold at most 1,000 keys, and the teams of the others", async () => {
    const { metrics, end } = testMetrics({ keyLabels: true });
    for (let number = 0; number < 3_000; number += 1) end({ keyId: `key_${number}`, team: `team-${number % 2_000}` });
    end({ keyId: "key_5", team: "team-5" });
    const calls = await samplesOf(metrics, "bedrock_gateway_key_calls_total");
    assert.equal(new Set(calls.map(({ labels }) => labels.key_id)).size, 1_001);
    assert.equal(
      new Set(calls.filter(({ labels }) => labels.key_id === "other").map(({ labels }) => labels.team)).size,
      1_001,
    );
    assert.ok(calls.length <= 2_001);
    assert.equal(await sumOf(metrics, "bedrock_gateway_key_calls_total"), 3_001);
    assert.equal(await sumOf(metrics, "bedrock_gateway_key_calls_total", { key_id: "key_5" }), 2);
    assert.equal(await sumOf(metrics, "bedrock_gateway_key_cost_usd_total"), 3_001 * 1.5);
  });

  it("count a key without a team, and a key that has moved", async () => {
    const { metrics, end } = testMetrics({ keyLabels: true });
    end({ team: null });
    end({ team: "search" });
    const labels = (await samplesOf(metrics, "bedrock_gateway_key_calls_total")).map((sample) => sample.labels);
    const key_id = observedCall().keyId;
    assert.deepEqual(labels, [{ key_id }, { key_id, team: "search" }]);
    assert.equal(await sumOf(metrics, "bedrock_gateway_key_tokens_total", { gen_ai_token_type: "cache_read" }), 60);
  });
});
