/** Limits in Valkey or Redis when the server, the way to it, or another gateway fails. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { WhenLost } from "../../src/access/counters/insured.ts";
import { createLimiter, type Limiter } from "../../src/access/limits.ts";
import { GatewayError } from "../../src/errors.ts";
import { type RedisServer, type RedisServerOptions, redisMissing, startRedis } from "../servers/redis.ts";
import { caller } from "./callers.ts";

const alice = caller({ rpm: 3 });
const single = caller({ parallel: 1 });

describe("a limiter that loses its server", { skip: redisMissing, concurrency: 4 }, () => {
  it("counts by itself when a killed server is gone, in the middle of load, and together again when it is back", async (t) => {
    const redis = await server(t);
    const { limiter, heard } = limiterOn(t, redis.url, "local");
    const free = caller({ rpm: 1e6, tpm: 1e9, parallel: 1e6 }, { rpm: 1e6 });
    const outcomes: PromiseSettledResult<unknown>[] = [];
    let slowest = 0;
    let loading = true;
    const load = Array.from({ length: 20 }, async () => {
      while (loading) {
        const begun = performance.now();
        const [outcome] = await Promise.allSettled([oneCall(limiter, free)]);
        slowest = Math.max(slowest, performance.now() - begun);
        outcomes.push(outcome);
        await sleep(1);
      }
    });
    await sleep(100);
    await redis.kill();
    await sleep(200);
    assert.equal((await passing(limiter, 10)).length, 3);
    await redis.start();
    await until(() => heard.at(-1) === "back");
    assert.equal((await passing(limiter, 10)).length, 3);
    loading = false;
    await Promise.all(load);
    assert.deepEqual(heard, ["lost", "back"]);
    assert.ok(outcomes.length > 200 && outcomes.every(({ status }) => status === "fulfilled"));
    assert.ok(slowest < 600, `${slowest} ms`);
  });

  it("answers 503 with Retry-After where that was chosen, and only callers with limits", async (t) => {
    const redis = await server(t);
    const { limiter, heard } = limiterOn(t, redis.url, "refuse");
    await limiter.admit(alice);
    await redis.kill();
    for (let n = 0; n < 20; n++) {
      const error = await limiter.admit(alice).then(
        () => assert.fail(),
        (thrown: unknown) => thrown,
      );
      assert.ok(error instanceof GatewayError);
      assert.deepEqual([error.code, error.status, error.retryAfter], ["unavailable", 503, 1]);
    }
    await limiter.admit(caller());
    await redis.start();
    await until(() => heard.at(-1) === "back");
    assert.equal((await passing(limiter, 10)).length, 3);
    assert.deepEqual(heard, ["lost", "back"]);
  });

  it("waits 250 ms for a server that hangs, once, and gives back what that one took too late", async (t) => {
    const redis = await server(t);
    const { limiter, heard } = limiterOn(t, redis.url, "local");
    const busy = caller({ id: "key_2", rpm: 3, parallel: 2 });
    (await limiter.admit(busy)).release();
    redis.pause();
    const begun = performance.now();
    const first = await Promise.all([limiter.admit(busy), limiter.admit(busy)]);
    const waited = performance.now() - begun;
    assert.ok(waited > 240 && waited < 600, `${waited} ms`);
    const again = performance.now();
    assert.equal((await passing(limiter, 10)).length, 3);
    assert.ok(performance.now() - again < 100);
    redis.resume();
    await until(() => heard.at(-1) === "back");
    await until(() => redis.command("zcard", "gw:{key_2}:key_2:parallel") === "0");
    await until(() => redis.command("get", "gw:{key_2}:key_2:rpm") === "1");
    for (const admission of first) admission.release();
    assert.deepEqual(heard, ["lost", "back"]);
  });

  it("comes back by a new connection when the old one stays silent", async (t) => {
    const redis = await server(t);
    const { limiter, heard } = limiterOn(t, redis.url, "local");
    await limiter.admit(alice);
    const first = Number(redis.command("client", "list").match(/\bid=(\d+).*cmd=eval/)?.[1]);
    redis.pause();
    await limiter.admit(alice);
    await sleep(4000);
    redis.resume();
    await until(() => heard.at(-1) === "back");
    const [, id] = /\bid=(\d+).*cmd=set\b/.exec(redis.command("client", "list")) ?? [];
    assert.ok(Number(id) > first, `client ${id}`);
  });

  it("does not need the server at start", async (t) => {
    const redis = await server(t);
    await redis.kill();
    const { limiter, heard } = limiterOn(t, redis.url, "local");
    assert.equal((await passing(limiter, 10)).length, 3);
    await redis.start();
    await until(() => heard.at(-1) === "back");
    assert.deepEqual(heard, ["lost", "back"]);
    assert.equal(redis.command("dbsize"), "1", "only the probe");
  });

  it("takes a server that can't write for lost, and a wrong password", async (t) => {
    const full = await server(t);
    full.command("config", "set", "maxmemory", "1");
    const first = limiterOn(t, full.url, "local");
    assert.equal((await passing(first.limiter, 10)).length, 3);
    assert.deepEqual(first.heard, ["lost"]);
    full.command("config", "set", "maxmemory", "0");
    await until(() => first.heard.at(-1) === "back");

    const locked = await server(t, { password: "p@ss:w/rd", tcp: true });
    const second = limiterOn(t, locked.url, "local");
    assert.equal((await passing(second.limiter, 10)).length, 3);
    await until(() => second.heard.length > 0);
    const withPassword = locked.url.replace("redis://", `redis://:${encodeURIComponent("p@ss:w/rd")}@`);
    const third = limiterOn(t, `${withPassword}/2`, "refuse");
    assert.equal((await passing(third.limiter, 10)).length, 3);
    assert.deepEqual(third.heard, []);
    assert.equal(locked.command("-n", "2", "get", "gw:{key_1}:key_1:rpm"), "3");
  });

  it("tells what ended meanwhile, so that places are free again at once", async (t) => {
    const redis = await server(t);
    const { limiter, heard } = limiterOn(t, redis.url, "local");
    const held = await limiter.admit(single);
    redis.pause();
    await limiter.admit(alice);
    assert.deepEqual(heard, ["lost"]);
    held.release();
    redis.resume();
    await until(() => heard.at(-1) === "back");
    (await limiter.admit(single)).release();
  });
});

describe("places of gateways that share a server", { skip: redisMissing, concurrency: 4 }, () => {
  it("come back by themselves when a gateway was killed", async (t) => {
    const redis = await server(t);
    const gateway = await gatewayWithOnePlace(t, redis.url, 1000);
    const { limiter } = limiterOn(t, redis.url, "local", 1000);
    const two = caller({ parallel: 2 });
    await limiter.admit(two);
    await sleep(1200);
    await assert.rejects(limiter.admit(two), "it renews while it lives");
    gateway.kill("SIGKILL");
    const begun = performance.now();
    await until(() =>
      limiter.admit(two).then(
        () => true,
        () => false,
      ),
    );
    const waited = performance.now() - begun;
    assert.ok(waited > 300 && waited < 1500, `${waited} ms`);
  });

  it("are kept as long as the call lasts, and when the server has forgotten them", async (t) => {
    const redis = await server(t);
    const { limiter } = limiterOn(t, redis.url, "local", 600);
    const held = await limiter.admit(single);
    await sleep(1000);
    await assert.rejects(limiter.admit(single));
    redis.command("flushall");
    await sleep(400);
    await assert.rejects(limiter.admit(single));
    held.release();
    (await limiter.admit(single)).release();
  });

  it("are taken again at once on a server that begins anew", async (t) => {
    const redis = await server(t);
    const { limiter, heard } = limiterOn(t, redis.url, "local");
    await limiter.admit(single);
    await redis.kill();
    await redis.start();
    await until(() => heard.at(-1) === "back");
    await assert.rejects(limiter.admit(single));
  });

  it("are given back when a gateway ends with calls that run", async (t) => {
    const redis = await server(t);
    const ending = limiterOn(t, redis.url, "local");
    await ending.limiter.admit(single);
    await ending.limiter.close();
    (await limiterOn(t, redis.url, "local").limiter.admit(single)).release();
  });
});

/** Another process, which holds a place of `single` until it is killed. */
async function gatewayWithOnePlace(t: TestContext, url: string, leaseMs: number): Promise<ChildProcess> {
  const code = `
    const { createLimiter } = await import(${JSON.stringify(import.meta.resolve("../../src/access/limits.ts"))});
    const redis = { url: ${JSON.stringify(url)}, leaseMs: ${leaseMs}, whenLost: "refuse", onLost() {}, onBack() {} };
    await createLimiter({ redis }).admit(${JSON.stringify(single)});
    console.log("held");
  `;
  const gateway = spawn(process.execPath, ["--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => gateway.kill("SIGKILL"));
  await once(gateway.stdout, "data");
  return gateway;
}

async function oneCall(limiter: Limiter, who: Parameters<Limiter["admit"]>[0]): Promise<void> {
  const admission = await limiter.admit(who);
  try {
    await admission.reserveTokens({ prompt: 10, output: 10 });
    admission.settle(15);
  } finally {
    admission.release();
  }
}

async function passing(limiter: Limiter, count: number) {
  const outcomes = await Promise.allSettled(Array.from({ length: count }, () => limiter.admit(alice)));
  return outcomes.filter(({ status }) => status === "fulfilled");
}

async function server(t: TestContext, options?: RedisServerOptions): Promise<RedisServer> {
  const redis = await startRedis(options);
  t.after(() => redis.end());
  return redis;
}

function limiterOn(t: TestContext, url: string, whenLost: WhenLost, leaseMs = 30_000) {
  const heard: string[] = [];
  const limiter = createLimiter({
    redis: { url, whenLost, leaseMs, onLost: () => heard.push("lost"), onBack: () => heard.push("back") },
  });
  t.after(() => limiter.close());
  return { limiter, heard };
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await holds()) return;
    await sleep(20);
  }
  assert.fail("it never came to that");
}
