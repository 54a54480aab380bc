import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { openStore } from "../../src/store/open.ts";
import { changeAt, newKey } from "./contract/stores.ts";
import { tempDir } from "./temp-store.ts";

describe("openStore", () => {
  it("creates the folder and the file for their owner alone", async (t) => {
    const dir = join(tempDir(t), "a", "b");
    const store = await openStore(`sqlite:${dir}/gateway.db`);
    t.after(() => store.close());
    await store.keys.list();
    assert.equal(statSync(dir).mode & 0o777, 0o700);
    assert.equal(statSync(join(dir, "gateway.db")).mode & 0o777, 0o600);
    assert.equal(statSync(join(dir, "gateway.db-wal")).mode & 0o777, 0o600);
  });

  it("keeps what was written for the next opening", async (t) => {
    const url = `sqlite:${join(tempDir(t), "gateway.db")}`;
    const first = await openStore(url);
    await first.keys.create([newKey(1)], changeAt(1));
    await first.close();
    const second = await openStore(url);
    t.after(() => second.close());
    assert.deepEqual(
      (await second.keys.list()).map(({ id }) => id),
      ["key_1"],
    );
  });

  it("reads sqlite:///PATH as an absolute path", async (t) => {
    const path = join(tempDir(t), "gateway.db");
    const store = await openStore(`sqlite://${path}`);
    t.after(() => store.close());
    assert.ok(statSync(path).isFile());
  });

  it("opens a database in memory", async (t) => {
    const store = await openStore("sqlite::memory:");
    t.after(() => store.close());
    assert.deepEqual(await store.keys.list(), []);
  });

  it("refuses other addresses, naming DATABASE_URL and the accepted forms, without their password", async () => {
    for (const url of ["mysql://root:hunter2@db/gateway", "gateway.db", "sqlite:", "sqlite://host/x.db"]) {
      await assert.rejects(openStore(url), (error: Error) => {
        assert.match(error.message, /DATABASE_URL.*sqlite:PATH/);
        assert.doesNotMatch(error.message, /hunter2/);
        return true;
      });
    }
  });

  it("refuses a file that is no database, and leaves it as it was", async (t) => {
    const path = join(tempDir(t), "notes.txt");
    writeFileSync(path, "not a database, but longer than a header of one hundred bytes".repeat(3));
    const before = readFileSync(path, "utf8");
    await assert.rejects(openStore(`sqlite:${path}`), /DATABASE_URL.*notes\.txt.*not a database/);
    assert.equal(readFileSync(path, "utf8"), before);
  });
});
