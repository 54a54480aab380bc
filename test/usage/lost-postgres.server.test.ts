import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createKeys } from "../../src/access/keys.ts";
import { openStore } from "../../src/store/open.ts";
import { StoreUnavailable } from "../../src/store/store.ts";
import { createLedger } from "../../src/usage/ledger.ts";
import { postgresMissing, startPostgres } from "../servers/postgres.ts";
import { aClosing, anOpening } from "./memory-calls.ts";

const missing = postgresMissing();

describe("a PostgreSQL server that is gone for three seconds", missing === undefined ? {} : { skip: missing }, () => {
  it("holds no answer up for longer than a second, and gets every closing once it is back", async (t) => {
    const server = await startPostgres();
    t.after(() => server.stop());
    const store = await openStore(await server.createDatabase());
    t.after(() => store.close());
    const { key } = await createKeys(store, { now: Date.now, randomBytes, by: "test" }).create({ name: "alice" });
    const ledger = createLedger(store.calls);
    const ids = Array.from({ length: 100 }, (_, n) => `call-${n}`);
    await Promise.all(ids.map((id) => ledger.open(anOpening(id, { keyId: key.id }))));

    await server.stop();
    for (const id of ids) {
      const started = performance.now();
      await ledger.close(id, aClosing({ bedrockRequestId: id }));
      const took = performance.now() - started;
      assert.ok(took < 1_200, `${took} ms`);
    }
    assert.equal(ledger.waiting, 100);
    await assert.rejects(ledger.open(anOpening("refused", { keyId: key.id })), StoreUnavailable);
    await sleep(3_000);
    assert.equal(ledger.waiting, 100);

    await server.start();
    const deadline = performance.now() + 10_000;
    while (ledger.waiting > 0) {
      assert.ok(performance.now() < deadline, `${ledger.waiting} wait`);
      await sleep(20);
    }
    for (const id of ids) assert.equal((await store.calls.get(id))?.closing?.bedrockRequestId, id);
    const { requests, inputTokens, cost } = await store.reports.total({});
    assert.deepEqual([requests, inputTokens, cost], [100, 1_000, 500n]);
    assert.equal((await ledger.open(anOpening("next", { keyId: key.id }))).opened, true);
  });
});
