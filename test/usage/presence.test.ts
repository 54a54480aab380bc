import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startPresence } from "../../src/usage/presence.ts";
import { memoryInstances } from "./memory-calls.ts";

const SELF = { id: "i-1", host: "here", pid: 1, startedAt: 5 };

describe("a process's presence", () => {
  it("is written before anything else, renewed, and taken back at the end", async () => {
    const instances = memoryInstances();
    let clock = 10;
    const presence = await startPresence({ instances, self: SELF, now: () => clock, onFault, everyMs: 5 });
    assert.deepEqual(await instances.list(), [{ ...SELF, seenAt: 10 }]);
    clock = 20;
    await sleep(50);
    assert.deepEqual(await instances.list(), [{ ...SELF, seenAt: 20 }]);
    await presence.close();
    assert.deepEqual(await instances.list(), []);
    await sleep(20);
    assert.deepEqual(await instances.list(), []);
  });

  it("goes on after a sign that could not be written", async () => {
    const instances = memoryInstances();
    const faults: unknown[] = [];
    const { seen } = instances;
    let signs = 0;
    instances.seen = async (instance) => {
      signs += 1;
      if (signs === 2) throw new Error("lost");
      return seen(instance);
    };
    const options = { instances, self: SELF, now: Date.now, onFault: (error: unknown) => void faults.push(error) };
    const presence = await startPresence({ ...options, everyMs: 5 });
    await sleep(60);
    await presence.close();
    assert.ok(signs > 2);
    assert.equal(faults.length, 1);
  });

  it("fails to start where it can't be written", async () => {
    const instances = memoryInstances();
    instances.seen = () => Promise.reject(new Error("lost"));
    await assert.rejects(startPresence({ instances, self: SELF, now: Date.now, onFault }), /lost/);
  });
});

function onFault(error: unknown): void {
  assert.fail(String(error));
}
