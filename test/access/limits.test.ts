import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Caller } from "../../src/access/authenticate.ts";
import { type Admission, createLimiter, type Limiter } from "../../src/access/limits.ts";
import { GatewayError } from "../../src/errors.ts";
import { seeded } from "../fuzz/random.ts";
import { type RedisServer, redisMissing, startRedis } from "../servers/redis.ts";
import { caller } from "./callers.ts";

type Start = (t: TestContext) => Promise<Limiter>;

describe("limits of one process", () => {
  limitsHold(async (t) => ended(t, createLimiter()));

  it("give the whole allowance back when the minute ends, and not before", async () => {
    const clock = stoppedClock();
    const limiter = createLimiter(clock);
    const alice = caller({ rpm: 2 });
    assert.deepEqual((await limiter.admit(alice)).headers, requestHeaders(2, 1, "1m0s"));
    clock.advance(29_500);
    assert.deepEqual((await limiter.admit(alice)).headers, requestHeaders(2, 0, "31s"));
    const { retryAfter, headers } = await refusal(limiter.admit(alice));
    assert.equal(retryAfter, 31);
    assert.deepEqual(headers, requestHeaders(2, 0, "31s"));
    clock.advance(30_499);
    await refusal(limiter.admit(alice));
    clock.advance(1);
    assert.deepEqual((await limiter.admit(alice)).headers, requestHeaders(2, 1, "1m0s"));
  });

  it("leave the next minute alone when a call of the last one is settled", async () => {
    const clock = stoppedClock();
    const limiter = createLimiter(clock);
    const alice = caller({ tpm: 1000 });
    const early = await reserved(limiter, alice, 100, 500);
    clock.advance(60_000);
    const late = await reserved(limiter, alice, 100, 500);
    early.settle(0);
    await refusal(reserved(limiter, alice, 100, 400));
    late.settle(0);
    await reserved(limiter, alice, 100, 900);
  });

  it("take nothing for a client that leaves while its tokens are being reserved", async () => {
    const clock = stoppedClock();
    const limiter = createLimiter(clock);
    const alice = caller({ tpm: 1000 });
    const admission = await limiter.admit(alice);
    const reserving = admission.reserveTokens({ prompt: 100, output: 900 });
    admission.settle(0);
    await reserving;
    await reserved(limiter, alice, 100, 900);
  });

  it("never name a longer wait than a minute, also after the clock was set back", async (t) => {
    const limiter = createLimiter();
    const alice = caller({ rpm: 1 });
    await limiter.admit(alice);
    t.mock.method(Date, "now", () => -3_600_000);
    const { retryAfter, headers } = await refusal(limiter.admit(alice));
    assert.deepEqual([retryAfter, headers], [60, requestHeaders(1, 0, "1m0s")]);
  });

  it("name the longest wait where key and team refuse", async () => {
    const clock = stoppedClock();
    const limiter = createLimiter(clock);
    await limiter.admit(caller({ rpm: 1 }, {}));
    clock.advance(20_000);
    await limiter.admit(caller({ id: "key_2" }, { rpm: 1 }));
    const { retryAfter, headers } = await refusal(limiter.admit(caller({ rpm: 1 }, { rpm: 1 })));
    assert.equal(retryAfter, 60);
    assert.deepEqual(headers, requestHeaders(1, 0, "1m0s"));
  });
});

describe("limits of all gateways", { skip: redisMissing }, () => {
  let redis: RedisServer;
  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.end());
  beforeEach(() => redis.command("flushall"));

  limitsHold(async (t) => overRedis(t, redis));

  it("are one allowance for two gateways", async (t) => {
    const gateways = [overRedis(t, redis), overRedis(t, redis)];
    const alice = caller({ rpm: 10 });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 40 }, (_, n) => gateways[n % 2]?.admit(alice) ?? assert.fail()),
    );
    assert.equal(passed(outcomes).length, 10);
  });

  it("are one number of places for two gateways", async (t) => {
    const [one, other] = [overRedis(t, redis), overRedis(t, redis)];
    const alice = caller({ parallel: 1 });
    const first = await one.admit(alice);
    await refusal(other.admit(alice));
    first.release();
    // Two connections have no common order: what comes after on the first one says that the release is there.
    await one.admit(caller({ rpm: 1 }));
    (await other.admit(alice)).release();
  });

  it("leave the next minute alone when a call of the last one is settled", async (t) => {
    const limiter = overRedis(t, redis);
    const alice = caller({ tpm: 1000 });
    const early = await reserved(limiter, alice, 100, 500);
    redis.command("del", "gw:{key_1}:key_1:tpm");
    // The next minute's end differs from the last one's by more than any clock's error.
    await reserved(limiter, alice, 100, 500);
    redis.command("pexpire", "gw:{key_1}:key_1:tpm", "30000");
    early.settle(0);
    await refusal(reserved(limiter, alice, 100, 400));
  });

  it("hold the whole allowance back until the minute ends by the server's clock", async (t) => {
    const limiter = overRedis(t, redis);
    const alice = caller({ rpm: 1 });
    await limiter.admit(alice);
    redis.command("pexpire", "gw:{key_1}:key_1:rpm", "12345");
    const { retryAfter, headers } = await refusal(limiter.admit(alice));
    assert.equal(retryAfter, 13);
    assert.deepEqual(headers, requestHeaders(1, 0, "13s"));
    redis.command("pexpire", "gw:{key_1}:key_1:rpm", "1");
    await sleep(10);
    assert.deepEqual((await limiter.admit(alice)).headers, requestHeaders(1, 0, "1m0s"));
  });

  it("keep all names of one step on one node of a cluster", async (t) => {
    const limiter = overRedis(t, redis);
    const limits = { rpm: 5, tpm: 500, parallel: 5 };
    await reserved(limiter, caller(limits, { ...limits, name: "a}{b" }), 1, 1);
    const names = redis.command("keys", "*").split("\n");
    assert.equal(names.length, 6);
    const tags = names.map((name) => /^gw:\{([^{}]+)\}:/.exec(name)?.[1]);
    assert.deepEqual([...new Set(tags)], ["team:a%7D%7Bb"]);
  });
});

/** What holds wherever is counted. */
function limitsHold(start: Start): void {
  it("let exactly 10 of 40 parallel requests pass at 10 a minute", async (t) => {
    const limiter = await start(t);
    const outcomes = await together(40, () => limiter.admit(caller({ rpm: 10 })));
    assert.equal(passed(outcomes).length, 10);
  });

  it("count each key by itself", async (t) => {
    const limiter = await start(t);
    await limiter.admit(caller({ id: "key_1", rpm: 1 }));
    await limiter.admit(caller({ id: "key_2", rpm: 1 }));
    await refusal(limiter.admit(caller({ id: "key_1", rpm: 1 })));
  });

  it("take nothing from the team for a request that its key refuses, at the same moment either", async (t) => {
    const limiter = await start(t);
    const team = { rpm: 20 };
    const [greedy, modest] = await Promise.all([
      together(40, () => limiter.admit(caller({ id: "key_greedy", rpm: 10 }, team))),
      together(10, () => limiter.admit(caller({ id: "key_modest" }, team))),
    ]);
    assert.deepEqual([passed(greedy).length, passed(modest).length], [10, 10]);
  });

  it("take nothing from the key for a request that its team refuses", async (t) => {
    const limiter = await start(t);
    await limiter.admit(caller({ id: "key_2" }, { rpm: 1 }));
    const { message } = await refusal(limiter.admit(caller({ rpm: 2 }, { rpm: 1 })));
    assert.match(
      message,
      /^The team "platform", all its API keys together, may make 1 request per minute\. Try again in \d+ s\.$/,
    );
    const alone = await together(3, () => limiter.admit(caller({ rpm: 2 }, {})));
    assert.equal(passed(alone).length, 2);
  });

  it("take neither requests nor a place where the other has none", async (t) => {
    const limiter = await start(t);
    const busy = await limiter.admit(caller({ rpm: 2, parallel: 1 }));
    await refusal(limiter.admit(caller({ rpm: 2, parallel: 1 })));
    busy.release();
    const last = await limiter.admit(caller({ rpm: 2, parallel: 1 }));
    last.release();
    await refusal(limiter.admit(caller({ rpm: 2, parallel: 1 })));
    await limiter.admit(caller({ parallel: 1 }));
  });

  it("follow a changed limit within the minute", async (t) => {
    const limiter = await start(t);
    await together(30, () => limiter.admit(caller({ rpm: 10 })));
    const raised = await together(30, () => limiter.admit(caller({ rpm: 15 })));
    assert.equal(passed(raised).length, 5);
    await refusal(limiter.admit(caller({ rpm: 3 })));
  });

  it("neither count nor label a key without limits", async (t) => {
    const limiter = await start(t);
    for (let n = 0; n < 20; n++) {
      const admission = await reserved(limiter, caller({}, {}), 1e9, 1e9);
      assert.deepEqual(admission.headers, {});
      admission.settle(1e9);
    }
    await limiter.admit(caller({ rpm: 1 }, { rpm: 1 }));
  });

  it("tell the numbers of whichever has less left", async (t) => {
    const limiter = await start(t);
    const { headers } = await reserved(limiter, caller({ rpm: 10, tpm: 900 }, { rpm: 5, tpm: 1000 }), 50, 50);
    assert.deepEqual(headers, { ...requestHeaders(5, 4, "1m0s"), ...tokenHeaders(900, 800, "1m0s") });
  });

  it("have places for so many requests at once, and give each back once", async (t) => {
    const limiter = await start(t);
    const alice = caller({ parallel: 2 });
    const held = passed(await together(10, () => limiter.admit(alice)));
    assert.equal(held.length, 2);
    const { message, retryAfter } = await refusal(limiter.admit(alice));
    assert.equal(message, "This API key may have 2 requests running at once. Try again when one has ended.");
    assert.equal(retryAfter, 1);
    held[0]?.release();
    held[0]?.release();
    assert.equal(passed(await together(10, () => limiter.admit(alice))).length, 1);
  });

  it("reserve tokens, and free what was not used", async (t) => {
    const limiter = await start(t);
    const alice = caller({ tpm: 1000 });
    const first = await reserved(limiter, alice, 100, 500);
    assert.deepEqual(first.headers, tokenHeaders(1000, 400, "1m0s"));
    const { message, retryAfter, headers } = await refusal(reserved(limiter, alice, 100, 301));
    assert.match(
      message,
      /^This API key may use 1000 tokens per minute: 400 are left, and this request may take 401 with its answer\. Try again in (59|60) s, or allow a shorter answer\.$/,
    );
    assert.ok(retryAfter === 59 || retryAfter === 60);
    assert.equal(headers["x-ratelimit-remaining-tokens"], "400");
    first.settle(150);
    first.settle(0);
    await refusal(reserved(limiter, alice, 100, 751));
    assert.equal((await reserved(limiter, alice, 100, 750)).headers["x-ratelimit-remaining-tokens"], "0");
  });

  it("reserve in the team what the key reserves, or in neither", async (t) => {
    const limiter = await start(t);
    await reserved(limiter, caller({ id: "key_2" }, { tpm: 1000 }), 100, 500);
    const both = caller({ tpm: 800 }, { tpm: 1000 });
    assert.match((await refusal(reserved(limiter, both, 100, 600))).message, /^The team "platform"/);
    const { headers } = await reserved(limiter, caller({ tpm: 800 }, {}), 100, 600);
    assert.equal(headers["x-ratelimit-remaining-tokens"], "100");
  });

  it("let a call that may answer beyond the limit pass, alone in its minute", async (t) => {
    const limiter = await start(t);
    const alice = caller({ tpm: 1000 });
    const only = await reserved(limiter, alice, 100, 32_000);
    await refusal(reserved(limiter, alice, 1, 0));
    only.settle(300);
    await refusal(reserved(limiter, alice, 100, 32_000));
    await reserved(limiter, alice, 100, 600);
  });

  it("count what a call used beyond its reservation", async (t) => {
    const limiter = await start(t);
    const alice = caller({ tpm: 1000 });
    const long = await reserved(limiter, alice, 100, 100);
    long.settle(1500);
    assert.equal((await refusal(reserved(limiter, alice, 1, 0))).headers["x-ratelimit-remaining-tokens"], "0");
  });

  it("refuse a prompt that no minute has tokens for, and ask for no retry", async (t) => {
    const limiter = await start(t);
    const admission = await limiter.admit(caller({ rpm: 9, tpm: 5000 }, { tpm: 1000 }));
    const { message, retryAfter, headers } = await refusal(admission.reserveTokens({ prompt: 1001, output: 1 }));
    assert.match(
      message,
      /^The team "platform".* 1000 tokens per minute, and the prompt alone has about 1001: it can never pass\./,
    );
    assert.equal(retryAfter, undefined);
    assert.equal(headers["x-should-retry"], "false");
    assert.equal(headers["x-ratelimit-limit-requests"], "9");
    await admission.reserveTokens({ prompt: 1000, output: 0 });
  });

  it("never pass more than they say, whatever comes at once", async (t) => {
    const limiter = await start(t);
    const random = seeded(20_261_122);
    const between = (low: number, high: number) => low + random.int(high - low + 1);
    const team = { rpm: 60, tpm: 20_000, parallel: 6 };
    const keys = Array.from({ length: 4 }, (_, n) => ({
      id: `key_${n}`,
      rpm: between(5, 30),
      tpm: between(2000, 8000),
      parallel: between(1, 4),
    }));
    const seen = new Map([...keys.map(({ id }) => id), "team"].map((id) => [id, { rpm: 0, tpm: 0, parallel: 0 }]));

    async function call(key: (typeof keys)[number]): Promise<void> {
      const counts = [seen.get(key.id), seen.get("team")].filter((count) => count !== undefined);
      const admission = await limiter.admit(caller(key, team)).catch(() => undefined);
      if (admission === undefined) return;
      for (const count of counts) {
        count.rpm++;
        count.parallel++;
      }
      check();
      const used = between(1, 900);
      const reservation = admission.reserveTokens({ prompt: 100, output: 800 });
      const granted = await reservation.then(
        () => true,
        () => false,
      );
      for (const count of counts) if (granted) count.tpm += 900;
      check();
      await sleep(between(0, 3));
      for (const count of counts) {
        if (granted) count.tpm += used - 900;
        count.parallel--;
      }
      if (granted) admission.settle(used);
      admission.release();
    }

    function check(): void {
      for (const { id, ...limits } of [...keys, { id: "team", ...team }]) {
        const count = seen.get(id) ?? assert.fail();
        assert.ok(count.rpm <= limits.rpm && count.parallel <= limits.parallel && count.tpm <= limits.tpm, id);
      }
    }

    for (let round = 0; round < 15; round++) {
      await Promise.all(Array.from({ length: 40 }, () => call(random.pick(keys))));
    }
    // Each request's fate was the limits' doing: with so many of them one of the limits is used up.
    assert.ok(keys.some(({ id, rpm }) => seen.get(id)?.rpm === rpm) || seen.get("team")?.rpm === team.rpm);
  });
}

async function reserved(limiter: Limiter, who: Caller, prompt: number, output: number): Promise<Admission> {
  const admission = await limiter.admit(who);
  await admission.reserveTokens({ prompt, output });
  return admission;
}

function together(count: number, one: () => Promise<Admission>): Promise<PromiseSettledResult<Admission>[]> {
  return Promise.allSettled(Array.from({ length: count }, one));
}

function passed(outcomes: readonly PromiseSettledResult<Admission>[]): Admission[] {
  return outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
}

async function refusal(outcome: Promise<unknown>): Promise<GatewayError> {
  const error = await outcome.then(
    () => assert.fail("it passed"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof GatewayError, String(error));
  assert.equal(error.code, "rate_limit_exceeded");
  return error;
}

function requestHeaders(limit: number, remaining: number, reset: string): Record<string, string> {
  return rateHeaders("requests", limit, remaining, reset);
}

function tokenHeaders(limit: number, remaining: number, reset: string): Record<string, string> {
  return rateHeaders("tokens", limit, remaining, reset);
}

function rateHeaders(what: string, limit: number, remaining: number, reset: string): Record<string, string> {
  return {
    [`x-ratelimit-limit-${what}`]: String(limit),
    [`x-ratelimit-remaining-${what}`]: String(remaining),
    [`x-ratelimit-reset-${what}`]: reset,
  };
}

function overRedis(t: TestContext, { url }: RedisServer): Limiter {
  const onLost = (cause: unknown) => assert.fail(`lost: ${cause}`);
  return ended(t, createLimiter({ redis: { url, whenLost: "refuse", onLost, onBack() {} } }));
}

function ended(t: TestContext, limiter: Limiter): Limiter {
  t.after(() => limiter.close());
  return limiter;
}

/** A clock that stands until it is told to go on. */
function stoppedClock() {
  let at = 1_000;
  return {
    now: () => at,
    advance(ms: number) {
      at += ms;
    },
  };
}
