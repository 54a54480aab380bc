import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createTracing, NO_TRACING } from "../../src/telemetry/tracing.ts";
import { closing, endpointOf, MODEL, observedCall } from "./observed-calls.ts";

const SCRIPT = fileURLToPath(new URL("traced-exchange.ts", import.meta.url));
const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";
const TRACEPARENT = `00-${TRACE}-${PARENT}-01`;
const REQUEST = { ":method": "POST", ":scheme": "https", "x-request-id": "request-1" };

const off: readonly (readonly [why: string, environment: Record<string, string>])[] = [
  ["nothing is set", {}],
  ["what is set is empty", { OTEL_TRACES_EXPORTER: "", OTEL_EXPORTER_OTLP_ENDPOINT: " " }],
  ["the SDK is disabled", { OTEL_SDK_DISABLED: "TRUE", OTEL_TRACES_EXPORTER: "otlp" }],
  ["no exporter is wanted", { OTEL_TRACES_EXPORTER: "none", OTEL_EXPORTER_OTLP_ENDPOINT: "http://localhost:4318" }],
];
for (const [why, environment] of off) {
  it(`traces nothing when ${why}`, async () => {
    assert.equal(
      await createTracing({ environment, version: "1", endpointOf, now: Date.now, onFault: assert.fail }),
      NO_TRACING,
    );
  });
}

describe("without tracing", () => {
  it("a span is one object that does nothing, and the SDK is not loaded", async () => {
    const exchange = NO_TRACING.exchange({ header: () => assert.fail("read"), route: undefined });
    assert.equal(exchange, NO_TRACING.exchange({ header: () => undefined, route: "/" }));
    assert.equal(exchange.attempt(observedCall()), exchange.attempt(observedCall()));
    exchange.attempt(observedCall()).ended(closing());
    const report = await run({}, REQUEST);
    assert.equal(report.loaded, false);
    assert.deepEqual(report.traceIds, [null]);
  });
});

describe("a traced exchange", () => {
  it("is a server span below the client's, with a client span for each attempt", async (t) => {
    const collector = await startCollector(t);
    const report = await run(collector.environment, { ...REQUEST, traceparent: TRACEPARENT, tracestate: "vendor=1" });
    const spans = collector.spans();
    const server = find(spans, "POST /v1/chat/completions");
    const attempts = [find(spans, "chat first-model"), find(spans, `chat ${MODEL}`)];
    assert.equal(spans.length, 3);
    assert.deepEqual(report.traceIds, [TRACE]);
    assert.deepEqual(new Set(spans.map(({ traceId }) => traceId)), new Set([TRACE]));
    assert.equal(server.parentSpanId, PARENT);
    assert.deepEqual(
      attempts.map(({ parentSpanId }) => parentSpanId),
      [server.spanId, server.spanId],
    );
    // As OTLP numbers them: 2 is a server's, 3 a client's.
    assert.deepEqual([server.kind, ...attempts.map(({ kind }) => kind)], [2, 3, 3]);
    assert.deepEqual(report.faults, []);
  });

  it("says in the server span what was asked, answered, and by which service", async (t) => {
    const collector = await startCollector(t);
    await run(collector.environment, REQUEST);
    const server = find(collector.spans(), "POST /v1/chat/completions");
    assert.equal(collector.resource()["service.name"], "bedrock-gateway");
    assert.equal(collector.resource()["service.version"], "1.2.3");
    assert.deepEqual(attributesOf(server), {
      "http.request.method": "POST",
      "url.scheme": "https",
      "http.route": "/v1/chat/completions",
      "http.response.status_code": 200,
      "bedrock_gateway.request.id": "request-1",
      "bedrock_gateway.key.id": "key_0123456789abcdef0123",
    });
    assert.equal(server.parentSpanId ?? "", "");
    assert.notEqual(server.status?.code, 2);
  });

  it("says in an attempt's span what Bedrock was asked for and what it used", async (t) => {
    const collector = await startCollector(t);
    await run(collector.environment, REQUEST);
    const answered = find(collector.spans(), `chat ${MODEL}`);
    assert.deepEqual(attributesOf(answered), {
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "aws.bedrock",
      "gen_ai.request.model": MODEL,
      "gen_ai.request.stream": true,
      "gen_ai.response.model": MODEL.slice("us.".length),
      "gen_ai.response.time_to_first_chunk": 0.5,
      "gen_ai.usage.input_tokens": 137,
      "gen_ai.usage.output_tokens": 51,
      "gen_ai.usage.cache_read.input_tokens": 30,
      "gen_ai.usage.cache_creation.input_tokens": 7,
      "server.address": "bedrock-runtime.us-east-1.amazonaws.com",
      "server.port": 443,
      "http.response.status_code": 200,
      "aws.request_id": "bedrock-1",
      "bedrock_gateway.attempt.id": "request-1/2",
      "bedrock_gateway.dialect": "openai-chat",
      "bedrock_gateway.key.id": "key_0123456789abcdef0123",
      "bedrock_gateway.team": "search",
      "bedrock_gateway.cost_usd": 1.5,
    });
    const failed = find(collector.spans(), "chat first-model");
    assert.equal(attributesOf(failed)["error.type"], "rate_limit_exceeded");
    assert.equal(attributesOf(failed)["http.response.status_code"], 429);
    assert.equal(failed.status?.code, 2);
    assert.notEqual(answered.status?.code, 2);
  });

  it("holds nothing else of what a client sends", async (t) => {
    const collector = await startCollector(t);
    const secret = "sk-0123456789";
    await run(collector.environment, {
      ...REQUEST,
      ":method": `PO${secret}ST`,
      ":scheme": secret,
      ":path": `/v1/chat/completions?key=${secret}`,
      authorization: `Bearer ${secret}`,
      "user-agent": secret,
      cookie: secret,
      baggage: `user=${secret}`,
    });
    assert.equal(attributesOf(find(collector.spans(), "HTTP /v1/chat/completions"))["http.request.method"], "_OTHER");
    assert.ok(!collector.text().includes(secret));
  });

  it("is named and described by OpenTelemetry's variables", async (t) => {
    const named = await startCollector(t);
    const variables = { OTEL_SERVICE_NAME: "llm", OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test" };
    await run({ ...named.environment, ...variables }, REQUEST);
    assert.equal(named.resource()["service.name"], "llm");
    assert.equal(named.resource()["deployment.environment.name"], "test");
  });

  it("sends the headers that the operator gives, and traces alone", async (t) => {
    const collector = await startCollector(t);
    await run({ ...collector.environment, OTEL_EXPORTER_OTLP_HEADERS: "x-tenant=blue" }, REQUEST);
    assert.deepEqual(
      collector.requests.map(({ url }) => url),
      ["/v1/traces"],
    );
    assert.equal(collector.requests[0]?.headers["x-tenant"], "blue");
  });

  it("goes out as protobuf where no protocol is named", async (t) => {
    const collector = await startCollector(t);
    const { OTEL_EXPORTER_OTLP_ENDPOINT } = collector.environment;
    await run({ OTEL_EXPORTER_OTLP_ENDPOINT }, { ...REQUEST, traceparent: TRACEPARENT });
    const [request] = collector.requests;
    assert.equal(request?.headers["content-type"], "application/x-protobuf");
    assert.ok(request?.body.includes(Buffer.from(TRACE, "hex")));
    assert.ok(request?.body.includes(Buffer.from(PARENT, "hex")));
  });

  it("is not sent when the client says that its trace is not sampled", async (t) => {
    const collector = await startCollector(t);
    const report = await run(collector.environment, { ...REQUEST, traceparent: `00-${TRACE}-${PARENT}-00` });
    assert.deepEqual(collector.requests, []);
    assert.deepEqual(report.traceIds, [TRACE]);
  });

  it("is sampled as OTEL_TRACES_SAMPLER says, whatever the client says", async (t) => {
    const collector = await startCollector(t);
    await run(
      { ...collector.environment, OTEL_TRACES_SAMPLER: "always_off" },
      { ...REQUEST, traceparent: TRACEPARENT },
    );
    assert.deepEqual(collector.requests, []);
  });

  it("follows the propagators that OTEL_PROPAGATORS names", async (t) => {
    const collector = await startCollector(t);
    const b3 = { "x-b3-traceid": TRACE, "x-b3-spanid": PARENT, "x-b3-sampled": "1" };
    const report = await run({ ...collector.environment, OTEL_PROPAGATORS: "b3multi" }, { ...REQUEST, ...b3 });
    assert.deepEqual(report.traceIds, [TRACE]);
  });

  const broken: readonly string[] = [
    `00-${"0".repeat(32)}-${PARENT}-01`,
    `00-${TRACE}-${"0".repeat(16)}-01`,
    `${TRACEPARENT},${TRACEPARENT}`,
    `ff-${TRACE}-${PARENT}-01`,
    "x".repeat(30_000),
    "",
  ];
  it("begins a trace of its own where the client's traceparent is broken", async (t) => {
    const collector = await startCollector(t);
    const requests = broken.map((traceparent) => ({ ...REQUEST, traceparent, tracestate: "=,=".repeat(5_000) }));
    const { traceIds } = await run(collector.environment, ...requests);
    const servers = collector.spans().filter(({ kind }) => kind === 2);
    assert.deepEqual(
      servers.map(({ traceId }) => traceId),
      traceIds,
    );
    assert.equal(new Set([...traceIds, TRACE]).size, broken.length + 1);
    assert.ok(servers.every(({ parentSpanId = "" }) => parentSpanId === ""));
  });

  it("is given up 2 seconds after the end when nobody takes it", async (t) => {
    const collector = await startCollector(t, { silent: true });
    const { shutdownMs } = await run(collector.environment, REQUEST);
    assert.ok(shutdownMs >= 1_900 && shutdownMs < 4_000, `${shutdownMs} ms`);
  });

  it("reports that it can't be sent", async () => {
    const { faults } = await run(
      { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1", OTEL_EXPORTER_OTLP_TIMEOUT: "500" },
      REQUEST,
    );
    assert.match(faults.join(), /ECONNREFUSED|timed? ?out/i);
  });
});

const wrong: readonly (readonly [name: string, value: string])[] = [
  ["OTEL_TRACES_EXPORTER", "bogus"],
  ["OTEL_EXPORTER_OTLP_ENDPOINT", "no url"],
  ["OTEL_EXPORTER_OTLP_PROTOCOL", "bogus"],
  ["OTEL_TRACES_SAMPLER", "bogus"],
];
describe("a wrong setting", () => {
  for (const [name, value] of wrong) {
    it(`of ${name} is reported, and ends nothing`, async (t) => {
      const collector = await startCollector(t);
      const { faults } = await run({ ...collector.environment, [name]: value }, REQUEST);
      assert.match(faults.join(), new RegExp(value));
    });
  }

  it("gives the log no id of a trace that is none", async () => {
    const { traceIds } = await run({ OTEL_TRACES_EXPORTER: "bogus" }, REQUEST);
    assert.deepEqual(traceIds, [null]);
  });
});

interface Report {
  readonly traceIds: readonly (string | null)[];
  readonly shutdownMs: number;
  readonly loaded: boolean;
  readonly faults: readonly string[];
}

async function run(environment: Record<string, string>, ...requests: Record<string, string>[]): Promise<Report> {
  const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, JSON.stringify(requests)], {
    env: environment,
  });
  return JSON.parse(stdout);
}

interface OtlpSpan {
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly attributes: readonly OtlpAttribute[];
  readonly status?: { readonly code?: number };
}

interface OtlpAttribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** Takes OTLP over HTTP, https://opentelemetry.io/docs/specs/otlp/#otlphttp; a silent one never answers. */
async function startCollector(t: TestContext, { silent = false } = {}) {
  const requests: { url: string | undefined; headers: Record<string, unknown>; body: Buffer }[] = [];
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    requests.push({ url: request.url, headers: request.headers, body });
    if (!silent) response.setHeader("content-type", "application/json").end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  const text = () => Buffer.concat(requests.map(({ body }) => body)).toString();
  const resourceSpans = () => requests.flatMap(({ body }) => JSON.parse(body.toString()).resourceSpans);
  return {
    requests,
    text,
    environment: {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${address.port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    },
    spans: (): OtlpSpan[] =>
      resourceSpans().flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }: { spans: OtlpSpan[] }) => spans)),
    resource: () => attributesOf(resourceSpans()[0].resource),
  };
}

function find(spans: readonly OtlpSpan[], name: string): OtlpSpan {
  return (
    spans.find((span) => span.name === name) ?? assert.fail(`no span ${name}, but ${spans.map((span) => span.name)}`)
  );
}

function attributesOf({ attributes }: { readonly attributes: readonly OtlpAttribute[] }): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}
