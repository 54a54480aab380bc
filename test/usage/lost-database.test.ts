import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { StoreUnavailable } from "../../src/store/store.ts";
import { createLedger, type LedgerOptions } from "../../src/usage/ledger.ts";
import { aClosing, anOpening, type MemoryCalls, memoryCalls } from "./memory-calls.ts";

const PATIENCE_MS = 50;
const RETRY_MS = 20;
const WAIT_MS = 5_000;

describe("closing a call while the database is lost", () => {
  it("holds no answer up, and writes every closing once it is back", async () => {
    const { ledger, calls, said } = await setUp(250);
    calls.lost = true;
    const started = performance.now();
    await Promise.all([...calls.rows.keys()].map((id) => ledger.close(id, aClosing({ bedrockRequestId: id }))));
    assert.ok(performance.now() - started < 1_000);
    assert.equal(ledger.waiting, 250);
    await sleep(3 * RETRY_MS);
    assert.equal(ledger.waiting, 250);
    calls.lost = false;
    await until(() => ledger.waiting === 0);
    for (const [id, row] of calls.rows) assert.equal(row.closing?.bedrockRequestId, id);
    assert.deepEqual(said, ["waiting: the database is lost", "written"]);
  });

  it("tries them in the order in which they came", async () => {
    const { ledger, calls } = await setUp(3);
    calls.lost = true;
    for (const id of ["call-2", "call-0", "call-1"]) await ledger.close(id, aClosing());
    calls.asked.length = 0;
    calls.lost = false;
    await until(() => ledger.waiting === 0);
    assert.deepEqual(calls.asked, ["close call-2", "close call-0", "close call-1"]);
  });

  it("asks for no more than a group of them while it is lost", async () => {
    const { ledger, calls } = await setUp(250, { retryMs: 60_000 });
    calls.lost = true;
    for (const id of calls.rows.keys()) await ledger.close(id, aClosing());
    calls.asked.length = 0;
    await ledger.drain(1);
    assert.equal(calls.asked.length, 100);
  });

  it("keeps the first closing of a call", async () => {
    const { ledger, calls } = await setUp(1);
    calls.lost = true;
    await ledger.close("call-0", aClosing());
    await ledger.close("call-0", aClosing({ status: "interrupted" }));
    assert.equal(ledger.waiting, 1);
    calls.lost = false;
    await until(() => ledger.waiting === 0);
    assert.equal(calls.rows.get("call-0")?.closing?.status, "ok");
  });

  it("opens nothing meanwhile, without asking the database, and opens again when all is written", async () => {
    const { ledger, calls } = await setUp(1, { retryMs: 200 });
    calls.lost = true;
    await ledger.close("call-0", aClosing());
    calls.asked.length = 0;
    await assert.rejects(ledger.open(anOpening("new")), StoreUnavailable);
    assert.deepEqual(calls.asked, []);
    calls.lost = false;
    await until(() => ledger.waiting === 0);
    await ledger.open(anOpening("new"));
    assert.ok(calls.rows.has("new"));
  });
});

describe("closing a call in a slow database", () => {
  it("holds the answer up for as long as patience lasts, and writes it once", async () => {
    const { ledger, calls, said } = await setUp(1);
    calls.delayMs = 300;
    const started = performance.now();
    await ledger.close("call-0", aClosing());
    const took = performance.now() - started;
    assert.ok(took >= PATIENCE_MS - 1 && took < 290, `${took} ms`);
    assert.equal(ledger.waiting, 1);
    await until(() => ledger.waiting === 0);
    assert.ok(calls.rows.get("call-0")?.closing);
    assert.deepEqual(calls.asked, ["close call-0"]);
    assert.deepEqual(said, ["waiting: undefined", "written"]);
  });

  it("tries again when the slow write fails in the end", async () => {
    const { ledger, calls } = await setUp(1);
    calls.delayMs = 100;
    calls.lost = true;
    await ledger.close("call-0", aClosing());
    await sleep(120);
    assert.equal(ledger.waiting, 1);
    calls.lost = false;
    calls.delayMs = 0;
    await until(() => ledger.waiting === 0);
    assert.ok(calls.rows.get("call-0")?.closing);
  });
});

describe("a closing that no database would take", () => {
  it("is its caller's to hear of", async () => {
    const { ledger } = await setUp(0);
    await assert.rejects(ledger.close("nobody", aClosing()), /never opened/);
    assert.equal(ledger.waiting, 0);
  });

  it("is reported and dropped when it had to wait, and holds up no other", async () => {
    const { ledger, calls, faults } = await setUp(2);
    calls.lost = true;
    await ledger.close("call-0", aClosing());
    await ledger.close("nobody", aClosing());
    await ledger.close("call-1", aClosing());
    calls.lost = false;
    await until(() => ledger.waiting === 0);
    assert.deepEqual(faults, ["nobody"]);
    assert.ok(calls.rows.get("call-0")?.closing && calls.rows.get("call-1")?.closing);
  });
});

describe("opening a call", () => {
  it("leaves no open row behind when the row was written but nobody heard of it", async () => {
    const { ledger, calls, faults } = await setUp(0);
    const { open } = calls;
    calls.open = async (call) => {
      await open(call);
      throw new StoreUnavailable("the connection broke");
    };
    await assert.rejects(ledger.open(anOpening("ghost")), StoreUnavailable);
    await until(() => ledger.waiting === 0);
    const closing = calls.rows.get("ghost")?.closing;
    assert.deepEqual(
      [closing?.status, closing?.httpStatus, closing?.errorCode, closing?.cost],
      ["error", 503, "unavailable", 0n],
    );
    assert.deepEqual(faults, []);
  });

  it("reports nothing when the row was not written either", async () => {
    const { ledger, calls, faults } = await setUp(0);
    calls.lost = true;
    await assert.rejects(ledger.open(anOpening("none")), StoreUnavailable);
    calls.lost = false;
    await until(() => ledger.waiting === 0);
    assert.deepEqual([faults, calls.rows.size], [[], 0]);
  });

  it("gives up after its time, and closes the row that comes later", async () => {
    const { ledger, calls } = await setUp(0, { openTimeoutMs: 30 });
    calls.delayMs = 100;
    await assert.rejects(ledger.open(anOpening("late")), /longer than 30 ms/);
    calls.delayMs = 0;
    await until(() => calls.rows.get("late")?.closing !== undefined);
    assert.equal(calls.rows.get("late")?.closing?.errorCode, "unavailable");
  });

  it("is refused while too many closings wait", async () => {
    const { ledger, calls } = await setUp(2, { maxWaiting: 2 });
    calls.delayMs = 200;
    await Promise.all([ledger.close("call-0", aClosing()), ledger.close("call-1", aClosing())]);
    assert.equal(ledger.waiting, 2);
    await assert.rejects(ledger.open(anOpening("new")), StoreUnavailable);
    await until(() => ledger.waiting === 0);
  });
});

describe("draining on shutdown", () => {
  it("writes what waits as soon as the database is back", async () => {
    const { ledger, calls } = await setUp(3, { retryMs: 60_000 });
    calls.lost = true;
    for (const id of calls.rows.keys()) await ledger.close(id, aClosing());
    setTimeout(() => {
      calls.lost = false;
    }, 150);
    assert.equal(await ledger.drain(WAIT_MS), 0);
    assert.ok([...calls.rows.values()].every(({ closing }) => closing !== undefined));
  });

  it("gives up after its time and says how many are left", async () => {
    const { ledger, calls } = await setUp(3);
    calls.lost = true;
    for (const id of calls.rows.keys()) await ledger.close(id, aClosing());
    const started = performance.now();
    assert.equal(await ledger.drain(100), 3);
    assert.ok(performance.now() - started < 1_000);
    calls.asked.length = 0;
    await ledger.close("call-late", aClosing());
    await sleep(3 * RETRY_MS);
    assert.deepEqual([ledger.waiting, calls.asked], [4, []]);
  });

  it("waits for a closing that is being written", async () => {
    const { ledger, calls } = await setUp(1, { patienceMs: 10_000 });
    calls.delayMs = 100;
    const closed = ledger.close("call-0", aClosing());
    assert.equal(await ledger.drain(WAIT_MS), 0);
    assert.ok(calls.rows.get("call-0")?.closing);
    await closed;
  });
});

async function setUp(count: number, options: LedgerOptions = {}) {
  const calls: MemoryCalls = memoryCalls(Array.from({ length: count }, (_, index) => anOpening(`call-${index}`)));
  const said: string[] = [];
  const faults: string[] = [];
  const ledger = createLedger(calls, {
    patienceMs: PATIENCE_MS,
    retryMs: RETRY_MS,
    random: () => 0.5,
    onFault: (_error, id) => faults.push(id),
    onWaiting: (error) => said.push(`waiting: ${error instanceof Error ? error.message : String(error)}`),
    onWritten: () => said.push("written"),
    ...options,
  });
  return { ledger, calls, said, faults };
}

async function until(check: () => boolean): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (!check()) {
    assert.ok(performance.now() < deadline, "not in time");
    await sleep(5);
  }
}
