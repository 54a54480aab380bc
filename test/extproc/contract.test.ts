/** What every dialect gets from the exchange: errors of its own shape, and whatever happens paid for and given back. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { Field } from "../../src/dialects/fields.ts";
import { dialects } from "../../src/dialects/index.ts";
import { GatewayError } from "../../src/errors.ts";
import type { ExchangeServices } from "../../src/extproc/exchange.ts";
import type { EnvoyEvent } from "../../src/extproc/wire.ts";
import type { JsonObject } from "../../src/json.ts";
import { eventFrame, exceptionFrame } from "../../src/simulator/event-stream.ts";
import { type Answer, clientOf, hearStream, hearWhole } from "../dialects/contract-clients.ts";
import { fakeTimers } from "./fake-timers.ts";
import {
  ANSWER,
  bodyOf,
  jsonHeaders,
  LAST,
  METADATA,
  MODEL,
  openExchange,
  piece,
  requestBody,
  requestHeaders,
  responded,
  STOP,
  streamHeaders,
  type TestExchange,
  textFrame,
} from "./test-exchange.ts";

const START = eventFrame("messageStart", { role: "assistant" });
const SLOW_DOWN = exceptionFrame("throttlingException", { message: "Slow down." });
/** As Bedrock told them; the prompt's are what the gateway takes it for, and an answer of 8 letters is 2. */
const TOLD = { input: 3, output: 2, read: 0, written: 0 };

for (const dialect of dialects) {
  describe(`an exchange of ${dialect.name}`, () => {
    const client = clientOf(dialect);
    const [path = ""] = dialect.paths;
    const ask = (more: JsonObject = {}): EnvoyEvent[] => [
      requestHeaders({ ":path": `/v1${path}` }),
      requestBody(JSON.stringify({ ...client.request, model: MODEL, ...more })),
    ];
    const toStream = [...ask(client.streamed), streamHeaders()];
    const heard = ({ sent }: TestExchange): Answer => hearStream(client, bodyOf(sent));
    const refusal = ({ sent }: TestExchange) => {
      const { status, body } = responded(sent);
      client.checkError(Field.root(body));
      return [status, body.error.message];
    };

    it("gives a whole answer, and charges what Bedrock told", async (t) => {
      const exchange = await at(t, [...ask(), jsonHeaders(), piece(ANSWER, true)]);
      const { choices, usage } = hearWhole(client, JSON.parse(bodyOf(exchange.sent)));
      assert.deepEqual([choices[0]?.text, usage], ["Hi.", [TOLD]]);
      assertClosed(exchange, ["ok", 200, undefined, 3, 2, false]);
      assertGivenBack(exchange, 5);
    });

    it("streams, and charges what Bedrock told", async (t) => {
      const exchange = await at(t, [
        ...toStream,
        piece(START),
        piece(textFrame("Hi.")),
        piece(STOP),
        piece(METADATA),
        LAST,
      ]);
      const { choices, usage, ends } = heard(exchange);
      assert.deepEqual([choices[0]?.text, usage, ends], ["Hi.", [TOLD], 1]);
      assertClosed(exchange, ["ok", 200, undefined, 3, 2, false]);
      assertGivenBack(exchange, 5);
    });

    it("charges by estimate for a client that leaves in the middle", async (t) => {
      const exchange = await at(t, [...toStream, piece(START), piece(textFrame("12345678"))]);
      exchange.close();
      await settled();
      const { finishes, ends, errors } = heard(exchange);
      assert.deepEqual([finishes, ends, errors], [[], 0, []]);
      const prompt = exchange.closed[0]?.usage.inputTokens ?? 0;
      assert.ok(prompt > 0);
      assertClosed(exchange, ["interrupted", 200, undefined, prompt, 2, true]);
      assertGivenBack(exchange, prompt + 2);
    });

    for (const [what, events] of [
      ["an error instead of a whole answer", [...ask(), jsonHeaders(429), piece('{"message":"Slow down."}', true)]],
      [
        "an error instead of a stream",
        [...ask(client.streamed), jsonHeaders(429), piece('{"message":"Slow down."}', true)],
      ],
      ["a stream that begins with an exception", [...toStream, piece(SLOW_DOWN), LAST]],
    ] as const) {
      it(`answers ${what} with an HTTP error of its own`, async (t) => {
        const exchange = await at(t, events);
        assert.deepEqual(refusal(exchange), [429, "Slow down."]);
        assert.deepEqual([exchange.closed[0]?.status, exchange.closed[0]?.httpStatus], ["error", 429]);
        assertGivenBack(exchange);
      });
    }

    it("ends a stream that has begun with an error event", async (t) => {
      const exchange = await at(t, [...toStream, piece(START), piece(textFrame("12345678")), piece(SLOW_DOWN), LAST]);
      const { finishes, ends, errors, choices } = heard(exchange);
      assert.deepEqual([finishes, ends, errors, choices[0]?.text], [[], 0, ["Slow down."], "12345678"]);
      assert.deepEqual([exchange.closed.length, exchange.closed[0]?.status], [1, "error"]);
      assert.equal(exchange.closed[0]?.errorCode, "rate_limit_exceeded");
      assertGivenBack(exchange);
    });

    it("ends a stream that Bedrock breaks off with an error event", async (t) => {
      const exchange = await at(t, [...toStream, piece(START), piece(textFrame("12345678")), LAST]);
      const { finishes, ends, errors } = heard(exchange);
      assert.deepEqual([finishes, ends, errors.length], [[], 0, 1]);
      assert.equal(exchange.closed[0]?.estimated, true);
      assertGivenBack(exchange);
    });

    it("fills silence with what its clients skip", async (t) => {
      const timers = fakeTimers(t);
      const exchange = await at(t, [...toStream, piece(START.subarray(0, 5))]);
      timers.pass(15_000);
      assert.notEqual(bodyOf(exchange.sent), "");
      await exchange.run(piece(START.subarray(5)), piece(textFrame("Hi.")), piece(STOP), piece(METADATA), LAST);
      const { choices, usage, ends } = heard(exchange);
      assert.deepEqual([choices[0]?.text, usage, ends], ["Hi.", [TOLD], 1]);
    });

    it("refuses in its own shape what is not JSON, a model that is not the key's, and a key that is none", async (t) => {
      const [head = LAST] = ask();
      assert.equal(refusal(await at(t, [head, requestBody("{")]))[0], 400);
      assert.equal(refusal(await at(t, ask({ model: "meta.x" })))[0], 403);
      const wrong = new GatewayError("invalid_api_key", "No such key.");
      const authenticator = { authenticate: () => Promise.reject(wrong) };
      const unknown = await at(t, ask().slice(0, 1), { authenticator });
      assert.deepEqual(refusal(unknown), [401, "No such key."]);
      assert.deepEqual([unknown.opened, unknown.admission.calls], [[], []]);
    });

    it("refuses in its own shape what the caller's limits refuse, before a row is opened", async (t) => {
      const admit = () => Promise.reject(new GatewayError("rate_limit_exceeded", "Too many.", { retryAfter: 7 }));
      const exchange = await at(t, ask().slice(0, 1), { limiter: { admit, lost: false, close: async () => {} } });
      assert.deepEqual(refusal(exchange), [429, "Too many."]);
      assert.equal(responded(exchange.sent).headers["retry-after"], "7");
      assert.deepEqual(exchange.opened, []);
    });
  });
}

function assertClosed({ opened, closed }: TestExchange, expected: readonly unknown[]): void {
  assert.equal(opened.length, 1);
  const rows = closed.map(({ status, httpStatus, errorCode, usage, estimated }) => [
    status,
    httpStatus,
    errorCode,
    usage.inputTokens,
    usage.outputTokens,
    estimated,
  ]);
  assert.deepEqual(rows, [expected]);
}

/** Tokens are reserved once and put right once, and the place is given back once. */
function assertGivenBack({ admission, closed }: TestExchange, tokens?: number): void {
  const usage = closed[0]?.usage;
  assert.ok(usage);
  assert.deepEqual(admission.calls.map(([what]) => what).sort(), ["release", "reserve", "settle"]);
  const settled = admission.calls.find(([what]) => what === "settle");
  assert.deepEqual(settled, ["settle", tokens ?? usage.inputTokens + usage.outputTokens]);
}

/** What was begun by a client's leaving is over. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function at(
  t: TestContext,
  events: readonly EnvoyEvent[],
  services: Partial<ExchangeServices> = {},
): Promise<TestExchange> {
  const exchange = openExchange({ dialects, ...services });
  t.after(() => exchange.close());
  await exchange.run(...events);
  return exchange;
}
