/** What an exchange does for the dialect of Anthropic's Messages beyond what it does for all: ids, pings, counts, lists. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { describe, it, type TestContext } from "node:test";
import type { SignedCall } from "../../src/bedrock/converse-call.ts";
import { anthropicMessages } from "../../src/dialects/anthropic-messages/index.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import { GatewayError } from "../../src/errors.ts";
import type { ExchangeServices } from "../../src/extproc/exchange.ts";
import type { EnvoyEvent } from "../../src/extproc/wire.ts";
import { eventFrame, exceptionFrame } from "../../src/simulator/event-stream.ts";
import { fakeTimers } from "./fake-timers.ts";
import {
  bodyOf,
  CATALOG,
  get,
  KEY,
  LAST,
  METADATA,
  MODEL,
  openExchange,
  piece,
  requestBody,
  requestHeaders,
  responded,
  responseHeaders,
  STOP,
  streamHeaders,
  type TestExchange,
  textFrame,
  typesOf,
} from "./test-exchange.ts";

const REQUEST_ID = "11111111-2222-3333-4444-555555555555";
const START = eventFrame("messageStart", { role: "assistant" });
const messages = (change: Record<string, string> = {}) =>
  requestHeaders({ ":path": "/v1/messages?beta=true", ...change });
const count = () => requestHeaders({ ":path": "/v1/messages/count_tokens?beta=true" });
const body = (more: object = {}) =>
  requestBody(
    JSON.stringify({ model: MODEL, max_tokens: 9, messages: [{ role: "user", content: "Hello there" }], ...more }),
  );
const toStream = [messages(), body({ stream: true }), streamHeaders()];

describe("a Messages exchange", () => {
  it("begins its stream with the estimate of the prompt and ends it with Bedrock's numbers", async (t) => {
    const { sent } = await at(t, [
      ...toStream,
      piece(START),
      piece(textFrame("Hi")),
      piece(STOP),
      piece(METADATA),
      LAST,
    ]);
    const usages = [...bodyOf(sent).matchAll(/"input_tokens":(\d+)/g)].map(([, tokens]) => Number(tokens));
    assert.deepEqual(usages, [3, 3]);
    assert.match(bodyOf(sent), /^event: message_start\n[\s\S]*event: message_stop\ndata: {"type":"message_stop"}\n\n$/);
  });

  it("fills silence with pings", async (t) => {
    const timers = fakeTimers(t);
    const exchange = await at(t, toStream);
    await exchange.receive(piece(START.subarray(0, 5)));
    timers.pass(15_000);
    assert.equal(bodyOf(exchange.sent), 'event: ping\ndata: {"type":"ping"}\n\n');
  });

  it("ends a stream that breaks with an error event that has the request's id, and nothing after it", async (t) => {
    const exception = exceptionFrame("throttlingException", { message: "Slow down." });
    const { sent } = await at(t, [...toStream, piece(START), piece(textFrame("Hi")), piece(exception), LAST]);
    const last = bodyOf(sent).split("\n\n").at(-2);
    assert.equal(
      last,
      `event: error\ndata: {"type":"error","error":{"type":"rate_limit_error","message":"Slow down."},"request_id":"${REQUEST_ID}"}`,
    );
  });

  it("has the request's id in the header that Anthropic's SDKs read, errors too", async (t) => {
    const { sent } = await at(t, [...toStream, piece(START), piece(textFrame("Hi"))]);
    const headers = sent.find((reply) => reply.type === "response_headers");
    assert.equal(headers?.setHeaders["request-id"], REQUEST_ID);
    const refused = responded((await at(t, [messages(), body({ max_tokens: null })])).sent);
    assert.deepEqual(
      [refused.status, refused.headers["request-id"], refused.body.request_id],
      [400, REQUEST_ID, REQUEST_ID],
    );
    const chat = responded((await at(t, [requestHeaders({ authorization: "Basic x" }), requestBody("{")])).sent);
    assert.equal(chat.headers["request-id"], undefined);
  });

  it("passes the header anthropic-beta on as far as Bedrock knows it", async (t) => {
    const model = "anthropic.claude-sonnet-4-5-20250929-v1:0";
    const head = messages({ "anthropic-beta": "claude-code-20250219,context-1m-2025-08-07" });
    const { sent } = await at(t, [head, body({ model })], { authenticator: anyModel() });
    const forward = sent.at(-1);
    assert.ok(forward?.type === "forward");
    assert.deepEqual(JSON.parse(Buffer.from(forward.body).toString()).additionalModelRequestFields, {
      anthropic_beta: ["context-1m-2025-08-07"],
    });
    assert.ok(forward.removeHeaders.includes("anthropic-beta"));
  });

  for (const [status, flags, sentStatus, type] of [
    [503, "UF", 529, "overloaded_error"],
    [529, "UF", 529, "overloaded_error"],
    [504, "UT", 504, "timeout_error"],
    [413, "-", 413, "request_too_large"],
  ] as const) {
    it(`answers Envoy's own ${status} with ${sentStatus} and ${type}`, async (t) => {
      const local = responseHeaders(status, "application/json", { "x-gateway-local-reply": flags });
      const { status: answered, body: told } = responded((await at(t, [messages(), body(), local])).sent);
      assert.deepEqual([answered, told.error.type], [sentStatus, type]);
    });
  }

  it("has the ledger's row say the status that the client got", async (t) => {
    const down = responseHeaders(503, "application/json", { "x-amzn-errortype": "ServiceUnavailableException" });
    const { sent, closed } = await at(t, [messages(), body(), down, piece('{"message":"Busy."}', true)]);
    assert.equal(responded(sent).status, 529);
    assert.deepEqual([closed[0]?.httpStatus, closed[0]?.errorCode], [529, "upstream_unavailable"]);
  });

  it("has a refusal's line say the status that the client got", async (t) => {
    const admit = () => Promise.reject(new GatewayError("unavailable", "Not now."));
    const { refused, sent } = await at(t, [messages()], { limiter: { admit, lost: false, close: async () => {} } });
    assert.equal(responded(sent).status, 529);
    assert.deepEqual(
      refused.map(({ status, dialect }) => [status, dialect]),
      [[529, "anthropic-messages"]],
    );
  });
});

describe("a count of tokens", () => {
  it("is Bedrock's, for the request that would be sent, without a row and with its place given back", async (t) => {
    const asked: SignedCall[] = [];
    const exchange = await at(t, [count(), body({ max_tokens: undefined, system: "Be brief." })], {
      egress: async (signed) => {
        asked.push(signed);
        return { status: 200, headers: new Map(), body: Readable.from([Buffer.from('{"inputTokens":42}')]) };
      },
    });
    const reply = responded(exchange.sent);
    assert.deepEqual(
      [reply.status, reply.body, reply.headers["x-gateway-warning"]],
      [200, { input_tokens: 42 }, undefined],
    );
    assert.equal(reply.headers["x-ratelimit-limit-requests"], "5");
    assert.deepEqual([exchange.opened, exchange.admission.calls], [[], [["release"]]]);
    assert.deepEqual(JSON.parse(asked[0]?.body.toString() ?? "").system, [{ text: "Be brief." }]);
  });

  const answers: [string, ExchangeServices["egress"]][] = [
    ["refuses", async () => answer(400, '{"message":"The provided model doesn\'t support counting tokens"}')],
    ["answers something else", async () => answer(200, '{"inputTokens":-1}')],
    ["answers no JSON", async () => answer(200, "<html>")],
    ["can't be reached", () => Promise.reject(new GatewayError("upstream_unavailable", "No."))],
  ];
  for (const [what, egress] of answers) {
    it(`is an estimate that says so where Bedrock ${what}`, async (t) => {
      const { sent, faults } = await at(t, [count(), body()], { egress });
      const reply = responded(sent);
      assert.deepEqual([reply.status, reply.body], [200, { input_tokens: 3 }]);
      assert.match(reply.headers["x-gateway-warning"] ?? "", /input_tokens is an estimate$/);
      assert.deepEqual(faults, []);
    });
  }

  it("is refused as a call is: by key, by model and for what can't be read", async (t) => {
    const refusal = async (...events: EnvoyEvent[]) => responded((await at(t, events)).sent);
    assert.equal((await refusal(count(), body({ model: "meta.x" }))).status, 403);
    assert.equal((await refusal(count(), body({ messages: [] }))).status, 400);
    assert.equal((await refusal(count(), requestBody("{"))).status, 400);
    const bug = await at(t, [count(), body()], { egress: () => Promise.reject(new Error("a bug")) });
    assert.equal(responded(bug.sent).status, 500);
    assert.equal(bug.faults.length, 1);
  });
});

describe("the list of models", () => {
  const model = { created: 7, ownedBy: "x", inputModalities: ["TEXT"], outputModalities: ["TEXT"] };
  const catalog = { ...CATALOG, list: async () => ["amazon.a", "amazon.b", "meta.c"].map((id) => ({ ...model, id })) };
  const asked = (path: string, version?: string): EnvoyEvent => {
    const event = get(path);
    if (event.type === "request_headers" && version !== undefined)
      return { ...event, headers: new Map([...event.headers, ["anthropic-version", version]]) };
    return event;
  };

  it("comes in Anthropic's shape where an anthropic-version is sent, whichever", async (t) => {
    const reply = responded((await at(t, [asked("/v1/models?limit=1", "2026-10-21")], { catalog })).sent);
    assert.deepEqual(
      [reply.body.data.map(({ id }: { id: string }) => id), reply.body.has_more, reply.body.last_id],
      [["amazon.a"], true, "amazon.a"],
    );
    const one = responded((await at(t, [asked("/v1/models/amazon.b", "x")], { catalog })).sent);
    assert.deepEqual([one.body.type, one.body.id], ["model", "amazon.b"]);
    const none = responded((await at(t, [asked("/v1/models/meta.c", "x")], { catalog })).sent);
    assert.deepEqual([none.status, none.body.error.type], [404, "not_found_error"]);
    const nowhere = responded((await at(t, [asked("/v1/files", "x")], { catalog })).sent);
    assert.deepEqual([nowhere.status, nowhere.body.type], [404, "error"]);
  });

  it("comes in OpenAI's shape without one", async (t) => {
    const reply = responded((await at(t, [asked("/v1/models")], { catalog })).sent);
    assert.equal(reply.body.object, "list");
  });

  it("does not change the shape of a path's own API", async (t) => {
    const { sent } = await at(t, [requestHeaders({ "anthropic-version": "x" }), requestBody("{")]);
    assert.equal(responded(sent).body.error.code, null);
  });
});

function answer(status: number, text: string) {
  return { status, headers: new Map<string, string>(), body: Readable.from([Buffer.from(text)]) };
}

function anyModel(): ExchangeServices["authenticator"] {
  return { authenticate: async () => ({ key: { ...KEY, models: [] }, team: null }) };
}

async function at(
  t: TestContext,
  events: readonly EnvoyEvent[],
  services: Partial<ExchangeServices> = {},
): Promise<TestExchange> {
  const exchange = openExchange({ dialects: [openaiChat, anthropicMessages], ...services });
  t.after(() => exchange.close());
  await exchange.run(...events);
  assert.ok(typesOf(exchange.sent).length > 0);
  return exchange;
}
