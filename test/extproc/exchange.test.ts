import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { type ErrorCode, GatewayError } from "../../src/errors.ts";
import type { ExchangeServices } from "../../src/extproc/exchange.ts";
import type { EnvoyEvent, Reply } from "../../src/extproc/wire.ts";
import { eventFrame, exceptionFrame } from "../../src/simulator/event-stream.ts";
import type { Prices } from "../../src/usage/prices.ts";
import { fakeTimers } from "./fake-timers.ts";
import {
  ANSWER,
  bodyOf,
  CATALOG,
  chatBody,
  get,
  jsonHeaders,
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

const OPENED = { opened: true, budgets: [] };
const START = eventFrame("messageStart", { role: "assistant" });
const STREAM = { stream: true, stream_options: { include_usage: true } };
const toStream = [requestHeaders(), chatBody(STREAM), streamHeaders()];
const toJson = [requestHeaders(), chatBody(), jsonHeaders()];

const EVENTS: readonly EnvoyEvent[] = [
  requestHeaders(),
  chatBody(),
  { type: "request_trailers" },
  jsonHeaders(),
  piece("x"),
  { type: "response_trailers" },
];

/** How to get an exchange into each phase, and what it takes there. */
const PHASES: readonly (readonly [phase: string, way: readonly EnvoyEvent[], takes: readonly EnvoyEvent["type"][]])[] =
  [
    ["request_headers", [], ["request_headers"]],
    ["request_body", [requestHeaders()], ["request_body", "request_trailers", "response_headers"]],
    ["response_headers", [requestHeaders(), chatBody()], ["response_headers"]],
    ["response_body", toStream, ["response_body", "response_trailers"]],
    ["done", [get("/healthz")], EVENTS.map(({ type }) => type)],
  ];

describe("the phases of an exchange", () => {
  for (const [phase, way, takes] of PHASES) {
    for (const event of EVENTS) {
      const legal = takes.includes(event.type);
      it(`${phase} ${legal ? "takes" : "refuses"} ${event.type}`, async (t) => {
        const exchange = await at(t, way);
        const before = exchange.sent.length;
        if (legal) await assert.doesNotReject(async () => exchange.receive(event));
        else {
          assert.throws(() => exchange.receive(event), new RegExp(`${event.type} in phase ${phase}`));
          assert.equal(exchange.sent.length, before);
          assert.deepEqual(exchange.closed, []);
        }
      });
    }
  }

  it("are left as they were by an event that was refused", async (t) => {
    const exchange = await at(t, []);
    for (const event of [...toStream, piece(START), piece(STOP), LAST]) {
      for (const wrong of EVENTS) {
        const legal = wrong.type === event.type || event.type === "request_body" || event.type === "response_body";
        if (!legal) assert.throws(() => exchange.receive(wrong), /in phase/);
      }
      await exchange.receive(event);
    }
    assert.match(bodyOf(exchange.sent), /data: \[DONE\]\n\n$/);
  });

  it("end with done, where nothing is answered any more", async (t) => {
    for (const way of [
      [get("/healthz")],
      [...toJson, piece(ANSWER, true)],
      [...toStream, piece(START), piece(STOP, true)],
    ]) {
      const exchange = await at(t, way);
      const before = exchange.sent.length;
      for (const event of EVENTS) assert.equal(exchange.receive(event), undefined);
      exchange.close();
      assert.equal(exchange.sent.length, before);
      assert.ok(exchange.closed.length <= 1);
    }
  });
});

describe("a request that the service answers itself", () => {
  it("needs no key for the root, the health check and a preflight", async (t) => {
    const authenticator = { authenticate: () => Promise.reject(new Error("no key is looked at")) };
    for (const [event, status] of [
      [get("/"), 200],
      [get("/healthz"), 200],
      [get("/healthz", "HEAD"), 200],
      [get("/v1/chat/completions", "OPTIONS"), 204],
    ] as const) {
      const { sent } = await at(t, [event], { authenticator });
      assert.deepEqual(typesOf(sent), ["respond"]);
      assert.equal(responded(sent).status, status);
      assert.equal(responded(sent).metadata.answered, true);
    }
  });

  it("lists the models that its key may use", async (t) => {
    const model = { created: 7, ownedBy: "x", inputModalities: ["TEXT"], outputModalities: ["TEXT"] };
    const list = async () => [
      { ...model, id: "amazon.nova-lite-v1:0" },
      { ...model, id: "anthropic.claude-sonnet-5" },
    ];
    const catalog = { ...CATALOG, list };
    const models = responded((await at(t, [get("/v1/models")], { catalog })).sent);
    assert.deepEqual(
      models.body.data.map(({ id }: { id: string }) => id),
      ["amazon.nova-lite-v1:0"],
    );
    const one = responded((await at(t, [get("/v1/models/amazon.nova-lite-v1%3A0")], { catalog })).sent);
    assert.deepEqual([one.status, one.body.id, one.body.object], [200, "amazon.nova-lite-v1:0", "model"]);
    const hidden = responded((await at(t, [get("/v1/models/anthropic.claude-sonnet-5")], { catalog })).sent);
    assert.deepEqual([hidden.status, hidden.body.error.code], [404, "model_not_found"]);
  });

  it("answers errors of unknown paths and wrong methods before it looks at a key", async (t) => {
    const authenticator = { authenticate: () => Promise.reject(new Error("no key is looked at")) };
    const unknown = responded((await at(t, [requestHeaders({ ":path": "/v1/nowhere" })], { authenticator })).sent);
    assert.deepEqual([unknown.status, unknown.body.error.code], [404, "unknown_url"]);
    const wrong = responded((await at(t, [get("/v1/chat/completions")], { authenticator })).sent);
    assert.deepEqual([wrong.status, wrong.headers.allow], [405, "POST, OPTIONS"]);
  });

  it("lets a browser's page read every answer, errors too", async (t) => {
    const event = requestHeaders({ origin: "https://app.example", authorization: "Basic x" });
    assert.equal(responded((await at(t, [event])).sent).headers["access-control-allow-origin"], "*");
  });

  it("reads the key from authorization first, then x-api-key and api-key", async (t) => {
    const seen: (string | undefined)[] = [];
    const authenticator = {
      async authenticate(secret: string | undefined) {
        seen.push(secret);
        return { key: KEY, team: null };
      },
    };
    const none = { authorization: undefined };
    for (const headers of [
      { "x-api-key": "b" },
      { ...none, "x-api-key": "b", "api-key": "c" },
      { ...none, "api-key": "c" },
      none,
    ])
      await at(t, [requestHeaders(headers)], { authenticator });
    assert.deepEqual(seen, ["sk-secret", "b", "c", undefined]);
  });
});

describe("a request that is forwarded", () => {
  it("is passed at its headers and goes out with its body, signed, without anything of the client's", async (t) => {
    const secrets = {
      cookie: "session=1",
      "x-api-key": "sk-2",
      "x-amz-date": "then",
      "accept-encoding": "gzip",
      constructor: "x",
    };
    const { sent, opened, closed } = await at(t, [requestHeaders(secrets), chatBody()]);
    assert.deepEqual(sent[0], { type: "pass", event: "request_headers" });
    const forward = sent[1];
    assert.ok(forward?.type === "forward");
    assert.deepEqual(forward.setHeaders, {
      ":path": "/model/amazon.nova-lite-v1%3A0/converse",
      ":authority": "bedrock-runtime.us-east-1.amazonaws.com",
      authorization: "AWS4-HMAC-SHA256 …",
      "content-type": "application/json",
      "content-length": String(forward.body.length),
    });
    assert.deepEqual([...forward.removeHeaders].sort(), Object.keys(secrets).sort());
    assert.match(forward.body.toString(), /Hello there/);
    assert.deepEqual(forward.metadata, {
      route: "tls",
      key_id: "key_1",
      dialect: "openai-chat",
      model: MODEL,
      stream: false,
    });
    assert.deepEqual(opened, ["11111111-2222-3333-4444-555555555555"]);
    assert.deepEqual(closed, []);
  });

  it("goes out only when its row is in the ledger", async (t) => {
    const row = Promise.withResolvers<void>();
    const exchange = await at(t, [requestHeaders()], {}, { open: () => row.promise.then(() => OPENED) });
    const work = exchange.receive(chatBody());
    await turn();
    assert.deepEqual(typesOf(exchange.sent), ["pass"]);
    row.resolve();
    await work;
    assert.deepEqual(typesOf(exchange.sent), ["pass", "forward"]);
  });

  it("has its trailers passed while its body is awaited", async (t) => {
    const { sent } = await at(t, [requestHeaders(), { type: "request_trailers" }]);
    assert.deepEqual(sent[1], { type: "pass", event: "request_trailers" });
  });
});

describe("an object in S3", () => {
  const withObject = (uri: string) =>
    chatBody({ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: uri } }] }] });

  it("is left to Bedrock where the operator allows its bucket", async (t) => {
    const { sent } = await at(t, [requestHeaders(), withObject("s3://shared-images/a/b.png")]);
    const forward = sent[1];
    assert.ok(forward?.type === "forward");
    assert.match(forward.body.toString(), /"s3Location":\{"uri":"s3:\/\/shared-images\/a\/b.png"/);
  });

  it("is refused anywhere else: Bedrock reads it with the gateway's rights", async (t) => {
    for (const bucket of ["private", "not-shared-images", "shared"]) {
      const { sent, opened } = await at(t, [requestHeaders(), withObject(`s3://${bucket}/a.png`)]);
      const answer = sent[1];
      assert.ok(answer?.type === "respond");
      assert.equal(answer.status, 400);
      assert.equal(JSON.parse(Buffer.from(answer.body).toString()).error.param, "messages[0].content[0].image_url.url");
      assert.deepEqual(opened, []);
    }
  });
});

describe("a whole answer", () => {
  it("is sent once it is complete, however it is cut, with the limits' headers and without Bedrock's own", async (t) => {
    for (const pieces of [
      [piece(ANSWER, true)],
      [piece(ANSWER), LAST],
      [...Array.from(ANSWER, (letter) => piece(letter)), LAST],
    ]) {
      const { sent, closed } = await at(t, [
        requestHeaders(),
        chatBody(),
        responseHeaders(200, "application/json", { "set-cookie": "x" }),
        ...pieces,
      ]);
      assert.deepEqual(typesOf(sent), ["pass", "forward", "response_headers", "response_body"]);
      const headers = sent[2];
      assert.ok(headers?.type === "response_headers");
      const body = bodyOf(sent);
      assert.equal(headers.status, 200);
      assert.deepEqual(headers.setHeaders, {
        "x-ratelimit-limit-requests": "5",
        // 3 × 0.06 and 2 × 0.24 USD per million
        "x-gateway-cost": "0.00000066",
        "content-type": "application/json",
      });
      assert.deepEqual(headers.removeHeaders, ["set-cookie"]);
      const { choices, usage } = JSON.parse(body);
      assert.equal(choices[0].message.content, "Hi.");
      assert.deepEqual([usage.prompt_tokens, usage.completion_tokens], [3, 2]);
      assert.deepEqual([closed[0]?.status, closed[0]?.httpStatus, closed[0]?.usage.inputTokens], ["ok", 200, 3]);
      assert.equal(lastMetadata(sent).input_tokens, 3);
      assert.equal(lastMetadata(sent).cost_usd, "0.00000066");
    }
  });

  it("has no cost, in headers or metadata, when its model has no price", async (t) => {
    const prices = { priceOf: () => undefined };
    const { sent } = await at(t, [...toJson, piece(ANSWER, true)], {}, {}, prices);
    const headers = sent.find((reply) => reply.type === "response_headers");
    assert.ok(headers && !Object.hasOwn(headers.setHeaders, "x-gateway-cost"));
    assert.equal(lastMetadata(sent).cost_usd, undefined);
    assert.equal(lastMetadata(sent).input_tokens, 3);
  });

  it("goes out when its row is closed, not before: whoever has the answer finds the row", async (t) => {
    const row = Promise.withResolvers<void>();
    const exchange = await at(t, toJson, {}, { close: () => row.promise });
    const work = exchange.receive(piece(ANSWER, true));
    await turn();
    assert.deepEqual(typesOf(exchange.sent), ["pass", "forward"]);
    row.resolve();
    await work;
    assert.deepEqual(typesOf(exchange.sent), ["pass", "forward", "response_headers", "response_body"]);
  });

  it("may end with trailers", async (t) => {
    const { sent } = await at(t, [...toJson, piece(ANSWER), { type: "response_trailers" }]);
    assert.match(bodyOf(sent), /"Hi\."/);
  });

  it("is sent although its row can't be closed", async (t) => {
    const close = () => Promise.reject(new Error("disk full"));
    const { sent, faults } = await at(t, [...toJson, piece(ANSWER, true)], {}, { close });
    assert.match(bodyOf(sent), /"Hi\."/);
    assert.match(String(faults[0]), /disk full/);
  });

  for (const [what, events] of [
    ["has no output", [jsonHeaders(), piece('{"Output":{"__type":"UnknownOperationException"}}', true)]],
    ["is not JSON", [jsonHeaders(), piece("<html>", true)]],
    ["is empty", [jsonHeaders(), LAST]],
    ["ends at its headers", [responseHeaders(200, "application/json", {}, true)]],
    ["is a stream that was not asked for", [streamHeaders(), piece(START, true)]],
    ["is larger than the gateway takes", [jsonHeaders(), ...Array(65).fill(piece(Buffer.alloc(1024 * 1024)))]],
  ] as const) {
    it(`is a 502 when it ${what}`, async (t) => {
      const { sent, closed } = await at(t, [requestHeaders(), chatBody(), ...events]);
      assert.deepEqual([responded(sent).status, responded(sent).body.error.code], [502, "upstream_invalid_response"]);
      assert.deepEqual([closed[0]?.status, closed[0]?.httpStatus], ["error", 502]);
    });
  }
});

describe("a stream", () => {
  it("is committed with its first event and passes each on as it comes: one piece in, none or one out", async (t) => {
    const exchange = await at(t, toStream);
    const types = async (bytes: Buffer) => {
      const before = exchange.sent.length;
      await exchange.receive(piece(bytes));
      return typesOf(exchange.sent.slice(before));
    };
    assert.deepEqual(await types(START.subarray(0, 20)), []);
    assert.deepEqual(await types(Buffer.concat([START.subarray(20), textFrame("a").subarray(0, 5)])), [
      "response_headers",
      "response_body",
    ]);
    assert.deepEqual(await types(Buffer.concat([textFrame("a").subarray(5), textFrame("b"), textFrame("c")])), [
      "response_body",
    ]);
    assert.deepEqual(await types(METADATA.subarray(0, 1)), []);
    assert.equal(bodyOf(exchange.sent).match(/"content":"[abc]"/g)?.length, 3);
  });

  it("ends with the finish, the usage and [DONE], its row closed before the last byte goes out", async () => {
    let sentAtClose: string[] = [];
    const exchange: TestExchange = openExchange(
      {},
      {
        async close() {
          sentAtClose = typesOf(exchange.sent);
        },
      },
    );
    await exchange.run(...toStream, piece(START), piece(textFrame("Hi.")), piece(STOP), piece(METADATA), LAST);
    const body = bodyOf(exchange.sent);
    assert.match(body, /"finish_reason":"stop".*"prompt_tokens":3.*data: \[DONE\]\n\n$/s);
    const last = exchange.sent.at(-1);
    assert.ok(last?.type === "response_body" && last.endOfStream);
    assert.equal(sentAtClose.length, exchange.sent.length - 1);
    assert.deepEqual([exchange.closed[0]?.status, exchange.closed[0]?.usage.outputTokens], ["ok", 2]);
    assert.equal(lastMetadata(exchange.sent).output_tokens, 2);
    const headers = exchange.sent.find((reply) => reply.type === "response_headers");
    assert.match(
      headers?.type === "response_headers" ? (headers.setHeaders["content-type"] ?? "") : "",
      /^text\/event-stream/,
    );
    assert.deepEqual(typesOf(exchange.sent).filter((type) => type === "response_headers").length, 1);
  });

  it("is the same text however its bytes are cut", async (t) => {
    const bytes = Buffer.concat([START, textFrame("naïve 😀"), STOP, METADATA]);
    const whole = bodyOf((await at(t, [...toStream, piece(bytes, true)])).sent);
    const cuts = Array.from({ length: Math.floor(bytes.length / 7) }, (_, index) => index * 7 + 1);
    for (const cut of cuts) {
      const { sent } = await at(t, [...toStream, piece(bytes.subarray(0, cut)), piece(bytes.subarray(cut), true)]);
      assert.equal(bodyOf(sent), whole);
    }
    const single = await at(t, [...toStream, ...Array.from(bytes, (byte) => piece(Buffer.from([byte]))), LAST]);
    assert.equal(bodyOf(single.sent), whole);
  });

  it("may end with trailers, or with its last frame's piece", async (t) => {
    for (const end of [
      [piece(STOP), { type: "response_trailers" } as const],
      [piece(STOP, true)],
      [piece(STOP), LAST],
    ]) {
      const { sent } = await at(t, [...toStream, piece(START), ...end]);
      assert.match(bodyOf(sent), /data: \[DONE\]\n\n$/);
      assert.ok(sent.filter((reply) => reply.type === "response_body" && reply.endOfStream).length === 1);
    }
  });

  for (const [what, bytes, code] of [
    ["an exception", exceptionFrame("throttlingException", { message: "slow" }), "rate_limit_exceeded"],
    ["a corrupt frame", eventFrame("messageStart", { role: "assistant" }, "message"), "upstream_invalid_response"],
  ] as const) {
    it(`becomes an HTTP status when it begins with ${what}`, async (t) => {
      const { sent, closed } = await at(t, [...toStream, piece(bytes)]);
      assert.deepEqual(typesOf(sent), ["pass", "forward", "respond"]);
      assert.equal(responded(sent).body.error.code, code);
      assert.equal(closed[0]?.errorCode, code);
      assert.equal(closed[0]?.usage.inputTokens, 0);
    });

    it(`ends with an error event after ${what} in its midst, what came before is not lost, and nothing looks complete`, async (t) => {
      const { sent, closed } = await at(t, [
        ...toStream,
        piece(START),
        piece(Buffer.concat([textFrame("first"), bytes, STOP])),
      ]);
      const body = bodyOf(sent);
      assert.match(body, new RegExp(`"content":"first".*data: {"error":{.*"code":"${code}"}}\n\n$`, "s"));
      assert.doesNotMatch(body, /DONE|"finish_reason":"/);
      const last = sent.at(-1);
      assert.ok(last?.type === "response_body" && last.endOfStream);
      assert.equal(last.metadata?.error, code);
      assert.deepEqual([closed[0]?.status, closed[0]?.httpStatus, closed[0]?.estimated], ["error", 200, true]);
      assert.equal(closed[0]?.usage.outputTokens, 2);
    });
  }

  for (const [what, pieces] of [
    ["without a messageStop", [piece(START), piece(textFrame("a")), LAST]],
    ["inside a frame", [piece(START), piece(textFrame("a")), piece(STOP.subarray(0, -3)), LAST]],
  ] as const) {
    it(`that ends ${what} is an error, not a finish`, async (t) => {
      const { sent, closed } = await at(t, [...toStream, ...pieces]);
      assert.match(bodyOf(sent), /"upstream_invalid_response"}}\n\n$/);
      assert.doesNotMatch(bodyOf(sent), /DONE/);
      assert.equal(closed[0]?.status, "error");
    });
  }

  it("is a 502 when it ends without anything, or is JSON", async (t) => {
    for (const events of [
      [responseHeaders(200, "application/vnd.amazon.eventstream", {}, true)],
      [streamHeaders(), LAST],
      [jsonHeaders(), piece(ANSWER, true)],
    ]) {
      const { sent } = await at(t, [requestHeaders(), chatBody(STREAM), ...events]);
      assert.deepEqual([responded(sent).status, responded(sent).body.error.code], [502, "upstream_invalid_response"]);
    }
  });
});

describe("a silent stream", () => {
  it("is committed after 15 seconds, and gets a comment each time that long passes again once its body has begun", async (t) => {
    const timers = fakeTimers(t);
    const exchange = await at(t, toStream);
    timers.pass(14_999);
    assert.deepEqual(typesOf(exchange.sent), ["pass", "forward"]);
    // Envoy takes no byte of a body before it has given one.
    timers.pass(1);
    timers.pass(15_000);
    assert.deepEqual(typesOf(exchange.sent), ["pass", "forward", "response_headers"]);
    await exchange.receive(piece(START.subarray(0, 5)));
    timers.pass(15_000);
    assert.equal(bodyOf(exchange.sent), ": keep-alive\n\n");
    timers.pass(10_000);
    await exchange.receive(piece(START.subarray(5)));
    timers.pass(14_999);
    assert.equal(bodyOf(exchange.sent).match(/keep-alive/g)?.length, 1);
    timers.pass(1);
    timers.pass(15_000);
    assert.equal(bodyOf(exchange.sent).match(/keep-alive/g)?.length, 3);
    await exchange.run(piece(STOP), LAST);
    const before = exchange.sent.length;
    timers.pass(60_000);
    assert.equal(exchange.sent.length, before);
    assert.equal(typesOf(exchange.sent).filter((type) => type === "response_headers").length, 1);
  });

  it("is silent for good once its client is gone", async (t) => {
    const timers = fakeTimers(t);
    const exchange = await at(t, toStream);
    assert.equal(timers.running, 1);
    exchange.close();
    assert.equal(timers.running, 0);
    timers.pass(60_000);
    assert.deepEqual(typesOf(exchange.sent), ["pass", "forward"]);
  });

  it("gets its error as an event once it has been committed", async (t) => {
    const timers = fakeTimers(t);
    const exchange = await at(t, toStream);
    timers.pass(15_000);
    await exchange.receive(piece(exceptionFrame("validationException", { message: "no" })));
    assert.match(bodyOf(exchange.sent), /^data: {"error":{"message":"no"/);
  });

  it("does not hold up an error or a whole answer", async (t) => {
    const timers = fakeTimers(t);
    const exchange = await at(t, [requestHeaders(), chatBody(STREAM), jsonHeaders(429)]);
    const whole = await at(t, toJson);
    timers.pass(60_000);
    assert.deepEqual(typesOf([...exchange.sent, ...whole.sent]), ["pass", "forward", "pass", "forward"]);
  });
});

describe("Bedrock's error", () => {
  for (const body of [{}, STREAM]) {
    it(`becomes its own status, ${"stream" in body ? "also where a stream was asked for" : "with its hints for a retry"}`, async (t) => {
      const headers = responseHeaders(429, "application/json", {
        "x-amzn-errortype": "ThrottlingException:http://x",
        "retry-after": "7",
      });
      const { sent, closed } = await at(t, [
        requestHeaders(),
        chatBody(body),
        headers,
        piece('{"mess'),
        piece('age":"slow"}', true),
      ]);
      const answer = responded(sent);
      assert.equal(answer.status, 429);
      assert.deepEqual(answer.body, {
        error: { message: "slow", type: "rate_limit_error", param: null, code: "rate_limit_exceeded" },
      });
      assert.equal(answer.headers["retry-after"], "7");
      assert.equal(answer.headers["retry-after-ms"], "7000");
      assert.equal(answer.headers["x-ratelimit-limit-requests"], "5");
      assert.equal(answer.metadata.error, "rate_limit_exceeded");
      assert.deepEqual(
        [closed[0]?.status, closed[0]?.httpStatus, closed[0]?.usage.inputTokens, closed[0]?.bedrockRequestId],
        ["error", 429, 0, "b-1"],
      );
    });
  }

  it("may come without a body, or with trailers", async (t) => {
    for (const events of [
      [responseHeaders(503, "", {}, true)],
      [jsonHeaders(503), LAST],
      [jsonHeaders(503), { type: "response_trailers" } as const],
    ]) {
      const { sent } = await at(t, [requestHeaders(), chatBody(), ...events]);
      assert.deepEqual([responded(sent).status, responded(sent).body.error.code], [503, "upstream_unavailable"]);
    }
  });

  it("is not read without end", async (t) => {
    const { sent } = await at(t, [
      requestHeaders(),
      chatBody(),
      jsonHeaders(500),
      piece(Buffer.alloc(1024 * 1024)),
      piece("x"),
    ]);
    assert.equal(responded(sent).status, 502);
  });
});

describe("Envoy's own reply", () => {
  for (const [status, flags, sentStatus, code] of [
    [413, "-", 413, "request_too_large"],
    [408, "-", 408, null],
    [400, "-", 400, null],
    [503, "UH", 503, "upstream_unavailable"],
    [503, "UF", 503, "upstream_unavailable"],
    [504, "UT", 504, "model_timeout"],
    [502, "UPE", 502, "upstream_invalid_response"],
  ] as const) {
    it(`${status} (${flags}) is ${sentStatus} in the dialect's shape, in both phases that wait for Bedrock`, async (t) => {
      for (const way of [[requestHeaders()], [requestHeaders(), chatBody()]]) {
        const local = responseHeaders(status, "text/plain", { "x-gateway-local-reply": flags });
        const { sent } = await at(t, [...way, local]);
        assert.deepEqual([responded(sent).status, responded(sent).body.error.code], [sentStatus, code]);
        assert.equal(responded(sent).metadata.answered, true);
      }
    });
  }

  it("is charged as an estimate only where the request had been sent to Bedrock", async (t) => {
    for (const [flags, tokens] of [
      ["UC", 3],
      ["UR", 3],
      ["UT", 3],
      ["SI", 3],
      ["UF,URX", 0],
      ["UH", 0],
      ["NR", 0],
    ] as const) {
      const local = responseHeaders(503, "text/plain", { "x-gateway-local-reply": flags });
      const { closed } = await at(t, [requestHeaders(), chatBody(), local]);
      assert.deepEqual([closed[0]?.usage.inputTokens, closed[0]?.estimated], [tokens, tokens > 0], flags);
    }
  });
});

describe("a failure before the request is forwarded", () => {
  const fail = (code: ErrorCode, details = {}) => Promise.reject(new GatewayError(code, "why", details));
  const bug = () => Promise.reject(new TypeError("internals of the gateway"));
  const limiter = (admit: ExchangeServices["limiter"]["admit"]) => ({ lost: false, admit, close: async () => {} });
  const cases: readonly (readonly [
    what: string,
    events: readonly EnvoyEvent[],
    services: Partial<ExchangeServices>,
    status: number,
    code: string | null,
  ])[] = [
    [
      "a key that is not valid",
      [requestHeaders()],
      { authenticator: { authenticate: () => fail("invalid_api_key") } },
      401,
      "invalid_api_key",
    ],
    ["another authorization scheme", [requestHeaders({ authorization: "Basic x" })], {}, 401, "invalid_api_key"],
    [
      "keys that can't be read",
      [requestHeaders()],
      { authenticator: { authenticate: () => fail("unavailable") } },
      503,
      "unavailable",
    ],
    [
      "a bug while the key is read",
      [requestHeaders()],
      { authenticator: { authenticate: bug } },
      500,
      "internal_error",
    ],
    [
      "a limit that is reached",
      [requestHeaders()],
      { limiter: limiter(() => fail("rate_limit_exceeded", { retryAfter: 3 })) },
      429,
      "rate_limit_exceeded",
    ],
    [
      "a spent budget",
      [requestHeaders()],
      { budgets: { check: () => fail("insufficient_quota") }, limiter: limiter(() => fail("internal_error")) },
      429,
      "insufficient_quota",
    ],
    ["a request without a body", [requestHeaders({}, true)], {}, 400, null],
    ["a compressed body", [requestHeaders({ "content-encoding": "gzip" })], {}, 400, null],
    ["a body that is not UTF-8", [requestHeaders(), requestBody(Buffer.from([0x22, 0xff, 0x22]))], {}, 400, null],
    ["a body that is not JSON", [requestHeaders(), requestBody("{")], {}, 400, null],
    ["an empty body", [requestHeaders(), requestBody("")], {}, 400, null],
    ["a body that the dialect refuses", [requestHeaders(), chatBody({ messages: "x" })], {}, 400, null],
    ["a model that can't exist", [requestHeaders(), chatBody({ model: "../../x y" })], {}, 404, "model_not_found"],
    [
      "a model outside the key's list",
      [requestHeaders(), chatBody({ model: "meta.llama" })],
      {},
      403,
      "model_not_allowed",
    ],
    [
      "missing AWS credentials",
      [requestHeaders(), chatBody()],
      { calls: { prepare: () => fail("upstream_auth_error") } },
      500,
      "upstream_auth_error",
    ],
    ["a bug while signing", [requestHeaders(), chatBody()], { calls: { prepare: bug } }, 500, "internal_error"],
    [
      "a catalog that throws",
      [requestHeaders(), chatBody()],
      { catalog: { ...CATALOG, foundationModel: bug } },
      500,
      "internal_error",
    ],
    [
      "a list of models that can't be had",
      [get("/v1/models")],
      { catalog: { ...CATALOG, list: () => fail("upstream_unavailable") } },
      503,
      "upstream_unavailable",
    ],
    [
      "a ledger that can't be written",
      [requestHeaders(), chatBody()],
      { recorder: { open: () => fail("unavailable") } },
      503,
      "unavailable",
    ],
    ["a drain", [requestHeaders()], { accepting: () => false }, 503, "unavailable"],
  ];
  for (const [what, events, services, status, code] of cases) {
    it(`is answered at once and nothing goes out: ${what}`, async (t) => {
      const { sent, opened, faults, refused } = await at(t, events, services);
      const answer = responded(sent);
      assert.deepEqual([answer.status, answer.body.error.code], [status, code]);
      assert.equal(answer.headers["content-type"], "application/json");
      assert.equal(answer.metadata.answered, true);
      assert.equal(typeof answer.metadata.error, "string");
      assert.deepEqual(
        typesOf(sent).filter((type) => type !== "pass" && type !== "respond"),
        [],
      );
      assert.doesNotMatch(JSON.stringify(answer), /internals/);
      assert.deepEqual(opened, []);
      assert.equal(refused.length, 1);
      assert.deepEqual([refused[0]?.status, refused[0]?.error], [status, answer.metadata.error]);
      // The client's own faults and limits are no news for the operator; all others are.
      assert.equal(faults.length, status >= 500 ? 1 : 0);
    });
  }

  it("tells when to try again, and when not to", async (t) => {
    const answer = async (code: ErrorCode, details = {}) =>
      responded((await at(t, [requestHeaders()], { limiter: limiter(() => fail(code, details)) })).sent).headers;
    const limited = await answer("rate_limit_exceeded", {
      retryAfter: 3,
      headers: { "x-ratelimit-remaining-requests": "0" },
    });
    assert.equal(limited["retry-after"], "3");
    assert.equal(limited["retry-after-ms"], "3000");
    assert.equal(limited["x-ratelimit-remaining-requests"], "0");
    assert.equal((await answer("insufficient_quota"))["x-should-retry"], "false");
  });

  it("names the field at fault", async (t) => {
    const { sent } = await at(t, [requestHeaders(), chatBody({ temperature: "hot" })]);
    assert.equal(responded(sent).body.error.param, "temperature");
  });
});

describe("a client that goes away", () => {
  it("while its key is read is answered nothing, and nothing is forwarded", async (t) => {
    const key = Promise.withResolvers<typeof KEY>();
    const authenticate = async () => ({ key: await key.promise, team: null });
    const exchange = await at(t, [], { authenticator: { authenticate } });
    const work = exchange.receive(requestHeaders());
    exchange.close();
    key.resolve(KEY);
    await work;
    assert.deepEqual(exchange.sent, []);
  });

  it("while its request is signed leaves no row", async (t) => {
    const gate = Promise.withResolvers<void>();
    const calls = {
      async prepare() {
        await gate.promise;
        return { route: "tls", authority: "a", path: "/p", headers: {}, body: Buffer.alloc(0) } as const;
      },
    };
    const exchange = await at(t, [requestHeaders()], { calls });
    const work = exchange.receive(chatBody());
    exchange.close();
    gate.resolve();
    await work;
    assert.deepEqual(typesOf(exchange.sent), ["pass"]);
    assert.deepEqual(exchange.opened, []);
  });

  it("while its row is written is forwarded nothing; the row ends interrupted and free", async (t) => {
    const row = Promise.withResolvers<void>();
    const exchange = await at(t, [requestHeaders()], {}, { open: () => row.promise.then(() => OPENED) });
    const work = exchange.receive(chatBody());
    await turn();
    exchange.close();
    row.resolve();
    await work;
    assert.deepEqual(typesOf(exchange.sent), ["pass"]);
    assert.deepEqual(
      [exchange.closed[0]?.status, exchange.closed[0]?.httpStatus, exchange.closed[0]?.usage.inputTokens],
      ["interrupted", 499, 0],
    );
  });

  for (const [what, way, httpStatus, inputTokens, outputTokens] of [
    ["before Bedrock answers", [requestHeaders(), chatBody()], 499, 3, 0],
    ["while a whole answer comes", [...toJson, piece(ANSWER.slice(0, 20))], 499, 3, 0],
    ["before its stream is committed", toStream, 499, 3, 0],
    ["in the middle of its stream", [...toStream, piece(START), piece(textFrame("12345678"))], 200, 3, 2],
    ["while Bedrock's refusal is read", [requestHeaders(), chatBody(), jsonHeaders(429), piece("{")], 499, 0, 0],
  ] as const) {
    it(`${what} has its row closed as interrupted, ${httpStatus}`, async (t) => {
      const exchange = await at(t, way);
      const before = exchange.sent.length;
      exchange.close();
      await turn();
      assert.equal(exchange.sent.length, before);
      const [closing, ...more] = exchange.closed;
      assert.deepEqual(more, []);
      assert.deepEqual(
        [
          closing?.status,
          closing?.httpStatus,
          closing?.usage.inputTokens,
          closing?.usage.outputTokens,
          closing?.estimated,
        ],
        ["interrupted", httpStatus, inputTokens, outputTokens, inputTokens > 0],
      );
    });
  }

  it("while its row is closed gets nothing more, and the row says that all went well", async (t) => {
    for (const way of [[...toJson], [...toStream, piece(START), piece(STOP), piece(METADATA)]]) {
      const row = Promise.withResolvers<void>();
      const exchange = await at(t, way, {}, { close: () => row.promise });
      const work = exchange.receive(way.length === 3 ? piece(ANSWER, true) : LAST);
      await turn();
      const before = exchange.sent.length;
      exchange.close();
      row.resolve();
      await work;
      assert.equal(exchange.sent.length, before);
      assert.deepEqual(
        exchange.closed.map(({ status }) => status),
        ["ok"],
      );
    }
  });

  it("while an error's row is closed gets nothing more", async (t) => {
    const row = Promise.withResolvers<void>();
    const exchange = await at(t, [requestHeaders(), chatBody(), jsonHeaders(400)], {}, { close: () => row.promise });
    const work = exchange.receive(piece("{}", true));
    await turn();
    exchange.close();
    row.resolve();
    await work;
    assert.deepEqual(typesOf(exchange.sent), ["pass", "forward"]);
    assert.deepEqual(
      exchange.closed.map(({ status }) => status),
      ["error"],
    );
  });
});

/** An exchange that has had these events; it is closed when the test ends, so that no timer stays. */
async function at(
  t: TestContext,
  way: readonly EnvoyEvent[],
  services: Partial<ExchangeServices> = {},
  ledger: Parameters<typeof openExchange>[1] = {},
  prices?: Prices,
): Promise<TestExchange> {
  const exchange = openExchange(services, ledger, prices);
  t.after(() => exchange.close());
  await exchange.run(...way);
  return exchange;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function lastMetadata(sent: readonly Reply[]): Readonly<Record<string, unknown>> {
  const last = sent.at(-1);
  return last?.type === "response_body" ? (last.metadata ?? {}) : {};
}
