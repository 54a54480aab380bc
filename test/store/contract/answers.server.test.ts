import assert from "node:assert/strict";
import { it, type TestContext } from "node:test";
import { CONVERSATION_LIMITS, type Store, type StoredAnswer } from "../../../src/store/store.ts";
import { changeAt, describeStores, newKey } from "./stores.ts";

const CREATED = 1000;
const EXPIRES = 5000;
const { answers: MAX_ANSWERS, bytes: MAX_BYTES } = CONVERSATION_LIMITS;

describeStores("stored answers", ({ open, createDatabase }) => {
  async function openWithKeys(t: TestContext, url?: string): Promise<Store> {
    const store = await open(t, url);
    await store.keys.create([newKey(1), newKey(2)], changeAt(1));
    return store;
  }

  it("are given as they came, also after a restart", async (t) => {
    const url = await createDatabase(t);
    const { answers } = await openWithKeys(t, url);
    const json = '{"n":12345678901234567890,"text":"a\\u0000b\\ud800 é"}';
    await answers.put(anAnswer("a", { answer: json, items: [{ id: "m", json }] }));
    const again = (await open(t, url)).answers;
    assert.equal(await again.get("key_1", "a", CREATED), json);
    assert.deepEqual(await again.conversation("key_1", "a", CREATED), [json]);
    assert.deepEqual(await again.items("key_1", ["m"], CREATED), new Map([["m", json]]));
  });

  it("are another key's secret", async (t) => {
    const { answers } = await openWithKeys(t);
    await answers.put(anAnswer("a", { items: [{ id: "m", json: "1" }] }));
    await answers.put(anAnswer("b", { keyId: "key_2", previous: "a" }));
    assert.equal(await answers.get("key_2", "a", CREATED), undefined);
    assert.equal(await answers.conversation("key_2", "a", CREATED), "absent");
    assert.equal(await answers.conversation("key_2", "b", CREATED), "absent");
    assert.deepEqual(await answers.items("key_2", ["m"], CREATED), new Map());
    assert.equal(await answers.remove("key_2", "a", CREATED), false);
    assert.equal(await answers.get("key_1", "a", CREATED), '"a"');
  });

  it("are gone from the moment on that they expire", async (t) => {
    const { answers } = await openWithKeys(t);
    await answers.put(anAnswer("a", { items: [{ id: "m", json: "1" }] }));
    await answers.put(anAnswer("b", { previous: "a", expiresAt: EXPIRES + 1 }));
    assert.equal(await answers.get("key_1", "a", EXPIRES - 1), '"a"');
    assert.deepEqual(await answers.conversation("key_1", "b", EXPIRES - 1), ["1", '"item of b"']);
    assert.equal(await answers.get("key_1", "a", EXPIRES), undefined);
    assert.equal(await answers.conversation("key_1", "a", EXPIRES), "absent");
    assert.equal(await answers.conversation("key_1", "b", EXPIRES), "absent");
    assert.deepEqual(await answers.items("key_1", ["m"], EXPIRES), new Map());
    assert.equal(await answers.remove("key_1", "a", EXPIRES), false);
    assert.equal(await answers.get("key_1", "b", EXPIRES), '"b"');
  });

  it("are removed with their items, and end the conversations that went on from them", async (t) => {
    const { answers } = await openWithKeys(t);
    await answers.put(anAnswer("a", { items: [{ id: "m", json: "1" }] }));
    await answers.put(anAnswer("b", { previous: "a" }));
    assert.equal(await answers.remove("key_1", "a", CREATED), true);
    assert.equal(await answers.remove("key_1", "a", CREATED), false);
    assert.deepEqual(await answers.items("key_1", ["m"], CREATED), new Map());
    assert.equal(await answers.conversation("key_1", "b", CREATED), "absent");
    assert.equal(await answers.get("key_1", "b", CREATED), '"b"');
  });

  it("are whole or not there: an id that is taken changes nothing", async (t) => {
    const { answers } = await openWithKeys(t);
    await answers.put(anAnswer("a", { items: [{ id: "m", json: "1" }] }));
    await assert.rejects(answers.put(anAnswer("a", { keyId: "key_2", items: [{ id: "m", json: "2" }] })));
    assert.deepEqual(await answers.conversation("key_1", "a", CREATED), ["1"]);
    assert.equal(await answers.get("key_2", "a", CREATED), undefined);
  });

  it("have a conversation, oldest first, of branches only their own", async (t) => {
    const { answers } = await openWithKeys(t);
    const many = Array.from({ length: 1_200 }, (_, n) => ({ id: undefined, json: `"a${n}"` }));
    await answers.put(anAnswer("a", { items: many }));
    await answers.put(anAnswer("b", { previous: "a", items: [] }));
    await answers.put(anAnswer("c", { previous: "b" }));
    await answers.put(anAnswer("other", { previous: "b" }));
    const before = many.map(({ json }) => json);
    assert.deepEqual(await answers.conversation("key_1", "c", CREATED), [...before, '"item of c"']);
    assert.deepEqual(await answers.conversation("key_1", "b", CREATED), before);
    assert.equal(await answers.conversation("key_1", "d", CREATED), "absent");
  });

  it("have no conversation of more answers than the limit", async (t) => {
    const { answers } = await openWithKeys(t);
    const ids = Array.from({ length: MAX_ANSWERS + 2 }, (_, n) => `a${n}`);
    for (const [n, id] of ids.entries()) await answers.put(anAnswer(id, { previous: ids[n - 1] }));
    const longest = await answers.conversation("key_1", `a${MAX_ANSWERS - 1}`, CREATED);
    assert.ok(Array.isArray(longest));
    assert.deepEqual([longest.length, longest[0], longest.at(-1)], [1_000, '"item of a0"', '"item of a999"']);
    for (const id of ids.slice(MAX_ANSWERS))
      assert.equal(await answers.conversation("key_1", id, CREATED), "too_large");
  });

  it("have no conversation of more bytes than the limit", async (t) => {
    const { answers } = await openWithKeys(t);
    const half = { id: undefined, json: `"${"é".repeat(MAX_BYTES / 4 - 1)}"` };
    await answers.put(anAnswer("a", { items: [half] }));
    await answers.put(anAnswer("b", { previous: "a", items: [half] }));
    await answers.put(anAnswer("c", { previous: "b", items: [{ id: undefined, json: "1" }] }));
    await answers.put(anAnswer("d", { previous: "c" }));
    const whole = await answers.conversation("key_1", "b", CREATED);
    assert.ok(Array.isArray(whole) && whole.length === 2);
    assert.equal(await answers.conversation("key_1", "c", CREATED), "too_large");
    assert.equal(await answers.conversation("key_1", "d", CREATED), "too_large");
  });

  it("have items that are found by their ids, the newest where there are several", async (t) => {
    const { answers } = await openWithKeys(t);
    await answers.put(anAnswer("b", { items: [{ id: "m", json: "1" }], createdAt: 2 }));
    await answers.put(anAnswer("a", { items: [{ id: "m", json: "2" }], createdAt: 3 }));
    const some = Array.from({ length: 1_200 }, (_, n) => ({ id: `i${n}`, json: `${n}` }));
    await answers.put(anAnswer("c", { items: some }));
    const found = await answers.items("key_1", ["m", "unknown", "m", ...some.map(({ id }) => id)], CREATED);
    assert.deepEqual([found.size, found.get("m"), found.get("i1199")], [1_201, "2", "1199"]);
    assert.deepEqual(await answers.items("key_1", [], CREATED), new Map());
  });

  it("are removed for good once they have expired, oldest first and so many at once", async (t) => {
    const { answers } = await openWithKeys(t);
    for (const n of [3, 1, 4, 2])
      await answers.put(anAnswer(`a${n}`, { expiresAt: n, items: [{ id: "m", json: "1" }] }));
    assert.equal(await answers.prune(3, 2), 2);
    assert.equal(await answers.get("key_1", "a1", 0), undefined);
    assert.equal(await answers.get("key_1", "a3", 0), '"a3"');
    assert.equal(await answers.prune(3, 2), 1);
    assert.equal(await answers.prune(3, 2), 0);
    assert.deepEqual(await answers.conversation("key_1", "a4", 0), ["1"]);
  });
});

function anAnswer(id: string, change: Partial<StoredAnswer> = {}): StoredAnswer {
  return {
    id,
    keyId: "key_1",
    previous: undefined,
    items: [{ id: `item_${id}`, json: `"item of ${id}"` }],
    answer: `"${id}"`,
    createdAt: CREATED,
    expiresAt: EXPIRES,
    ...change,
  };
}
