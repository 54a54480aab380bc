import assert from "node:assert/strict";
import { it } from "node:test";
import { describeStores } from "./stores.ts";

describeStores("instances", ({ open }) => {
  it("are known from their first sign of life until they are removed", async (t) => {
    const { instances } = await open(t);
    const first = { id: "b", host: "one", pid: 4_000_000, startedAt: 1000, seenAt: 1_800_000_000_000 };
    const second = { id: "a", host: "two", pid: 2, startedAt: 2000, seenAt: 2000 };
    await instances.seen(second);
    await instances.seen({ ...first, seenAt: 1000 });
    await instances.seen(first);
    assert.deepEqual(await instances.list(), [first, second]);
    await instances.remove("b");
    await instances.remove("b");
    assert.deepEqual(await instances.list(), [second]);
  });
});
