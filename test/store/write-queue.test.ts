import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, it, type TestContext } from "node:test";
import { createWriteQueue } from "../../src/store/write-queue.ts";
import { tempDir } from "./temp-store.ts";

describe("createWriteQueue", () => {
  it("resolves after the commit", async (t) => {
    const { db, other } = openPair(t);
    const writes = createWriteQueue(db);
    const written = writes.run(() => insert(db, 1));
    assert.deepEqual(numbers(other), []);
    await written;
    assert.deepEqual(numbers(other), [1]);
  });

  it("puts the writes of one turn of the event loop into one transaction", async (t) => {
    const { db, other } = openPair(t);
    const writes = createWriteQueue(db);
    const seenOutside: unknown[][] = [];
    const write = (n: number) => {
      insert(db, n);
      seenOutside.push(numbers(other));
    };
    await Promise.all([1, 2, 3].map((n) => writes.run(() => write(n))));
    assert.deepEqual(seenOutside, [[], [], []]);
    assert.deepEqual(numbers(other), [1, 2, 3]);
  });

  it("fails a failing write alone, and undoes all of it", async (t) => {
    const { db, other } = openPair(t);
    const writes = createWriteQueue(db);
    const outcomes = await Promise.allSettled([
      writes.run(() => insert(db, 1)),
      writes.run(() => {
        insert(db, 2);
        insert(db, 1);
      }),
      writes.run(() => {
        insert(db, 3);
        throw new Error("not this one");
      }),
      writes.run(() => insert(db, 4)),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ["fulfilled", "rejected", "rejected", "fulfilled"],
    );
    assert.deepEqual(numbers(other), [1, 4]);
  });

  it("fails every write of a batch that cannot be committed, and works again afterwards", async (t) => {
    const { db, other } = openPair(t);
    db.exec("CREATE TABLE child (n REFERENCES numbers (n) DEFERRABLE INITIALLY DEFERRED)");
    const writes = createWriteQueue(db);
    // A deferred constraint is checked by the commit itself.
    const outcomes = await Promise.allSettled([
      writes.run(() => insert(db, 1)),
      writes.run(() => db.exec("INSERT INTO child VALUES (99)")),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ["rejected", "rejected"],
    );
    await writes.run(() => insert(db, 2));
    assert.deepEqual(numbers(other), [2]);
  });

  it("does not make a lone write wait for a timer", async (t) => {
    const { db } = openPair(t);
    const writes = createWriteQueue(db);
    let turns = 0;
    let written = false;
    const write = writes
      .run(() => insert(db, 1))
      .then(() => {
        written = true;
      });
    while (!written && turns < 10) {
      await new Promise((resolve) => setImmediate(resolve));
      turns++;
    }
    await write;
    assert.ok(turns <= 2, `${turns} turns of the event loop`);
  });

  it("puts what comes right after a transaction into one with what follows", async (t) => {
    const { db, other } = openPair(t);
    const writes = createWriteQueue(db, { gatherMs: 50 });
    await writes.run(() => insert(db, 1));
    const second = writes.run(() => insert(db, 2));
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(numbers(other), [1]);
    let seenOutside: unknown[] = [];
    const third = writes.run(() => {
      seenOutside = numbers(other);
      insert(db, 3);
    });
    await Promise.all([second, third]);
    assert.deepEqual([seenOutside, numbers(other)], [[1], [1, 2, 3]]);
  });

  it("waits for another process's lock without blocking the event loop", async (t) => {
    const { db, other } = openPair(t);
    const writes = createWriteQueue(db);
    other.exec("BEGIN IMMEDIATE");
    const first = writes.run(() => insert(db, 1));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const second = writes.run(() => insert(db, 2));
    other.exec("COMMIT");
    await Promise.all([first, second]);
    assert.deepEqual(numbers(db), [1, 2]);
  });

  it("gives up on a lock that is never released", async (t) => {
    const { db, other } = openPair(t);
    const writes = createWriteQueue(db, { lockTimeoutMs: 30 });
    other.exec("BEGIN IMMEDIATE");
    await assert.rejects(
      writes.run(() => insert(db, 1)),
      /locked/,
    );
    other.exec("COMMIT");
    await writes.run(() => insert(db, 2));
    assert.deepEqual(numbers(db), [2]);
  });

  it("refuses writes beyond its limit instead of growing", async (t) => {
    const { db } = openPair(t);
    const writes = createWriteQueue(db, { maxWaiting: 2 });
    const accepted = [writes.run(() => insert(db, 1)), writes.run(() => insert(db, 2))];
    await assert.rejects(
      writes.run(() => insert(db, 3)),
      /too slow/,
    );
    await Promise.all(accepted);
    await writes.run(() => insert(db, 4));
    assert.deepEqual(numbers(db), [1, 2, 4]);
  });

  it("is drained once nothing is left to write", async (t) => {
    const { db } = openPair(t);
    const writes = createWriteQueue(db);
    await writes.drained();
    writes.run(() => insert(db, 1));
    await writes.drained();
    assert.deepEqual(numbers(db), [1]);
  });
});

/** Two connections to one file, the second in the place of another process. */
function openPair(t: TestContext): { db: DatabaseSync; other: DatabaseSync } {
  const path = join(tempDir(t), "queue.db");
  const db = new DatabaseSync(path, { timeout: 0 });
  const other = new DatabaseSync(path, { timeout: 0 });
  t.after(() => {
    db.close();
    other.close();
  });
  db.exec("PRAGMA journal_mode = WAL; CREATE TABLE numbers (n INTEGER PRIMARY KEY)");
  return { db, other };
}

function insert(db: DatabaseSync, n: number): void {
  db.prepare("INSERT INTO numbers VALUES (?)").run(n);
}

function numbers(db: DatabaseSync): unknown[] {
  return db
    .prepare("SELECT n FROM numbers ORDER BY n")
    .all()
    .map(({ n }) => n);
}
