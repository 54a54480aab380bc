import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { jsonAnswer } from "../../src/extproc/answers.ts";
import { Outlet } from "../../src/extproc/outlet.ts";
import type { Reply } from "../../src/extproc/wire.ts";
import { fakeTimers } from "./fake-timers.ts";
import { bodyOf, typesOf } from "./test-exchange.ts";

const UPSTREAM = new Map([
  [":status", "200"],
  ["content-type", "application/vnd.amazon.eventstream"],
  ["x-amzn-requestid", "b-1"],
  ["set-cookie", "x"],
]);
const MIB = 1024 * 1024;
const bytes = (text: string) => Buffer.from(text);

describe("pieces of a stream", () => {
  it("wait until Envoy has given the first of a body, and then follow its headers at once", () => {
    const { outlet, sent } = setUp();
    outlet.write(bytes("a"));
    outlet.headersArrived(UPSTREAM, false);
    outlet.write(bytes("b"));
    assert.deepEqual([sent, outlet.committed], [[], false]);
    outlet.bodyBegun();
    assert.deepEqual(typesOf(sent), ["response_headers", "response_body"]);
    outlet.write(bytes("c"));
    outlet.bodyBegun();
    assert.deepEqual(typesOf(sent), ["response_headers", "response_body", "response_body"]);
    assert.equal(bodyOf(sent), "abc");
    assert.equal(outlet.committed, true);
  });

  it("have a stream's headers, those of the call, and none of Bedrock's but its request id", () => {
    const { outlet, sent } = begun();
    outlet.headers["x-ratelimit-limit-requests"] = "5";
    outlet.write(bytes("a"));
    const [headers] = sent;
    assert.ok(headers?.type === "response_headers");
    assert.equal(headers.status, 200);
    assert.match(headers.setHeaders["content-type"] ?? "", /^text\/event-stream/);
    assert.equal(headers.setHeaders["x-ratelimit-limit-requests"], "5");
    assert.deepEqual(headers.removeHeaders, ["set-cookie"]);
  });

  it("commit nothing when none came before the body", () => {
    const { outlet, sent } = begun();
    assert.deepEqual([sent, outlet.committed], [[], false]);
  });

  it("end with the last one and what the access log is told", () => {
    const { outlet, sent } = begun();
    outlet.write(bytes("a"));
    outlet.finish(bytes("b"), { output_tokens: 2 });
    assert.deepEqual(sent.at(-1), {
      type: "response_body",
      body: bytes("b"),
      endOfStream: true,
      metadata: { output_tokens: 2 },
    });
    assert.deepEqual([outlet.finished, outlet.committed], [true, true]);
  });

  it("that have to wait for the end go out as one answer", () => {
    for (const endOfStream of [true, undefined]) {
      const { outlet, sent } = setUp();
      if (endOfStream !== undefined) outlet.headersArrived(UPSTREAM, endOfStream);
      outlet.headers["x-gateway-attempts"] = "2";
      outlet.write(bytes("a"));
      outlet.finish(bytes("b"), { output_tokens: 2 });
      const [answer, ...others] = sent;
      assert.ok(answer?.type === "respond");
      assert.deepEqual(others, []);
      assert.deepEqual([answer.status, Buffer.from(answer.body).toString()], [200, "ab"]);
      assert.match(answer.headers["content-type"] ?? "", /^text\/event-stream/);
      assert.equal(answer.headers["x-gateway-attempts"], "2");
      assert.deepEqual(answer.metadata, { output_tokens: 2, answered: true });
    }
  });

  it("are not sent when all is over", () => {
    for (const end of [
      (outlet: Outlet) => outlet.close(),
      (outlet: Outlet) => outlet.finish(bytes(""), {}),
      (outlet: Outlet) => outlet.respond(jsonAnswer(500, {}), {}),
    ]) {
      const { outlet, sent } = begun();
      end(outlet);
      const before = sent.length;
      outlet.write(bytes("late"));
      outlet.finish(bytes("late"), {});
      outlet.whole({}, {});
      outlet.bodyBegun();
      assert.equal(sent.length, before);
      assert.equal(outlet.finished, true);
    }
  });
});

describe("a whole answer", () => {
  it("is headers and the one piece of its body where Envoy has given one", () => {
    const { outlet, sent } = begun();
    outlet.whole({ a: 1 }, { attempts: 1 });
    const [headers, body] = sent;
    assert.ok(headers?.type === "response_headers" && body?.type === "response_body");
    assert.equal(headers.setHeaders["content-type"], "application/json");
    assert.deepEqual([body.body.toString(), body.endOfStream, body.metadata], ['{"a":1}', true, { attempts: 1 }]);
  });

  it("is an answer of our own where Envoy has none", () => {
    const { outlet, sent } = setUp();
    outlet.headersArrived(UPSTREAM, true);
    outlet.whole({ a: 1 }, {});
    assert.deepEqual(typesOf(sent), ["respond"]);
  });
});

describe("an answer of our own", () => {
  it("is refused once something has been sent", () => {
    const { outlet, sent } = begun();
    outlet.write(bytes("a"));
    assert.throws(() => outlet.respond(jsonAnswer(500, {}), {}), /after the answer has begun/);
    assert.throws(() => {
      outlet.close();
      outlet.respond(jsonAnswer(500, {}), {});
    }, /after the answer has begun/);
    assert.deepEqual(typesOf(sent), ["response_headers", "response_body"]);
  });

  it("takes the place of what has waited, and its headers go over those of the call", () => {
    const { outlet, sent } = setUp();
    outlet.headers["retry-after"] = "1";
    outlet.write(bytes("lost"));
    outlet.respond(jsonAnswer(429, { no: 1 }, { "retry-after": "7" }), { error: "e" });
    const [answer] = sent;
    assert.ok(answer?.type === "respond");
    assert.deepEqual([answer.headers["retry-after"], Buffer.from(answer.body).toString()], ["7", '{"no":1}']);
    assert.deepEqual(answer.metadata, { error: "e", answered: true });
  });
});

describe("silence", () => {
  it("is filled from the moment that a body has begun, counted from the last piece", (t) => {
    const timers = fakeTimers(t);
    const { outlet, sent } = begun();
    outlet.keepAlive(bytes("#"));
    outlet.keepAlive(bytes("#"));
    timers.pass(10_000);
    outlet.write(bytes("a"));
    timers.pass(14_999);
    assert.equal(bodyOf(sent), "a");
    timers.pass(1);
    timers.pass(15_000);
    assert.equal(bodyOf(sent), "a##");
  });

  it("has headers alone sent before a body has begun, and nothing for an answer without one", (t) => {
    const timers = fakeTimers(t);
    for (const [endOfStream, types] of [
      [false, ["response_headers"]],
      [true, []],
    ] as const) {
      const { outlet, sent } = setUp();
      outlet.headersArrived(UPSTREAM, endOfStream);
      outlet.keepAlive(bytes("#"));
      timers.pass(15_000);
      timers.pass(15_000);
      assert.deepEqual(typesOf(sent), types);
      outlet.close();
    }
    assert.equal(timers.running, 0);
  });

  it("is left as it is when the end is near, and leaves no timer behind", (t) => {
    const timers = fakeTimers(t);
    const { outlet, sent } = begun();
    outlet.keepAlive(bytes("#"));
    outlet.stopKeepAlive();
    assert.equal(timers.running, 0);
    timers.pass(60_000);
    outlet.respond(jsonAnswer(500, {}), {});
    outlet.keepAlive(bytes("#"));
    assert.equal(timers.running, 0);
    assert.deepEqual(typesOf(sent), ["respond"]);
  });
});

describe("a writer", () => {
  it("is asked to wait as long as Envoy takes no more", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const outlet = new Outlet((reply) => (reply.type === "response_body" ? promise : undefined));
    outlet.bodyBegun();
    const waiting = outlet.write(bytes("a"));
    assert.equal(await isSettled(waiting), false);
    resolve();
    assert.equal(await isSettled(waiting), true);
  });

  for (const [what, release] of [
    ["a body begins", (outlet: Outlet) => outlet.bodyBegun()],
    ["it is clear that none will", (outlet: Outlet) => outlet.headersArrived(UPSTREAM, true)],
    ["the client is gone", (outlet: Outlet) => outlet.close()],
    ["the answer is another one", (outlet: Outlet) => outlet.respond(jsonAnswer(500, {}), {})],
  ] as const) {
    it(`is asked to wait after a MiB that has no body yet, until ${what}`, async () => {
      const { outlet } = setUp();
      assert.equal(outlet.write(Buffer.alloc(MIB)), undefined);
      const waiting = [outlet.write(bytes("a")), outlet.write(bytes("b"))];
      for (const wait of waiting) assert.equal(await isSettled(wait), false);
      release(outlet);
      for (const wait of waiting) assert.equal(await isSettled(wait), true);
    });
  }

  it("can't fill the memory with an answer that has to wait for its end", () => {
    const { outlet } = setUp();
    outlet.headersArrived(UPSTREAM, true);
    for (let mib = 0; mib < 64; mib += 1) assert.equal(outlet.write(Buffer.alloc(MIB)), undefined);
    assert.throws(() => outlet.write(bytes("a")), { code: "upstream_invalid_response" });
  });
});

function setUp() {
  const sent: Reply[] = [];
  return { sent, outlet: new Outlet((reply) => void sent.push(reply)) };
}

function begun() {
  const it = setUp();
  it.outlet.headersArrived(UPSTREAM, false);
  it.outlet.bodyBegun();
  return it;
}

async function isSettled(work: void | Promise<void>): Promise<boolean> {
  const pending = Symbol("pending");
  return (await Promise.race([work, new Promise((resolve) => setImmediate(resolve, pending))])) !== pending;
}

describe("a stream of another kind", () => {
  const opening = { status: 400, headers: { "content-type": "application/x-other", "x-amzn-errortype": "X" } };

  it("sends its own status and headers at once, and then its bytes", () => {
    const { outlet, sent } = setUp();
    outlet.headers["x-ratelimit-limit-requests"] = "5";
    outlet.headersArrived(UPSTREAM, false);
    assert.equal(outlet.status, undefined);
    outlet.begin(opening);
    assert.equal(outlet.status, 400);
    outlet.bodyBegun();
    outlet.write(bytes("a"));
    outlet.finish(bytes("b"), {});
    assert.deepEqual(sent[0], {
      type: "response_headers",
      status: 400,
      setHeaders: { "x-ratelimit-limit-requests": "5", ...opening.headers },
      removeHeaders: ["set-cookie"],
    });
    assert.deepEqual([typesOf(sent), bodyOf(sent)], [["response_headers", "response_body", "response_body"], "ab"]);
  });

  it("without a body is an answer of its own", () => {
    const { outlet, sent } = setUp();
    outlet.headersArrived(UPSTREAM, true);
    outlet.begin(opening);
    assert.equal(sent.length, 0);
    outlet.finish(bytes(""), {});
    const [answer] = sent;
    assert.ok(answer?.type === "respond");
    assert.deepEqual([answer.status, answer.headers], [400, opening.headers]);
  });

  it("can't begin after another one has", () => {
    const { outlet, sent } = begun();
    outlet.write(bytes("a"));
    outlet.begin(opening);
    assert.equal(outlet.status, 200);
    assert.deepEqual(typesOf(sent), ["response_headers", "response_body"]);
  });
});
