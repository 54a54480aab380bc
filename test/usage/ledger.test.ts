import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { describe, it, type TestContext } from "node:test";
import { createKeys } from "../../src/access/keys.ts";
import type { Call, Store } from "../../src/store/store.ts";
import { type CallClosing, type CallOpening, createLedger, type Ledger } from "../../src/usage/ledger.ts";
import { exitCode, openTempStore, printed, spawnWithStore } from "../store/temp-store.ts";
import { anOpening } from "./memory-calls.ts";

const CLOSING: CallClosing = {
  status: "ok",
  httpStatus: 200,
  usage: {
    inputTokens: 10,
    outputTokens: 20,
    cacheReadTokens: 30,
    cacheWriteTokens: 40,
    cacheWrite1hTokens: 5,
    reasoningTokens: 7,
  },
  estimated: false,
  cost: 2n ** 63n - 1n,
  serviceTier: "flex",
  finishedAt: 1_700_000_001_000,
  firstTokenAt: 1_700_000_000_500,
  bedrockRequestId: "b-1",
};

describe("createLedger", () => {
  it("keeps a call from its opening to its closing", async (t) => {
    const { ledger, store, keyId } = await openLedger(t);
    const opening = call("call-1", keyId);
    await ledger.open(opening);
    assert.deepEqual(await store.calls.get("call-1"), { ...row(opening), closing: undefined });
    await ledger.close("call-1", CLOSING);
    assert.deepEqual(await store.calls.get("call-1"), { ...row(opening), closing: CLOSING });
  });

  it("has committed the row when open resolves", async (t) => {
    const { ledger, path, keyId } = await openLedger(t);
    const other = new DatabaseSync(path, { readOnly: true });
    t.after(() => other.close());
    await ledger.open(call("call-1", keyId));
    assert.deepEqual({ ...other.prepare("SELECT id, status FROM calls").get() }, { id: "call-1", status: null });
  });

  it("lets the first closing win", async (t) => {
    const { ledger, store, keyId } = await openLedger(t);
    await ledger.open(call("call-1", keyId));
    await Promise.all([
      ledger.close("call-1", CLOSING),
      ledger.close("call-1", { ...CLOSING, status: "interrupted", estimated: true }),
    ]);
    await ledger.close("call-1", { ...CLOSING, status: "error", httpStatus: 500 });
    assert.deepEqual((await store.calls.get("call-1"))?.closing, CLOSING);
  });

  it("opens no second call by an id that one has, while that runs and afterwards", async (t) => {
    const { ledger, keyId } = await openLedger(t);
    const twice = await Promise.allSettled([ledger.open(call("call-1", keyId)), ledger.open(call("call-1", keyId))]);
    assert.deepEqual(
      twice.map(({ status }) => status),
      ["fulfilled", "rejected"],
    );
    await assert.rejects(ledger.open(call("call-1", keyId)), { name: "StoreConflict" });
    await ledger.close("call-1", CLOSING);
    await assert.rejects(ledger.open(call("call-1", keyId)), { name: "StoreConflict" });
  });

  it("rejects the closing of a call that was never opened", async (t) => {
    const { ledger } = await openLedger(t);
    await assert.rejects(ledger.close("call-1", CLOSING), /call-1.*never opened/);
  });

  it("fails only the call that cannot be written", async (t) => {
    const { ledger, store, keyId } = await openLedger(t);
    const outcomes = await Promise.allSettled([
      ledger.open(call("call-1", keyId)),
      ledger.open({ ...call("call-1", keyId), instance: "another" }),
      ledger.open(call("call-2", "key_unknown")),
      ledger.open(call("call-3", keyId)),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ["fulfilled", "rejected", "rejected", "fulfilled"],
    );
    assert.ok(await store.calls.get("call-1"));
    assert.equal(await store.calls.get("call-2"), undefined);
    assert.ok(await store.calls.get("call-3"));
  });

  it("refuses a token count that is no whole number, and can still close the call", async (t) => {
    const { ledger, store, keyId } = await openLedger(t);
    await ledger.open(call("call-1", keyId));
    await assert.rejects(ledger.close("call-1", { ...CLOSING, usage: { ...CLOSING.usage, inputTokens: 1.5 } }));
    await ledger.close("call-1", CLOSING);
    assert.deepEqual((await store.calls.get("call-1"))?.closing, CLOSING);
  });

  it("keeps every opened call when its process is killed", async (t) => {
    const { store, url, keyId } = await openLedger(t);
    const writer = spawnWithStore(
      t,
      url,
      `const ledger = createLedger((await openStore(url)).calls);
       const opening = { ...${JSON.stringify({ ...call("", keyId), reserved: 0 })}, reserved: 0n };
       for (let n = 0; ; n++) {
         await Promise.all(["a", "b"].map((part) => ledger.open({ ...opening, id: "call-" + n + part })));
         print("opened " + n + ";");
       }`,
    );
    await printed(writer, "opened 20;");
    writer.kill("SIGKILL");
    await exitCode(writer);
    const opened = [...writer.output().matchAll(/opened (\d+);/g)].flatMap(([, n]) => [`call-${n}a`, `call-${n}b`]);
    assert.ok(opened.length >= 42);
    for (const id of opened) {
      assert.deepEqual(await store.calls.get(id), { ...row(call(id, keyId)), closing: undefined });
    }
  });
});

async function openLedger(
  t: TestContext,
): Promise<{ ledger: Ledger; store: Store; keyId: string; url: string; path: string }> {
  const { store, url, path } = await openTempStore(t);
  const { key } = await createKeys(store, { now: Date.now, randomBytes, by: "test" }).create({
    name: "alice",
    team: "core",
  });
  return { ledger: createLedger(store.calls), store, keyId: key.id, url, path };
}

function call(id: string, keyId: string): CallOpening {
  return anOpening(id, { keyId, team: "core", stream: true });
}

/** As the store gives it back. */
function row({ budgets: _budgets, ...opening }: CallOpening): Omit<Call, "closing"> {
  return opening;
}
