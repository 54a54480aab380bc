import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { describe, it } from "node:test";
import { MIGRATIONS, migrate } from "../../src/store/migrations.ts";
import { openStore } from "../../src/store/open.ts";
import { exitCode, printed, spawnWithStore, tempDir } from "./temp-store.ts";

describe("migrate", () => {
  it("changes nothing when it runs again", () => {
    const db = new DatabaseSync(":memory:");
    migrate(db);
    const schema = schemaOf(db);
    migrate(db);
    assert.deepEqual(schemaOf(db), schema);
    assert.equal(versionOf(db), MIGRATIONS.length);
  });

  it("takes only the steps that are missing", () => {
    const db = new DatabaseSync(":memory:");
    migrate(db, ["CREATE TABLE a (x)"]);
    migrate(db, ["CREATE TABLE a (x)", "CREATE TABLE b (x)"]);
    assert.deepEqual(schemaOf(db), ["a", "b"]);
  });

  it("leaves nothing behind when a step fails", () => {
    const db = new DatabaseSync(":memory:");
    assert.throws(() => migrate(db, ["CREATE TABLE a (x)", "CREATE TABLE a (x)"]), /already exists/);
    assert.deepEqual(schemaOf(db), []);
    assert.equal(versionOf(db), 0);
    assert.equal(db.isTransaction, false);
  });

  it("refuses another program's database and leaves it alone", () => {
    const db = new DatabaseSync(":memory:");
    db.exec("CREATE TABLE photos (x)");
    assert.throws(() => migrate(db), /another program's database/);
    assert.deepEqual(schemaOf(db), ["photos"]);
  });

  it("lets processes that start at once create one database", async (t) => {
    const url = `sqlite:${tempDir(t)}/new/gateway.db`;
    const children = Array.from({ length: 3 }, (_, index) =>
      spawnWithStore(
        t,
        url,
        `process.stdin.once("data", async () => {
           const store = await openStore(url);
           await createKeys(store, { now: Date.now, randomBytes, by: "cli:test" }).create({ name: "key ${index}" });
           await store.close();
           process.exit();
         });
         print("ready");`,
      ),
    );
    for (const child of children) await printed(child, "ready");
    for (const child of children) child.stdin?.write("go\n");
    assert.deepEqual(await Promise.all(children.map(exitCode)), [0, 0, 0]);
    const store = await openStore(url);
    t.after(() => store.close());
    assert.deepEqual((await store.keys.list()).map(({ name }) => name).sort(), ["key 0", "key 1", "key 2"]);
  });
});

function schemaOf(db: DatabaseSync): unknown[] {
  return db
    .prepare("SELECT name FROM sqlite_schema ORDER BY name")
    .all()
    .map((row) => row.name);
}

function versionOf(db: DatabaseSync): unknown {
  return db.prepare("PRAGMA user_version").get()?.user_version;
}
