import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { createRequestLimiter } from "../../src/access/request-limits.ts";
import { GatewayError } from "../../src/errors.ts";

describe("createRequestLimiter", () => {
  it("lets exactly 10 of 40 parallel requests pass at 10 a minute", async () => {
    const limiter = createRequestLimiter();
    const outcomes = await Promise.allSettled(Array.from({ length: 40 }, () => limiter.take({ id: "key_1", rpm: 10 })));
    assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 10);
  });

  it("counts each key by itself", async () => {
    const limiter = createRequestLimiter();
    await limiter.take({ id: "key_1", rpm: 1 });
    await limiter.take({ id: "key_2", rpm: 1 });
    await assert.rejects(limiter.take({ id: "key_1", rpm: 1 }));
  });

  it("tells what is left on every answer", async (t) => {
    freezeTime(t);
    const limiter = createRequestLimiter();
    const take = () => limiter.take({ id: "key_1", rpm: 2 });
    assert.deepEqual((await take()).headers, {
      "x-ratelimit-limit-requests": "2",
      "x-ratelimit-remaining-requests": "1",
      "x-ratelimit-reset-requests": "1m0s",
    });
    t.mock.timers.tick(48_001);
    assert.deepEqual((await take()).headers, {
      "x-ratelimit-limit-requests": "2",
      "x-ratelimit-remaining-requests": "0",
      "x-ratelimit-reset-requests": "12s",
    });
  });

  it("refuses with the whole seconds until the minute ends, and keeps that promise", async (t) => {
    freezeTime(t);
    const limiter = createRequestLimiter();
    const take = () => limiter.take({ id: "key_1", rpm: 1 });
    await take();
    t.mock.timers.tick(29_500);
    const error = await take().catch((thrown: unknown) => thrown);
    assert.ok(error instanceof GatewayError);
    assert.equal(error.code, "rate_limit_exceeded");
    assert.equal(error.retryAfter, 31);
    assert.deepEqual(error.headers, {
      "x-ratelimit-limit-requests": "1",
      "x-ratelimit-remaining-requests": "0",
      "x-ratelimit-reset-requests": "31s",
    });
    t.mock.timers.tick(30_499);
    await assert.rejects(take());
    t.mock.timers.tick(501);
    await take();
  });

  it("follows a changed limit within the minute; refused requests took nothing", async () => {
    const limiter = createRequestLimiter();
    await Promise.allSettled(Array.from({ length: 30 }, () => limiter.take({ id: "key_1", rpm: 10 })));
    const raised = await Promise.allSettled(Array.from({ length: 30 }, () => limiter.take({ id: "key_1", rpm: 15 })));
    assert.equal(raised.filter(({ status }) => status === "fulfilled").length, 5);
    await assert.rejects(limiter.take({ id: "key_1", rpm: 3 }));
  });

  it("neither counts nor labels a key without a limit", async () => {
    const limiter = createRequestLimiter();
    for (let n = 0; n < 100; n++) {
      assert.deepEqual((await limiter.take({ id: "key_1", rpm: null })).headers, {});
    }
    await limiter.take({ id: "key_1", rpm: 1 });
  });
});

function freezeTime(t: TestContext): void {
  t.mock.timers.enable({ apis: ["Date", "setTimeout"], now: 1_800_000_000_000 });
}
