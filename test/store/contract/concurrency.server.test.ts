import assert from "node:assert/strict";
import { it } from "node:test";
import { openStore } from "../../../src/store/open.ts";
import { changeAt, describeStores, newKey, sha256Of } from "./stores.ts";

describeStores("two stores on one database", ({ open, createDatabase }) => {
  it("may be the first ones at once", async (t) => {
    const url = await createDatabase(t);
    const stores = await Promise.all(Array.from({ length: 4 }, () => open(t, url)));
    await Promise.all(stores.map(({ keys }, n) => keys.create([newKey(n)], changeAt(1))));
    assert.equal((await stores[0]?.keys.list())?.length, 4);
  });

  it("see each other's changes at once", async (t) => {
    const url = await createDatabase(t);
    const [one, two] = [await open(t, url), await open(t, url)];
    await one.keys.create([newKey(1)], changeAt(1));
    assert.equal((await two.keys.findBySecret(sha256Of(1)))?.key.revokedAt, null);
    await one.keys.revoke("key_1", changeAt(2));
    assert.equal((await two.keys.findBySecret(sha256Of(1)))?.key.revokedAt, 2);
  });

  it("lose no change of one key, and the audit tells a chain of them", async (t) => {
    const url = await createDatabase(t);
    const stores = [await open(t, url), await open(t, url)];
    await stores[0]?.keys.create([newKey(1, { rpm: 1000 })], changeAt(1));
    const rpms = Array.from({ length: 40 }, (_, n) => n + 1);
    await Promise.all(rpms.map((rpm) => stores[rpm % 2]?.keys.update("key_1", { rpm }, changeAt(rpm + 1))));
    const entries = await stores[0]?.audit.list({ limit: 100 });
    const steps = new Map(entries?.flatMap(({ changes }) => (changes.rpm ? [[changes.rpm.from, changes.rpm.to]] : [])));
    const walked: unknown[] = [];
    for (let at = steps.get(null); at !== undefined; at = steps.get(at)) walked.push(at);
    assert.equal(walked.length, 41);
    assert.equal(walked.at(-1), (await stores[1]?.keys.get("key_1"))?.rpm);
  });

  it("leave one secret that does not end, however many rotate at once", async (t) => {
    const url = await createDatabase(t);
    const stores = [await open(t, url), await open(t, url)];
    await stores[0]?.keys.create([newKey(1)], changeAt(1));
    const secrets = Array.from({ length: 10 }, (_, n) => n + 2);
    await Promise.all(secrets.map((n) => stores[n % 2]?.keys.rotate("key_1", newKey(n).secret, 9000, changeAt(n))));
    const found = await Promise.all([1, ...secrets].map((n) => stores[0]?.keys.findBySecret(sha256Of(n))));
    assert.equal(found.filter((secret) => secret?.replacedAt === null).length, 1);
    assert.equal((await stores[1]?.keys.list())?.length, 1);
  });

  it("make a team once, and lose no change of it", async (t) => {
    const url = await createDatabase(t);
    const stores = [await open(t, url), await open(t, url)];
    const rpms = Array.from({ length: 30 }, (_, n) => n + 1);
    await Promise.all(rpms.map((rpm) => stores[rpm % 2]?.teams.set("red", { rpm }, changeAt(1))));
    const entries = await stores[0]?.audit.list({ limit: 100 });
    assert.equal(entries?.filter(({ changes }) => changes.budget_period !== undefined).length, 1);
    const steps = new Map(entries?.flatMap(({ changes }) => (changes.rpm ? [[changes.rpm.from, changes.rpm.to]] : [])));
    const walked: unknown[] = [];
    for (let at = steps.get(null); at !== undefined; at = steps.get(at)) walked.push(at);
    assert.equal(walked.length, 30);
    assert.equal(walked.at(-1), (await stores[1]?.teams.get("red"))?.rpm);
  });

  it("finish what was asked for before they close, and read while one writes", async (t) => {
    const url = await createDatabase(t);
    const store = await openStore(url);
    const made = Array.from({ length: 30 }, (_, n) => store.keys.create([newKey(n)], changeAt(1)));
    const seen = store.instances.seen({ id: "i", host: "h", pid: 1, startedAt: 1, seenAt: 1 });
    const listed = store.keys.list();
    await store.close();
    await Promise.all([...made, seen, listed]);
    assert.equal((await (await open(t, url)).keys.list()).length, 30);
  });
});
