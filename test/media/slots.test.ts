import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createSlots, LineFull } from "../../src/media/slots.ts";

const never = new AbortController().signal;

describe("slots", () => {
  it("are given in the order of asking, and a place only when one is free", async () => {
    const slots = createSlots({ places: 1, line: 2 });
    const order: string[] = [];
    const release = await slots.take(never);
    const second = slots.take(never).finally(() => order.push("second"));
    const third = slots.take(never).finally(() => order.push("third"));
    await new Promise(setImmediate);
    assert.deepEqual(order, []);
    release();
    (await second)();
    (await third)();
    assert.deepEqual(order, ["second", "third"]);
  });

  it("refuse at once when the line is full", async () => {
    const slots = createSlots({ places: 1, line: 1 });
    const release = await slots.take(never);
    const waiting = slots.take(never);
    await assert.rejects(slots.take(never), LineFull);
    release();
    (await waiting)();
  });

  it("lose nobody's place when one who waits goes away", async () => {
    const slots = createSlots({ places: 1, line: 2 });
    const release = await slots.take(never);
    const gone = new AbortController();
    const leaving = slots.take(gone.signal);
    const staying = slots.take(never);
    gone.abort(new Error("gone"));
    await assert.rejects(leaving, /gone/);
    release();
    (await staying)();
    await assert.rejects(slots.take(gone.signal), /gone/);
    (await slots.take(never))();
  });

  it("count a place that is given back twice once", async () => {
    const slots = createSlots({ places: 1, line: 1 });
    const release = await slots.take(never);
    release();
    release();
    await slots.take(never);
    let taken = false;
    const waiting = new AbortController();
    const second = slots.take(waiting.signal).then(
      () => (taken = true),
      () => {},
    );
    await new Promise(setImmediate);
    waiting.abort();
    await second;
    assert.equal(taken, false);
  });
});
