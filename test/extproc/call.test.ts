import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConverseCalls } from "../../src/bedrock/converse-call.ts";
import { GatewayError } from "../../src/errors.ts";
import type { Reply } from "../../src/extproc/wire.ts";
import type { Attempt } from "../../src/models/call-plan.ts";
import { eventFrame, exceptionFrame } from "../../src/simulator/event-stream.ts";
import { fakeTimers } from "./fake-timers.ts";
import {
  ANSWER,
  attemptAt,
  ERROR_BODY,
  EVENT_STREAM,
  give,
  JSON_TYPE,
  openCall,
  settled,
  type TestCall,
  WHOLE_STREAM,
} from "./test-call.ts";
import { bodyOf, KEY, responded, STOP, textFrame, typesOf } from "./test-exchange.ts";

const OPENED = { opened: true, budgets: [] };
const START = eventFrame("messageStart", { role: "assistant" });
const EXCEPTION = exceptionFrame("throttlingException", { message: "slow" });
const OTHER = "amazon.nova-pro-v1:0";
const STREAM = { stream: true } as const;
const QUESTION = { messages: [{ role: "user" as const, content: [{ text: "Hello there" }] }] };

function other({ stream = false, fallback = true, model = OTHER } = {}): Attempt {
  return attemptAt(model, { request: QUESTION, intent: {}, stream }, fallback);
}

/** One attempt after the first, then none. */
function once(attempt: Attempt): () => Promise<Attempt | undefined> {
  let left = 1;
  return async () => (left-- > 0 ? attempt : undefined);
}

describe("an attempt after a failure", () => {
  it("answers whole, in the place of what Envoy has", async () => {
    const test = openCall({ next: once(other()) });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    assert.deepEqual(test.sent, []);
    assert.match(test.outgoing[0]?.signed.path ?? "", /nova-pro.*\/converse$/);
    await give(test.outgoing[0]?.answer(200, JSON_TYPE) ?? assert.fail(), ANSWER);
    assert.deepEqual(typesOf(test.sent), ["response_headers", "response_body"]);
    assert.equal(JSON.parse(bodyOf(test.sent)).choices[0].message.content, "Hi.");
    const headers = headersOf(test.sent);
    assert.deepEqual(
      [headers["x-gateway-attempts"], headers["x-gateway-model"], headers["x-amzn-requestid"]],
      ["2", OTHER, "b-own-1"],
    );
    assert.deepEqual(
      test.rows.map(({ id, callId, modelInvoked, closing }) => [
        id,
        callId,
        modelInvoked,
        closing?.status,
        closing?.httpStatus,
        closing?.bedrockRequestId,
      ]),
      [
        ["r1", undefined, "amazon.nova-lite-v1:0", "error", 429, "b-1"],
        ["r1/2", "r1", OTHER, "ok", 200, "b-own-1"],
      ],
    );
    const { metadata } = lastOf(test.sent);
    assert.deepEqual(
      [metadata?.attempts, metadata?.model, metadata?.input_tokens, metadata?.estimated, metadata?.error],
      [2, OTHER, 3, false, undefined],
    );
    assert.deepEqual([test.failures.map(({ code }) => code), test.faults], [["rate_limit_exceeded"], []]);
  });

  it("names the model behind an ARN that its client did not write, not the account", async () => {
    const arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
    const attempt = other();
    const target = { ...attempt.target, modelId: arn, foundationModel: "amazon.nova-pro-v1:0" };
    const test = openCall({ next: once({ ...attempt, target }) });
    await test.forward();
    await test.answeredWith(503, JSON_TYPE, "");
    await give(test.outgoing[0]?.answer(200, JSON_TYPE) ?? assert.fail(), ANSWER);
    assert.equal(headersOf(test.sent)["x-gateway-model"], "amazon.nova-pro-v1:0");
  });

  it("answers as a stream, piece by piece, its headers named before the first of them", async () => {
    const test = openCall({ body: STREAM, next: once(other(STREAM)) });
    await test.forward();
    await test.answeredWith(503, JSON_TYPE, "");
    const body = test.outgoing[0]?.answer(200, EVENT_STREAM) ?? assert.fail();
    body.push(START);
    await settled();
    assert.deepEqual(typesOf(test.sent), ["response_headers", "response_body"]);
    assert.deepEqual(
      [headersOf(test.sent)["x-gateway-attempts"], headersOf(test.sent)["x-gateway-model"]],
      ["2", OTHER],
    );
    await give(body, WHOLE_STREAM);
    assert.match(bodyOf(test.sent), /"content":"Hi\.".*data: \[DONE\]\n\n$/s);
    assert.deepEqual(test.closings(), [
      ["error", 503, 0, false],
      ["ok", 200, 3, false],
    ]);
  });

  it("is made after an exception as a stream's first frame; what the first attempt still brings is dropped", async () => {
    const test = openCall({ body: STREAM, next: once(other(STREAM)) });
    await test.forward();
    const reader = test.answered(200, EVENT_STREAM);
    test.outlet.bodyBegun();
    await reader.push(EXCEPTION);
    await reader.push(Buffer.concat([START, textFrame("lost")]));
    await reader.end();
    await settled();
    await give(test.outgoing[0]?.answer(200, EVENT_STREAM) ?? assert.fail(), START, WHOLE_STREAM);
    assert.doesNotMatch(bodyOf(test.sent), /lost/);
    assert.match(bodyOf(test.sent), /"Hi\.".*DONE/s);
    assert.equal(test.outgoing.length, 1);
  });

  it("answers a stream from a whole answer where its model can't stream", async () => {
    const tools = [{ type: "function", function: { name: "look", parameters: { type: "object" } } }];
    const attempt = attemptAt(
      "meta.llama3-1-8b-instruct-v1:0",
      {
        request: { ...QUESTION, toolConfig: { tools: [{ toolSpec: { name: "look", inputSchema: { json: {} } } }] } },
        intent: {},
        stream: true,
      },
      true,
    );
    const test = openCall({ body: { ...STREAM, tools }, next: once(attempt) });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    assert.match(test.outgoing[0]?.signed.path ?? "", /\/converse$/);
    await give(test.outgoing[0]?.answer(200, JSON_TYPE) ?? assert.fail(), ANSWER.slice(0, 9), ANSWER.slice(9));
    assert.match(
      bodyOf(test.sent),
      /"role":"assistant".*"content":"Hi\.".*"finish_reason":"stop".*data: \[DONE\]\n\n$/s,
    );
    assert.deepEqual(test.closings()[1], ["ok", 200, 3, false]);
  });

  it("is made after an answer without a body, and what it brings goes out as a whole at the end", async () => {
    const test = openCall({ body: STREAM, next: once(other(STREAM)) });
    await test.forward();
    test.outlet.headersArrived(new Map(), true);
    await test.call.answered({ status: 503, headers: new Map() }).end();
    const body = (await sentOut(test)).answer(200, EVENT_STREAM);
    body.push(START);
    await settled();
    assert.equal(test.sent.length, 0);
    await give(body, WHOLE_STREAM);
    const reply = test.sent[0];
    assert.ok(reply?.type === "respond");
    assert.equal(reply.status, 200);
    assert.match(Buffer.from(reply.body).toString(), /"Hi\.".*data: \[DONE\]\n\n$/s);
  });

  it("is made after Envoy's own reply, and the first one is charged only if it had been sent", async () => {
    for (const lost of [true, false]) {
      const test = openCall({ next: once(other()) });
      await test.forward();
      test.outlet.headersArrived(new Map(), false);
      await test.call.unanswered(new GatewayError("upstream_unavailable", "no connection"), lost);
      test.outlet.bodyBegun();
      await settled();
      await give(test.outgoing[0]?.answer(200, JSON_TYPE) ?? assert.fail(), ANSWER);
      assert.match(bodyOf(test.sent), /"Hi\."/);
      assert.deepEqual(test.closings()[0], ["error", 503, lost ? 3 : 0, lost]);
    }
  });

  it("may fail itself and be followed by another one", async () => {
    const models = [OTHER, "amazon.nova-micro-v1:0"];
    const test = openCall({
      next: async () => {
        const model = models.shift();
        return model === undefined ? undefined : other({ model });
      },
    });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    await give(test.outgoing[0]?.answer(503, JSON_TYPE) ?? assert.fail(), "{}");
    await give(test.outgoing[1]?.answer(200, JSON_TYPE) ?? assert.fail(), ANSWER);
    assert.deepEqual(
      test.rows.map(({ id, closing }) => [id, closing?.status]),
      [
        ["r1", "error"],
        ["r1/2", "error"],
        ["r1/3", "ok"],
      ],
    );
    assert.equal(headersOf(test.sent)["x-gateway-attempts"], "3");
  });

  it("that has failed is not heard any more, however its connection ends", async () => {
    const test = openCall({ body: STREAM, next: async () => other(STREAM) });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    const failed = test.outgoing[0]?.answer(200, EVENT_STREAM) ?? assert.fail();
    failed.push(EXCEPTION);
    await settled();
    assert.equal(failed.destroyed, true);
    failed.destroy(new Error("ECONNRESET"));
    const body = test.outgoing[1]?.answer(200, EVENT_STREAM) ?? assert.fail();
    await give(body, START, WHOLE_STREAM);
    assert.equal(test.outgoing.length, 2);
    assert.deepEqual(test.closings(), [
      ["error", 429, 0, false],
      ["error", 429, 0, false],
      ["ok", 200, 3, false],
    ]);
  });

  it("tells in the warnings what became of the request", async () => {
    const conversation = { warnings: ["first é"] };
    const attempt = other();
    const warned = { ...attempt, adapted: { ...attempt.adapted, warnings: ["left out"] } };
    const test = openCall({ conversation, next: once(warned) });
    await test.forward();
    assert.equal(test.outlet.headers["x-gateway-warning"], "first ?");
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    await give(test.outgoing[0]?.answer(200, JSON_TYPE) ?? assert.fail(), ANSWER);
    assert.equal(headersOf(test.sent)["x-gateway-warning"], "first ?; left out");
  });
});

describe("no other attempt is made", () => {
  const refuseNext = () => assert.fail("nothing may follow");

  it("once something of the answer has gone to the client", async () => {
    const test = openCall({ body: STREAM, next: refuseNext });
    await test.forward();
    const reader = test.answered(200, EVENT_STREAM);
    test.outlet.bodyBegun();
    await reader.push(Buffer.concat([START, textFrame("begun"), EXCEPTION]));
    assert.match(bodyOf(test.sent), /"begun".*"code":"rate_limit_exceeded"}}\n\n$/s);
    assert.doesNotMatch(bodyOf(test.sent), /DONE/);
    assert.equal(lastOf(test.sent).metadata?.error, "rate_limit_exceeded");
    assert.deepEqual(test.closings(), [["error", 200, 3, true]]);
  });

  it("once headers have gone to the client because nothing else came", async (t) => {
    const timers = fakeTimers(t);
    const test = openCall({ body: STREAM, next: refuseNext });
    await test.forward();
    const reader = test.answered(200, EVENT_STREAM);
    timers.pass(15_000);
    test.outlet.bodyBegun();
    await reader.push(EXCEPTION);
    assert.match(bodyOf(test.sent), /^data: {"error"/);
    assert.equal(timers.running, 0);
  });

  it("when the plan knows none: then the error is the client's", async () => {
    const test = openCall();
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    assert.deepEqual([responded(test.sent).status, responded(test.sent).body.error.message], [429, "slow"]);
    assert.equal(responded(test.sent).headers["x-gateway-attempts"], undefined);
    assert.deepEqual(test.closings(), [["error", 429, 0, false]]);
  });
});

describe("a call whose attempts have all failed", () => {
  it("is an error of the model that was asked for, where fallbacks failed after it", async () => {
    const test = openCall({ next: once(other()) });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    const body = '{"message":"Input is too long for requested model."}';
    await give(
      test.outgoing[0]?.answer(400, JSON_TYPE, { "x-amzn-errortype": "ValidationException" }) ?? assert.fail(),
      body,
    );
    const answer = responded(test.sent);
    assert.deepEqual(
      [answer.status, answer.body.error.message, answer.headers["x-gateway-attempts"]],
      [429, "slow", "2"],
    );
    assert.equal(answer.headers["x-gateway-model"], undefined);
    assert.equal(answer.metadata.error, "rate_limit_exceeded");
    assert.deepEqual(
      test.rows.map(({ closing }) => [closing?.errorCode, closing?.httpStatus]),
      [
        ["rate_limit_exceeded", 429],
        ["context_length_exceeded", 429],
      ],
    );
  });

  it("is an error of the last attempt at the model that was asked for", async () => {
    const test = openCall({ next: once(other({ fallback: false })) });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    await give(test.outgoing[0]?.answer(503, JSON_TYPE) ?? assert.fail(), '{"message":"busy"}');
    assert.deepEqual([responded(test.sent).status, responded(test.sent).body.error.message], [503, "busy"]);
  });

  for (const [what, services] of [
    ["signed", { calls: failingAfterFirst() }],
    ["written to the ledger", {}],
  ] as const) {
    it(`is an error when the second one can't be ${what}`, async () => {
      let opened = 0;
      const open = async () => {
        opened += 1;
        if (what !== "signed" && opened > 1) throw new Error("disk full");
        return OPENED;
      };
      const test = openCall({ services, ledger: { open }, next: once(other({ fallback: false })) });
      await test.forward();
      await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
      await settled();
      assert.equal(responded(test.sent).body.error.code, what === "signed" ? "upstream_auth_error" : "unavailable");
      assert.deepEqual([test.outgoing.length, test.rows.length, test.faults.length], [0, 1, 1]);
    });
  }

  it("is one error event when the second one's stream breaks off, and is charged as an estimate", async () => {
    const test = openCall({ body: STREAM, next: once(other(STREAM)) });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    const body = test.outgoing[0]?.answer(200, EVENT_STREAM) ?? assert.fail();
    body.push(Buffer.concat([START, textFrame("begun")]));
    await settled();
    body.destroy(new Error("ECONNRESET"));
    await settled();
    assert.match(bodyOf(test.sent), /"begun".*"code":"upstream_invalid_response"}}\n\n$/s);
    assert.deepEqual(test.closings()[1], ["error", 200, 3, true]);
    assert.equal(test.faults.length, 1);
  });

  it("is charged as an estimate for a whole answer that broke off", async () => {
    const test = openCall({ next: once(other()) });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    const body = test.outgoing[0]?.answer(200, JSON_TYPE) ?? assert.fail();
    body.push(ANSWER.slice(0, 9));
    await settled();
    body.destroy(new Error("ECONNRESET"));
    await settled();
    assert.deepEqual(test.closings()[1], ["error", 429, 3, true]);
  });

  for (const [flags, tokens] of [
    ["UC", 3],
    ["UF", 0],
  ] as const) {
    it(`hears Envoy's own word on the egress listener: ${flags}`, async () => {
      const test = openCall({ next: once(other({ fallback: false })) });
      await test.forward();
      await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
      const mark = { "x-gateway-local-reply": flags };
      await give(test.outgoing[0]?.answer(503, JSON_TYPE, mark) ?? assert.fail(), '{"error":"Envoy: details"}');
      assert.equal(responded(test.sent).body.error.code, "upstream_unavailable");
      assert.doesNotMatch(JSON.stringify(responded(test.sent)), /details/);
      assert.deepEqual(test.closings()[1], ["error", 503, tokens, tokens > 0]);
    });
  }

  it("is a bug's error, and reported, when the egress listener throws what it should not", async () => {
    const test = openCall({ next: once(other({ fallback: false })) });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    test.outgoing[0]?.fail(new TypeError("internals"));
    await settled();
    assert.equal(responded(test.sent).body.error.code, "internal_error");
    assert.doesNotMatch(JSON.stringify(responded(test.sent)), /internals/);
    assert.equal(test.faults.length, 1);
  });

  it("is not committed by a keep-alive while its rows are being closed", async (t) => {
    const timers = fakeTimers(t);
    const row = Promise.withResolvers<void>();
    const test = openCall({ body: STREAM, ledger: { close: () => row.promise } });
    await test.forward();
    const reader = test.answered(200, EVENT_STREAM);
    test.outlet.bodyBegun();
    const work = reader.push(EXCEPTION);
    await settled();
    timers.pass(15_000);
    row.resolve();
    await work;
    assert.deepEqual(typesOf(test.sent), ["respond"]);
    assert.equal(responded(test.sent).status, 429);
    assert.equal(timers.running, 0);
  });
});

describe("an answer that can't be rendered", () => {
  const broken = () => {
    throw new TypeError("internals");
  };

  it("whole is an error of the gateway, not a client that waits for ever", async () => {
    const test = openCall({ conversation: { reply: broken } });
    await test.forward();
    const reader = test.answered(200, JSON_TYPE);
    test.outlet.bodyBegun();
    await reader.push(Buffer.from(ANSWER));
    // What the exchange does with a rejection.
    await Promise.resolve(reader.end()).catch((error) => test.call.unanswered(error, true));
    assert.equal(responded(test.sent).body.error.code, "internal_error");
    assert.match(String(test.faults[0]), /gateway failed/);
  });

  it("as the end of a stream is an error event", async () => {
    const test = openCall({ body: STREAM, conversation: { closing: broken } });
    await test.forward();
    const reader = test.answered(200, EVENT_STREAM);
    test.outlet.bodyBegun();
    await reader.push(Buffer.concat([START, WHOLE_STREAM]));
    await Promise.resolve(reader.end()).catch((error) => test.call.unanswered(error, true));
    assert.match(bodyOf(test.sent), /"code":"internal_error"}}\n\n$/);
    assert.doesNotMatch(bodyOf(test.sent), /DONE/);
  });

  it("is an error as well where an attempt of our own brought it", async () => {
    const test = openCall({ conversation: { reply: broken }, next: once(other({ fallback: false })) });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    await give(test.outgoing[0]?.answer(200, JSON_TYPE) ?? assert.fail(), ANSWER);
    assert.equal(responded(test.sent).body.error.code, "internal_error");
  });
});

describe("a client that goes away", () => {
  it("while the next attempt is looked for gets none", async () => {
    const next = Promise.withResolvers<Attempt | undefined>();
    const test = openCall({ next: () => next.promise });
    await test.forward();
    const work = test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    await settled();
    await leave(test);
    next.resolve(other());
    await work;
    assertGone(test, 0, [["interrupted", 499, 0, false]]);
  });

  it("while the failed attempt's row is closed gets no other attempt", async () => {
    const row = Promise.withResolvers<void>();
    const test = openCall({ next: once(other()), ledger: { close: () => row.promise } });
    await test.forward();
    const work = test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    await settled();
    const left = leave(test);
    row.resolve();
    await Promise.all([work, left]);
    assertGone(test, 0, [["error", 429, 0, false]]);
  });

  it("while the next attempt is signed leaves no row of it", async () => {
    const gate = Promise.withResolvers<void>();
    const signed = { route: "tls", authority: "a", path: "/p", headers: {}, body: Buffer.alloc(0) } as const;
    let calls = 0;
    const prepare = async () => {
      calls += 1;
      if (calls > 1) await gate.promise;
      return signed;
    };
    const test = openCall({ next: once(other()), services: { calls: { prepare } } });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    await leave(test);
    gate.resolve();
    await settled();
    assertGone(test, 0, [["error", 429, 0, false]]);
  });

  it("while the next attempt's row is written has that row closed, free", async () => {
    const gate = Promise.withResolvers<void>();
    let opened = 0;
    const open = async () => {
      opened += 1;
      if (opened > 1) await gate.promise;
      return OPENED;
    };
    const test = openCall({ next: once(other()), ledger: { open } });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    await leave(test);
    gate.resolve();
    await settled();
    assertGone(test, 0, [
      ["error", 429, 0, false],
      ["interrupted", 499, 0, false],
    ]);
  });

  it("while the next attempt waits for its answer has it aborted", async () => {
    const test = openCall({ next: once(other()) });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    await leave(test);
    assert.equal(test.outgoing[0]?.signal.aborted, true);
    assertGone(test, 1, [
      ["error", 429, 0, false],
      ["interrupted", 499, 3, true],
    ]);
  });

  it("while the next attempt's answer comes has its connection ended", async () => {
    const test = openCall({ body: STREAM, next: once(other(STREAM)) });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    const body = test.outgoing[0]?.answer(200, EVENT_STREAM) ?? assert.fail();
    body.push(Buffer.concat([START, textFrame("12345678")]));
    await settled();
    const before = test.sent.length;
    await leave(test);
    assert.equal(body.destroyed, true);
    assert.equal(test.sent.length, before);
    assert.deepEqual(test.closings()[1], ["interrupted", 200, 3, true]);
    assert.equal(test.rows[1]?.closing?.usage.outputTokens, 2);
  });

  it("just when the answer of an attempt begins leaves no timer and no connection", async (t) => {
    const timers = fakeTimers(t);
    const test = openCall({ body: STREAM, next: once(other(STREAM)) });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    const body = test.outgoing[0]?.answer(200, EVENT_STREAM) ?? assert.fail();
    body.push(START);
    const left = leave(test);
    await settled();
    await left;
    assert.deepEqual([timers.running, body.destroyed, test.sent], [0, true, []]);
  });

  it("while several choices are under way has all of them ended, and each row closed", async () => {
    const test = openCall({ body: { ...STREAM, n: 3 } });
    await test.forward();
    assert.equal(test.outgoing.length, 2);
    const body = test.outgoing[0]?.answer(200, EVENT_STREAM) ?? assert.fail();
    body.push(START);
    await settled();
    await leave(test);
    assert.deepEqual(
      test.outgoing.map(({ signal }) => signal.aborted),
      [true, true],
    );
    assertGone(test, 2, Array(3).fill(["interrupted", 499, 3, true]));
  });
});

describe("several choices", () => {
  it("have rows of their own, of one call, all in the same words", async () => {
    const test = openCall({ body: { n: 3 } });
    await test.forward();
    assert.deepEqual(test.rows.map(({ id, callId }) => [id, callId]).sort(), [
      ["r1", undefined],
      ["r1/2", "r1"],
      ["r1/3", "r1"],
    ]);
    assert.equal(new Set(test.outgoing.map(({ signed }) => signed.body.toString())).size, 1);
    await test.call.interrupted();
  });

  it("are held against the budgets by the first row, which is closed last", async () => {
    const budget = { subject: `key:${KEY.id}`, period: "month" } as const;
    const limited = { ...KEY, budget: 10n ** 12n };
    const test = openCall({ body: { n: 2, max_tokens: 100 }, caller: { key: limited }, next: once(other()) });
    await test.forward();
    const [first, second] = test.rows;
    assert.deepEqual([first?.budgets, second?.budgets], [[{ ...budget, limit: 10n ** 12n }], []]);
    // Nova Lite: 60,000 pico-dollars a token of the prompt, 240,000 of the answer.
    assert.equal(first?.reserved, 2n * (3n * 60_000n + 100n * 240_000n));

    // What takes the place of the first choice's attempt holds for both of them, and is not refused.
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    const third = test.rows[2];
    assert.deepEqual(third?.budgets, [{ ...budget, limit: undefined }]);
    assert.ok(third !== undefined && third.reserved > first.reserved);
    await give(test.outgoing[1]?.answer(200, JSON_TYPE) ?? assert.fail(), ANSWER);
    assert.equal(test.closings()[2]?.[0], undefined);
    await give(test.outgoing[0]?.answer(200, JSON_TYPE) ?? assert.fail(), ANSWER);
    assert.deepEqual(
      test.closings().map(([status]) => status),
      ["error", "ok", "ok"],
    );
  });

  it("are answered together, in their order, whichever comes first", async () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
    ]) {
      const test = openCall({ body: { n: 3 } });
      await test.forward();
      for (const index of order) {
        assert.deepEqual(test.sent, []);
        const text = ANSWER.replace("Hi.", `choice ${index}`);
        if (index === 0) await test.answeredWith(200, JSON_TYPE, text);
        else await give(test.outgoing[index - 1]?.answer(200, JSON_TYPE) ?? assert.fail(), text);
      }
      const [answer] = test.sent;
      const body = answer?.type === "respond" ? Buffer.from(answer.body).toString() : bodyOf(test.sent);
      assert.deepEqual(
        JSON.parse(body).choices.map(({ message }: { message: { content: string } }) => message.content),
        ["choice 0", "choice 1", "choice 2"],
      );
      assert.deepEqual(test.closings(), Array(3).fill(["ok", 200, 3, false]));
    }
  });

  it("are one stream, whose bytes wait for the first choice's body", async () => {
    const test = openCall({ body: { ...STREAM, n: 2 } });
    await test.forward();
    await give(test.outgoing[0]?.answer(200, EVENT_STREAM) ?? assert.fail(), START, WHOLE_STREAM);
    assert.deepEqual(test.sent, []);
    await test.answeredWith(200, EVENT_STREAM, Buffer.concat([START, WHOLE_STREAM]));
    const body = bodyOf(test.sent);
    assert.equal(body.match(/\[DONE\]/g)?.length, 1);
    assert.match(body, /"index":1.*"index":0.*data: \[DONE\]\n\n$/s);
    assert.deepEqual(test.closings(), Array(2).fill(["ok", 200, 3, false]));
  });

  it("end when one fails: the others are aborted, what has ended stays as it is", async () => {
    const test = openCall({ body: { n: 3 } });
    await test.forward();
    await give(test.outgoing[0]?.answer(200, JSON_TYPE) ?? assert.fail(), ANSWER);
    await give(
      test.outgoing[1]?.answer(424, JSON_TYPE, { "x-amzn-errortype": "ModelErrorException" }) ?? assert.fail(),
      "{}",
    );
    assert.equal(responded(test.sent).status, 502);
    assert.equal(test.outgoing[1]?.signal.aborted, true);
    const byId = Object.fromEntries(test.rows.map(({ id, closing }) => [id, [closing?.status, closing?.httpStatus]]));
    assert.deepEqual(byId, { r1: ["interrupted", 502], "r1/2": ["ok", 200], "r1/3": ["error", 502] });
    // Envoy's events for the first one may still come.
    const before = test.sent.length;
    await test.answeredWith(200, JSON_TYPE, ANSWER);
    assert.equal(test.sent.length, before);
  });

  it("may each be mended by attempts of their own", async () => {
    const asked: number[] = [];
    const test = openCall({
      body: { n: 2 },
      async next(_error, choice) {
        asked.push(choice);
        return other({ fallback: false });
      },
    });
    await test.forward();
    await give(test.outgoing[0]?.answer(429, JSON_TYPE) ?? assert.fail(), ERROR_BODY);
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    assert.deepEqual(asked, [1, 0]);
    for (const index of [1, 2]) await give(test.outgoing[index]?.answer(200, JSON_TYPE) ?? assert.fail(), ANSWER);
    assert.equal(JSON.parse(bodyOf(test.sent)).choices.length, 2);
    assert.equal(headersOf(test.sent)["x-gateway-attempts"], "4");
    assert.deepEqual(
      test.rows.map(({ id }) => id),
      ["r1", "r1/2", "r1/3", "r1/4"],
    );
  });

  it("that fail while the first has not begun are no stream any more", async () => {
    const test = openCall({ body: { ...STREAM, n: 2 } });
    await test.forward();
    const body = test.outgoing[0]?.answer(200, EVENT_STREAM) ?? assert.fail();
    await give(body, Buffer.concat([START, textFrame("lost"), EXCEPTION]));
    assert.deepEqual(typesOf(test.sent), ["respond"]);
    assert.equal(responded(test.sent).status, 429);
  });
});

describe("what an attempt of our own brings", () => {
  it("is read no faster than it is taken", async () => {
    let gate = Promise.withResolvers<void>();
    const test = openCall({
      body: STREAM,
      next: once(other(STREAM)),
      send: (reply) => (reply.type === "response_body" ? gate.promise : undefined),
    });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    const body = test.outgoing[0]?.answer(200, EVENT_STREAM) ?? assert.fail();
    for (const piece of [START, textFrame("a"), textFrame("b")]) {
      body.push(piece);
      await settled();
    }
    for (const pieces of [1, 2, 3]) {
      assert.equal(typesOf(test.sent).filter((type) => type === "response_body").length, pieces);
      const { resolve } = gate;
      gate = Promise.withResolvers();
      resolve();
      await settled();
    }
    gate.resolve();
    await give(body, STOP);
    assert.match(bodyOf(test.sent), /DONE/);
  });

  it("has a limit for the whole call", async () => {
    const test = openCall({ next: once(other({ fallback: false })) });
    await test.forward();
    await test.answeredWith(429, JSON_TYPE, ERROR_BODY);
    const body = test.outgoing[0]?.answer(200, JSON_TYPE) ?? assert.fail();
    const mebibyte = Buffer.alloc(1024 * 1024, " ");
    for (let mib = 0; mib < 65; mib += 1) body.push(mebibyte);
    await settled();
    await settled();
    assert.equal(responded(test.sent).status, 502);
    assert.equal(body.destroyed, true);
  });
});

/** The outgoing attempt, which may take a turn. */
async function sentOut(test: TestCall) {
  await settled();
  return test.outgoing[0] ?? assert.fail("nothing went out");
}

/** What the exchange does when Envoy ends the stream. */
async function leave({ call, outlet }: TestCall): Promise<void> {
  const interrupted = call.interrupted();
  outlet.close();
  await interrupted;
  await settled();
}

function assertGone({ sent, outgoing, closings }: TestCall, attempts: number, rows: readonly unknown[]): void {
  assert.deepEqual(sent, []);
  assert.equal(outgoing.length, attempts);
  assert.deepEqual(closings(), rows);
}

function headersOf(sent: readonly Reply[]): Readonly<Record<string, string>> {
  const reply = sent.find(({ type }) => type === "response_headers");
  return reply?.type === "response_headers" ? reply.setHeaders : {};
}

function lastOf(sent: readonly Reply[]) {
  const last = sent.at(-1);
  return last?.type === "response_body" ? last : assert.fail(`the last reply is ${last?.type}`);
}

function failingAfterFirst(): ConverseCalls {
  let calls = 0;
  return {
    async prepare() {
      calls += 1;
      if (calls > 1) throw new GatewayError("upstream_auth_error", "no credentials");
      return { route: "tls", authority: "a", path: "/p", headers: {}, body: Buffer.alloc(0) };
    },
  };
}
