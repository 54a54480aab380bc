/** A caller's limits and budgets through the life of an exchange: what is taken when, and that it comes back. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { GatewayError } from "../../src/errors.ts";
import type { Reply } from "../../src/extproc/wire.ts";
import type { ExchangeSpan } from "../../src/telemetry/tracing.ts";
import { give, JSON_TYPE, openCall, settled } from "./test-call.ts";
import {
  ANSWER,
  chatBody,
  jsonHeaders,
  KEY,
  METADATA,
  openExchange,
  piece,
  requestBody,
  requestHeaders,
  responded,
  STOP,
  streamHeaders,
  textFrame,
} from "./test-exchange.ts";

const LIMITED = { key: { ...KEY, tpm: 1_000 }, team: null };
const caller = (key: Partial<typeof KEY>) => ({ authenticate: async () => ({ key: { ...KEY, ...key }, team: null }) });
const USD = 10n ** 12n;

describe("a caller's place among its limits", () => {
  it("is free again before the last byte of the answer goes out, whole or streamed", async () => {
    for (const [events, body] of [
      [[jsonHeaders()], piece(ANSWER, true)],
      [[streamHeaders(), piece(textFrame("Hi."))], piece(Buffer.concat([STOP, METADATA]), true)],
    ] as const) {
      const stream = events.length > 1;
      let released: number | undefined;
      const exchange = openExchange();
      const release = exchange.admission.release.bind(exchange.admission);
      exchange.admission.release = () => {
        released ??= exchange.sent.length;
        release();
      };
      await exchange.run(requestHeaders(), chatBody({ stream }), ...events, body);
      assert.equal(released, exchange.sent.length - 1);
      exchange.close();
    }
  });

  it("is given back when the gateway refuses, when the client leaves, and when it left while it was waited for", async () => {
    const refused = openExchange();
    await refused.run(requestHeaders(), requestBody("{"));
    assert.deepEqual(refused.admission.calls, [["settle", 0], ["release"]]);

    const left = openExchange();
    await left.run(requestHeaders());
    left.close();
    assert.deepEqual(left.admission.calls, [["release"]]);

    const gate = Promise.withResolvers<void>();
    const late = openExchange({ budgets: { check: () => gate.promise } });
    const headers = late.run(requestHeaders());
    late.close();
    gate.resolve();
    await headers;
    assert.deepEqual(late.admission.calls, [["release"]]);
  });
});

describe("tokens per minute", () => {
  it("are reserved for the prompt and the longest answer, and settled with what Bedrock counted", async () => {
    const exchange = openExchange({ authenticator: caller({ tpm: 1_000 }) });
    await exchange.run(requestHeaders(), chatBody({ max_tokens: 300 }), jsonHeaders(), piece(ANSWER, true));
    assert.deepEqual(exchange.admission.calls, [["reserve", 3, 300], ["settle", 5], ["release"]]);
  });

  it("count each of several choices, and every attempt", async () => {
    const choices = openCall({ caller: LIMITED, body: { n: 2, max_tokens: 300 } });
    await choices.forward();
    assert.deepEqual(choices.admission.calls, [["reserve", 6, 600]]);
    await choices.answeredWith(200, JSON_TYPE, ANSWER);
    await give(choices.outgoing[0]?.answer(200, JSON_TYPE) ?? assert.fail(), ANSWER);
    assert.deepEqual(choices.admission.calls.at(-1), ["settle", 10]);
  });

  it("are given back where Bedrock refuses, and estimated where the client leaves", async () => {
    const refused = openCall({ caller: LIMITED });
    await refused.forward();
    await refused.answeredWith(400, JSON_TYPE, '{"message":"no"}');
    assert.deepEqual(refused.admission.calls.at(-1), ["settle", 0]);

    const left = openCall({ caller: LIMITED });
    await left.forward();
    await left.call.interrupted();
    assert.deepEqual(left.admission.calls.at(-1), ["settle", 3]);
  });

  it("refuse with what is left in the headers, and nothing is forwarded", async () => {
    const exchange = openExchange({ authenticator: caller({ tpm: 1 }) });
    exchange.admission.reserveTokens = async () => {
      Object.assign(exchange.admission.headers, { "x-ratelimit-remaining-tokens": "0" });
      throw new GatewayError("rate_limit_exceeded", "too many", { retryAfter: 7 });
    };
    await exchange.run(requestHeaders(), chatBody());
    const { status, headers } = responded(exchange.sent);
    assert.deepEqual([status, headers["retry-after"], headers["x-ratelimit-remaining-tokens"]], [429, "7", "0"]);
    assert.deepEqual(exchange.opened, []);
  });
});

describe("budgets", () => {
  const budget = { subject: "key:key_1", period: "month", limit: 10n * USD } as const;

  it("refuse where the row would be opened: 429, not to be tried again, and tokens are given back", async () => {
    const states = [{ budget, spent: 9n * USD, reserved: 1n * USD }];
    const exchange = openExchange(
      { authenticator: caller({ budget: 10n * USD }) },
      { open: async () => ({ opened: false, budgets: states }) },
    );
    await exchange.run(requestHeaders(), chatBody());
    const { status, headers, body } = responded(exchange.sent);
    assert.deepEqual([status, body.error.code, headers["x-should-retry"]], [429, "insufficient_quota", "false"]);
    assert.match(body.error.message, /of 10 USD a month, 9 USD are spent and 1 USD held by calls that still run/);
    assert.deepEqual([exchange.opened, exchange.admission.calls.at(-2)], [[], ["settle", 0]]);
  });

  it("are asked about for the call and not for its further attempts", async () => {
    const asked: number[] = [];
    const call = openCall({
      caller: { key: { ...KEY, budget: 10n * USD } },
      body: { n: 2 },
      ledger: {
        async open({ budgets }) {
          asked.push(budgets.length);
          return { opened: true, budgets: [] };
        },
      },
    });
    await call.forward();
    await settled();
    assert.deepEqual(asked, [1, 0]);
  });

  it("warn in the answer's headers from the soft one on", async () => {
    const states = [{ budget, spent: 8n * USD, reserved: 0n }];
    const exchange = openExchange(
      { authenticator: caller({ budget: 10n * USD, softBudget: 8n * USD }) },
      { open: async () => ({ opened: true, budgets: states }) },
    );
    await exchange.run(requestHeaders(), chatBody(), jsonHeaders(), piece(ANSWER, true));
    const [headers] = exchange.sent.filter((reply) => reply.type === "response_headers");
    assert.match(
      headers?.setHeaders["x-gateway-warning"] ?? "",
      /soft budget of this API key .* of 8 USD a month, 8 USD/,
    );
  });
});

describe("the span of an exchange", () => {
  it("ends once, with what the client was sent", async () => {
    const ends: unknown[] = [];
    const span: ExchangeSpan = {
      traceId: undefined,
      attempt: () => ({ answered() {}, ended: ({ status }) => void ends.push(status) }),
      end: ({ status, error, keyId }) => void ends.push([status, error, keyId]),
    };
    const tracing = { exchange: () => span, shutdown: async () => {} };
    const run = async (...events: Parameters<ReturnType<typeof openExchange>["run"]>): Promise<Reply[]> => {
      const exchange = openExchange({ tracing });
      await exchange.run(requestHeaders(), ...events);
      exchange.close();
      await settled();
      return exchange.sent;
    };
    await run(chatBody(), jsonHeaders(), piece(ANSWER, true));
    await run(requestBody("{"));
    await run(chatBody());
    assert.deepEqual(ends, [
      "ok",
      [200, undefined, "key_1"],
      [400, "invalid_request", "key_1"],
      "interrupted",
      [499, "interrupted", "key_1"],
    ]);
  });
});
