import assert from "node:assert/strict";
import { it } from "node:test";
import { changeAt, describeStores, newKey } from "./stores.ts";

describeStores("the audit", ({ open }) => {
  it("is listed newest first, of one subject or before a time, up to a limit", async (t) => {
    const { keys, audit } = await open(t);
    for (const n of [1, 2, 3]) await keys.create([newKey(n)], changeAt(n));
    await keys.block("key_2", changeAt(4));
    const listed = async (query: Parameters<typeof audit.list>[0]) =>
      (await audit.list(query)).map(({ at, subject }) => `${at} ${subject}`);
    assert.deepEqual(await listed({ limit: 10 }), ["4 key_2", "3 key_3", "2 key_2", "1 key_1"]);
    assert.deepEqual(await listed({ limit: 2 }), ["4 key_2", "3 key_3"]);
    assert.deepEqual(await listed({ before: 4, limit: 2 }), ["3 key_3", "2 key_2"]);
    assert.deepEqual(await listed({ subject: "key_2", limit: 10 }), ["4 key_2", "2 key_2"]);
    assert.deepEqual(await listed({ subject: "key_2", before: 4, limit: 10 }), ["2 key_2"]);
  });

  it("keeps the order of what was changed within a millisecond", async (t) => {
    const { keys, audit } = await open(t);
    const made = Array.from({ length: 50 }, (_, n) => newKey(n));
    await keys.create(made, changeAt(7));
    for (const n of [1, 2, 3]) await keys.update("key_1", { rpm: n }, changeAt(7));
    const entries = await audit.list({ limit: 100 });
    assert.deepEqual(
      entries.slice(0, 3).map(({ changes }) => changes.rpm?.to),
      [3, 2, 1],
    );
    assert.deepEqual(
      entries.slice(3).map(({ subject }) => subject),
      made.map(({ id }) => id).reverse(),
    );
    assert.equal(new Set(entries.map(({ id }) => id)).size, 53);
  });
});
