import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { repeat } from "../../src/usage/repeat.ts";

describe("repeated work", () => {
  it("is done one run after the other, whatever a run takes or throws", async () => {
    let running = 0;
    let runs = 0;
    const faults: unknown[] = [];
    const work = async () => {
      running += 1;
      assert.equal(running, 1);
      await sleep(10);
      running -= 1;
      runs += 1;
      throw new Error("no");
    };
    const repeated = repeat({ everyMs: 2, work, onFault: (error) => faults.push(error) });
    await sleep(100);
    await repeated.close();
    const done = runs;
    assert.ok(done >= 3, `${done} runs`);
    assert.equal(faults.length, done);
    await sleep(30);
    assert.equal(runs, done);
  });

  it("begins when it is told to", async () => {
    let runs = 0;
    const work = async () => {
      runs += 1;
    };
    const repeated = repeat({ everyMs: 60_000, firstMs: 0, work, onFault });
    await sleep(20);
    assert.equal(runs, 1);
    await repeated.close();
  });

  it("is waited for at the end", async () => {
    let done = false;
    const work = async () => {
      await sleep(40);
      done = true;
    };
    const repeated = repeat({ everyMs: 0, work, onFault });
    await sleep(15);
    await repeated.close();
    assert.equal(done, true);
  });
});

function onFault(error: unknown): void {
  assert.fail(String(error));
}
