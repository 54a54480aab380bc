import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Instance } from "../../src/store/store.ts";
import { createPrices } from "../../src/usage/prices.ts";
import { createSweep, type SweepOptions } from "../../src/usage/sweep.ts";
import { aClosing, anOpening, memoryCalls, memoryInstances } from "./memory-calls.ts";

const NOW = 1_700_000_100_000;
const SELF = { id: "self", host: "here", pid: 100, startedAt: NOW - 1_000 };

/** One that signed just before this process started. */
const OTHER: Instance = { id: "other", host: "there", pid: 100, startedAt: NOW - 9_000_000, seenAt: NOW - 2_000 };

describe("sweeping up calls", () => {
  it("closes those of a process that has given no sign for 20 seconds, as an estimate of their prompts", async () => {
    const { sweep, calls, instances } = setUp({ others: [{ ...OTHER, seenAt: NOW - 20_001 }] });
    assert.equal(await sweep.run(), 1);
    assert.deepEqual(calls.rows.get("other-call")?.closing, {
      status: "interrupted",
      httpStatus: 0,
      errorCode: "gateway_lost",
      usage: { inputTokens: 100, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 },
      estimated: true,
      cost: 6_000_000n,
      finishedAt: NOW,
    });
    assert.deepEqual(await instances.list(), []);
  });

  it("leaves those of a process that gave one, and this process's own", async () => {
    const { sweep, calls, instances } = setUp({ others: [{ ...OTHER, seenAt: NOW - 19_999 }], own: true });
    assert.equal(await sweep.run(), 0);
    assert.equal(calls.rows.get("other-call")?.closing, undefined);
    assert.equal(calls.rows.get("own-call")?.closing, undefined);
    assert.equal((await instances.list()).length, 1);
  });

  it("closes at once those of a process of this host whose pid is gone", async () => {
    const { sweep } = setUp({ others: [{ ...OTHER, host: "here", pid: 200 }], alive: [] });
    assert.equal(await sweep.run(), 1);
  });

  it("closes at once those of a container's last run, which had this process's pid", async () => {
    const { sweep } = setUp({ others: [{ ...OTHER, host: "here", pid: SELF.pid }], alive: [SELF.pid] });
    assert.equal(await sweep.run(), 1);
  });

  it("leaves those of another process that runs on this host", async () => {
    const { sweep } = setUp({ others: [{ ...OTHER, host: "here", pid: 200 }], alive: [200] });
    assert.equal(await sweep.run(), 0);
  });

  it("trusts a sign that came after this process started more than a pid: two hosts may have one name", async () => {
    for (const pid of [SELF.pid, 200]) {
      const { sweep } = setUp({ others: [{ ...OTHER, host: "here", pid, seenAt: NOW - 500 }], alive: [] });
      assert.equal(await sweep.run(), 0);
    }
  });

  it("keeps a process on the list that only its pid gives away", async () => {
    const { sweep, instances } = setUp({ others: [{ ...OTHER, host: "here", pid: 200 }], alive: [] });
    await sweep.run();
    assert.equal((await instances.list()).length, 1);
  });

  it("closes rows of a process that is on no list", async () => {
    const { sweep, calls } = setUp({ others: [] });
    calls.rows.set("old", { ...anOpening("old", { instance: "" }), closing: undefined });
    assert.equal(await sweep.run(), 2);
    assert.equal(calls.rows.get("old")?.closing?.errorCode, "gateway_lost");
  });

  it("leaves rows that a process has opened which came while it looked", async () => {
    const { sweep, calls } = setUp({ others: [] });
    calls.rows.set("new", { ...anOpening("new", { instance: "new", startedAt: NOW }), closing: undefined });
    assert.equal(await sweep.run(), 1);
    assert.equal(calls.rows.get("new")?.closing, undefined);
  });

  it("closes any number, page by page", async () => {
    const { sweep, calls } = setUp({ others: [] });
    for (let n = 0; n < 349; n++) calls.rows.set(`c-${n}`, { ...anOpening(`c-${n}`), closing: undefined });
    assert.equal(await sweep.run(), 350);
    assert.ok([...calls.rows.values()].every(({ closing }) => closing !== undefined));
  });

  it("closes each row once, however many processes sweep at once", async () => {
    const { sweep, calls, another } = setUp({ others: [] });
    calls.delayMs = 1;
    for (let n = 0; n < 250; n++) calls.rows.set(`c-${n}`, { ...anOpening(`c-${n}`), closing: undefined });
    const closed = await Promise.all([sweep, another("b"), another("c")].map((one) => one.run()));
    // The last one may find that the others have closed its whole page; what is left is the next sweep's.
    const rest = await sweep.run();
    assert.equal(closed.reduce((sum, count) => sum + count, 0) + rest, 251);
    assert.ok([...calls.rows.values()].every(({ closing }) => closing !== undefined));
  });

  it("gives way to the closing of a process that lives after all", async () => {
    const { sweep, calls } = setUp({ others: [{ ...OTHER, seenAt: 0 }] });
    await sweep.run();
    await calls.close("other-call", aClosing());
    assert.equal(calls.rows.get("other-call")?.closing?.status, "ok");
  });

  it("reports a row that can't be closed, and goes on", async () => {
    const { sweep, calls, faults } = setUp({ others: [] });
    calls.rows.set("bad", { ...anOpening("bad"), closing: undefined });
    const { abandon } = calls;
    calls.abandon = (id, closing) => (id === "bad" ? Promise.reject(new Error("bad")) : abandon(id, closing));
    assert.equal(await sweep.run(), 1);
    assert.deepEqual(faults, ["bad"]);
  });

  it("ends where nothing more can be closed", async () => {
    const { sweep, calls, faults } = setUp({ others: [] });
    for (let n = 0; n < 150; n++) calls.rows.set(`bad-${n}`, { ...anOpening(`bad-${n}`), closing: undefined });
    calls.abandon = () => Promise.reject(new Error("bad"));
    assert.equal(await sweep.run(), 0);
    assert.equal(faults.length, 100);
  });

  it("fails when the database is lost, and works again afterwards", async () => {
    const { sweep, calls } = setUp({ others: [] });
    calls.lost = true;
    await assert.rejects(sweep.run(), /lost/);
    calls.lost = false;
    assert.equal(await sweep.run(), 1);
  });
});

function setUp({
  others,
  alive = [],
  own = false,
}: {
  others: readonly Instance[];
  alive?: readonly number[];
  own?: boolean;
}) {
  const calls = memoryCalls([
    anOpening("other-call", { instance: "other" }),
    ...(own ? [anOpening("own-call", { instance: "self" })] : []),
  ]);
  const instances = memoryInstances(others);
  const faults: string[] = [];
  const options: SweepOptions = {
    store: { calls, instances },
    prices: createPrices(),
    self: SELF,
    now: () => NOW,
    isAlive: (pid) => alive.includes(pid),
    onFault: (_error, id) => faults.push(id),
  };
  const another = (id: string) => createSweep({ ...options, self: { ...SELF, id } });
  return { sweep: createSweep(options), another, calls, instances, faults };
}
