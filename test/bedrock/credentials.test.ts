import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type AwsIdentity, bearerCredentials, refreshingCredentials } from "../../src/bedrock/credentials.ts";
import { GatewayError } from "../../src/errors.ts";

const MINUTE = 60_000;

describe("refreshingCredentials", () => {
  it("loads once for all who wait for the first credentials", async () => {
    const { source, loads } = setUp();
    const waiting = [source.get(), source.get(), source.get()];
    assert.equal(loads.length, 1);
    loads[0]?.resolve(identity("A"));
    assert.deepEqual(await Promise.all(waiting), Array(3).fill({ kind: "sigv4", ...identity("A") }));
  });

  it("passes on a session token and an expiry, and leaves out what was not there", async () => {
    const { source, loads } = setUp();
    const got = source.get();
    const whole = { ...identity("A", 60 * MINUTE), sessionToken: "t" };
    loads[0]?.resolve(whole);
    assert.deepEqual(await got, { kind: "sigv4", ...whole });
  });

  it("never loads credentials without an end again", async () => {
    const { source, loads, clock } = setUp();
    await loaded(source, loads, identity("A"));
    clock.now += 1_000 * 24 * 60 * MINUTE;
    await source.get();
    assert.equal(loads.length, 1);
  });

  it("renews in the background from five minutes before the end, and nobody waits", async () => {
    const { source, loads, clock } = setUp();
    await loaded(source, loads, identity("A", 60 * MINUTE));
    clock.now = 55 * MINUTE;
    assert.equal((await source.get()).kind, "sigv4");
    assert.equal(loads.length, 1);
    clock.now += 1;
    // The second load never answers here, and the old credentials come at once.
    for (let request = 0; request < 5; request++) assert.deepEqual(id(await source.get()), "A");
    assert.equal(loads.length, 2);
    loads[1]?.resolve(identity("B", 120 * MINUTE));
    await settled();
    assert.equal(id(await source.get()), "B");
    assert.equal(loads.length, 2);
  });

  it("serves the present credentials when a renewal fails, and tries again ten seconds later", async () => {
    const { source, loads, clock, errors } = setUp();
    await loaded(source, loads, identity("A", 60 * MINUTE));
    clock.now = 56 * MINUTE;
    await source.get();
    loads[1]?.reject(new Error("STS is down"));
    await settled();
    assert.deepEqual(errors.map(String), ["Error: STS is down"]);
    clock.now += 9_999;
    assert.equal(id(await source.get()), "A");
    assert.equal(loads.length, 2);
    clock.now += 1;
    assert.equal(id(await source.get()), "A");
    assert.equal(loads.length, 3);
    loads[2]?.resolve(identity("C", 120 * MINUTE));
    await settled();
    assert.equal(id(await source.get()), "C");
  });

  it("does not use credentials in their last fifteen seconds: they would end on the way", async () => {
    const { source, loads, clock } = setUp();
    await loaded(source, loads, identity("A", 60 * MINUTE));
    clock.now = 60 * MINUTE - 15_001;
    assert.equal(id(await source.get()), "A");
    loads[1]?.reject(new Error("down"));
    await settled();
    clock.now = 60 * MINUTE - 15_000;
    const waiting = source.get();
    assert.equal(loads.length, 3);
    loads[2]?.resolve(identity("B", 120 * MINUTE));
    assert.equal(id(await waiting), "B");
  });

  it("waits for a renewal that is already under way when the old credentials end", async () => {
    const { source, loads, clock } = setUp();
    await loaded(source, loads, identity("A", 60 * MINUTE));
    clock.now = 58 * MINUTE;
    await source.get();
    clock.now = 60 * MINUTE;
    const waiting = [source.get(), source.get()];
    assert.equal(loads.length, 2);
    loads[1]?.resolve(identity("B", 120 * MINUTE));
    assert.deepEqual((await Promise.all(waiting)).map(id), ["B", "B"]);
  });

  it("fails with upstream_auth_error and the reason as its cause, and loads again on the next request", async () => {
    const { source, loads, errors } = setUp();
    const waiting = [source.get(), source.get()];
    const reason = new Error("Could not load credentials from any providers");
    loads[0]?.reject(reason);
    for (const outcome of await Promise.allSettled(waiting)) {
      assert.ok(outcome.status === "rejected" && outcome.reason instanceof GatewayError);
      assert.equal(outcome.reason.code, "upstream_auth_error");
      assert.equal(outcome.reason.cause, reason);
      assert.doesNotMatch(outcome.reason.message, /providers/);
    }
    assert.deepEqual(errors, [reason]);
    const next = source.get();
    assert.equal(loads.length, 2);
    loads[1]?.resolve(identity("A"));
    assert.equal(id(await next), "A");
  });
});

describe("bearerCredentials", () => {
  it("are the token", async () => {
    assert.deepEqual(await bearerCredentials("ABSK1").get(), { kind: "bearer", token: "ABSK1" });
  });
});

function setUp() {
  const clock = { now: 0 };
  const loads: PromiseWithResolvers<AwsIdentity>[] = [];
  const errors: unknown[] = [];
  const source = refreshingCredentials({
    load() {
      const load = Promise.withResolvers<AwsIdentity>();
      loads.push(load);
      return load.promise;
    },
    now: () => clock.now,
    onError: (error) => errors.push(error),
  });
  return { source, loads, clock, errors };
}

type SetUp = ReturnType<typeof setUp>;

async function loaded(source: SetUp["source"], loads: SetUp["loads"], first: AwsIdentity): Promise<void> {
  const got = source.get();
  loads[0]?.resolve(first);
  await got;
}

function identity(accessKeyId: string, expiresAt?: number): AwsIdentity {
  const expiration = expiresAt === undefined ? {} : { expiration: new Date(expiresAt) };
  return { accessKeyId, secretAccessKey: `secret of ${accessKeyId}`, ...expiration };
}

function id(credentials: object): unknown {
  return "accessKeyId" in credentials ? credentials.accessKeyId : undefined;
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
