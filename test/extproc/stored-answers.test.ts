import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AnswerToStore } from "../../src/dialects/dialect.ts";
import { type AnswerArchive, createAnswerArchive } from "../../src/extproc/stored-answers.ts";
import { type AnswerStore, type StoredAnswer, StoreUnavailable } from "../../src/store/store.ts";
import { fakeTimers } from "./fake-timers.ts";
import { ANSWER, EVENT_STREAM, JSON_TYPE, openCall, settled, type TestCallOptions, WHOLE_STREAM } from "./test-call.ts";
import { bodyOf, METADATA, STOP, textFrame, typesOf } from "./test-exchange.ts";

const DAY_MS = 86_400_000;
const NOW = 1_700_000_000_000;
const MIB = 1024 * 1024;
const TO_STORE: AnswerToStore = {
  id: "resp_1",
  previous: "resp_0",
  items: [
    { role: "user", content: "Hi" },
    { type: "message", id: "msg_1" },
  ],
  answer: { id: "resp_1" },
};

describe("an answer", () => {
  it("is stored for as long as the operator says, its items by their ids", async () => {
    const put: StoredAnswer[] = [];
    await archive({ put: async (answer) => void put.push(answer) }).keep("key_1", TO_STORE);
    const items = [
      { id: undefined, json: '{"role":"user","content":"Hi"}' },
      { id: "msg_1", json: '{"type":"message","id":"msg_1"}' },
    ];
    const times = { createdAt: NOW, expiresAt: NOW + DAY_MS };
    assert.deepEqual(put, [
      { id: "resp_1", keyId: "key_1", previous: "resp_0", items, answer: '{"id":"resp_1"}', ...times },
    ]);
  });

  it("is stored without ids that no database could look up", async () => {
    const put: StoredAnswer[] = [];
    const items = ["a\0b", "x".repeat(3_000), "ä", "", 7, null].map((id) => ({ id }));
    await archive({ put: async (answer) => void put.push(answer) }).keep("key_1", { ...TO_STORE, items });
    assert.deepEqual(
      put[0]?.items.map(({ id }) => id),
      items.map(() => undefined),
    );
  });

  it("is not stored where it has more than 4 MiB with its input", async () => {
    const put: string[] = [];
    const answers = archive({ put: async ({ id }) => void put.push(id) });
    const ofBytes = (bytes: number) => ({ ...TO_STORE, items: ["é".repeat(bytes / 2 - 1)], answer: null });
    await answers.keep("key_1", ofBytes(4 * MIB - 4));
    await assert.rejects(answers.keep("key_1", ofBytes(4 * MIB - 2)), /not stored/);
    assert.deepEqual(put, ["resp_1"]);
  });

  it("is waited for a second and no longer", async (t) => {
    const timers = fakeTimers(t);
    const answers = archive({ put: () => new Promise(() => {}) });
    let failure: unknown;
    const kept = answers.keep("key_1", TO_STORE).catch((error: unknown) => {
      failure = error;
    });
    await Promise.resolve();
    timers.pass(999);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(failure, undefined);
    timers.pass(1);
    await kept;
    assert.match(String(failure), /not stored within 1000 ms/);
  });
});

describe("what a request refers to", () => {
  it("is found by the ids that there may be", async () => {
    const asked: unknown[] = [];
    const answers = archive({
      conversation: async (...question) => {
        asked.push(question);
        return ['{"n":12345678901234567890}', '"b"'];
      },
      items: async (...question) => {
        asked.push(question);
        return new Map([["msg_1", '{"id":"msg_1"}']]);
      },
    });
    const found = await answers.find("key_1", { response: "resp_1", items: ["msg_1", "a\0b", "unknown"] });
    assert.equal(JSON.stringify(found.conversation), '[{"n":12345678901234567890},"b"]');
    assert.deepEqual(found.items, new Map([["msg_1", { id: "msg_1" }]]));
    assert.deepEqual(asked, [
      ["key_1", "resp_1", NOW],
      ["key_1", ["msg_1", "unknown"], NOW],
    ]);
    assert.deepEqual(await archive({}).find("key_1", { response: "a\0b", items: ["\u{d800}"] }), { items: new Map() });
    assert.deepEqual(await archive({}).find("key_1", { items: [] }), { items: new Map() });
  });

  it("has no conversation where there is none", async () => {
    const answers = archive({ conversation: async () => "absent" });
    assert.deepEqual(await answers.find("key_1", { response: "resp_1", items: [] }), { items: new Map() });
  });

  it("is refused where it is too much: long, named often, or of many values", async () => {
    const item = JSON.stringify({ id: "m", text: "x".repeat(MIB) });
    const questions: [Partial<AnswerStore>, string[]][] = [
      [{ conversation: async () => "too_large" }, []],
      [{ conversation: async () => Array.from({ length: 3 }, () => `[${"0,".repeat(400_000)}0]`) }, []],
      [{ conversation: async () => [], items: async () => new Map([["m", item]]) }, Array(32).fill("m")],
    ];
    for (const [store, items] of questions) {
      const finding = archive(store).find("key_1", { response: "resp_1", items });
      await assert.rejects(finding, { code: "request_too_large", status: 413 });
    }
  });

  it("is an error that may pass where the database can't be read", async () => {
    const fails = () => Promise.reject(new StoreUnavailable("secret reason"));
    const answers = archive({ conversation: fails, items: fails, get: fails, remove: fails });
    for (const asked of [
      answers.find("key_1", { response: "resp_1", items: [] }),
      answers.find("key_1", { items: ["m"] }),
      answers.get("key_1", "resp_1"),
      answers.remove("key_1", "resp_1"),
    ]) {
      await assert.rejects(asked, { code: "unavailable", message: /^(?!.*secret)/ });
    }
  });

  it("is an error that may pass where the database takes more than five seconds", async (t) => {
    const timers = fakeTimers(t);
    const asked = archive({ get: () => new Promise(() => {}) }).get("key_1", "resp_1");
    timers.pass(5_000);
    await assert.rejects(asked, { code: "unavailable" });
  });

  it("is not found by ids that nobody has", async () => {
    for (const id of ["a\0b", "x".repeat(300), "ä"]) {
      const missing = { code: "invalid_request", status: 404, message: /^[\x20-\x7e]{1,300}$/ };
      await assert.rejects(archive({}).get("key_1", id), missing);
      await assert.rejects(archive({}).remove("key_1", id), missing);
    }
  });
});

describe("a call whose answer is to be stored", () => {
  it("ends once it is, whole or streamed", async () => {
    for (const stream of [false, true]) {
      const stored = Promise.withResolvers<void>();
      const test = openStoring(() => stored.promise, { body: { stream } });
      await test.forward();
      const work = stream
        ? test.answeredWith(200, EVENT_STREAM, WHOLE_STREAM)
        : test.answeredWith(200, JSON_TYPE, ANSWER);
      await settled();
      assert.doesNotMatch(bodyOf(test.sent), stream ? /DONE/ : /./);
      stored.resolve();
      await work;
      assert.match(bodyOf(test.sent), stream ? /DONE/ : /Hi\./);
      assert.deepEqual(test.closings(), [["ok", 200, 3, false]]);
      assert.equal(test.admission.calls.filter(([name]) => name === "settle").length, 1);
    }
  });

  it("ends all the same when it can't be, and says so in the log", async () => {
    const test = openStoring(() => Promise.reject(new Error("no room")));
    await test.forward();
    await test.answeredWith(200, JSON_TYPE, ANSWER);
    assert.match(bodyOf(test.sent), /Hi\./);
    assert.deepEqual(test.faults, [new Error("no room")]);
  });

  it("has nothing stored where its stream breaks off, or an error is its answer", async () => {
    const kept: string[] = [];
    const keep = async (_keyId: string, { id }: AnswerToStore) => void kept.push(id);
    const broken = openStoring(keep, { body: { stream: true } });
    await broken.forward();
    await broken.answeredWith(200, EVENT_STREAM, textFrame("Hi."));
    assert.match(bodyOf(broken.sent), /error/);
    const refused = openStoring(keep);
    await refused.forward();
    await refused.answeredWith(400, JSON_TYPE, '{"message":"no"}');
    const complete = openStoring(keep, { body: { stream: true } });
    await complete.forward();
    await complete.answeredWith(200, EVENT_STREAM, Buffer.concat([textFrame("Hi."), STOP, METADATA]));
    assert.deepEqual(kept, ["resp_1"]);
  });

  it("is over when the client leaves meanwhile", async () => {
    const stored = Promise.withResolvers<void>();
    const test = openStoring(() => stored.promise);
    await test.forward();
    const work = test.answeredWith(200, JSON_TYPE, ANSWER);
    await settled();
    await test.call.interrupted();
    test.outlet.close();
    stored.resolve();
    await work;
    assert.deepEqual(typesOf(test.sent), []);
    assert.deepEqual(test.closings(), [["ok", 200, 3, false]]);
    assert.equal(test.admission.calls.filter(([name]) => name === "settle").length, 1);
  });
});

function archive(store: Partial<AnswerStore>): AnswerArchive {
  const unasked = () => Promise.reject(new Error("the store was asked"));
  const whole = { put: unasked, get: unasked, remove: unasked, conversation: unasked, items: unasked, prune: unasked };
  return createAnswerArchive({ store: { ...whole, ...store }, keepMs: DAY_MS, now: () => NOW });
}

function openStoring(keep: AnswerArchive["keep"], options: TestCallOptions = {}) {
  return openCall({
    ...options,
    services: { answers: { ...archive({}), keep } },
    conversation: { toStore: () => TO_STORE },
  });
}
