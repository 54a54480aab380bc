import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { says } from "../../src/simulator/answer.ts";
import { runMain } from "./command.ts";
import { ask, readError, readSse, startTestGateway, type TestGateway, uniqueModel, until } from "./harness.ts";
import { startSplitGateway } from "./split-gateway.ts";

const BACK_MS = 2_000;
const REVOKED_MS = 2_000;

/** A stream of about `seconds`. */
const slowly = (seconds: number) => says("word ".repeat(seconds * 20), { pace: 100 });

describe("a client that leaves in the middle of a stream", () => {
  let gateway: TestGateway;
  before(async () => {
    gateway = await startTestGateway();
  });
  after(() => gateway.stop());

  it("ends the call to Bedrock, is charged an estimate and disturbs nobody", async () => {
    const leaving = uniqueModel();
    const staying = uniqueModel();
    gateway.simulator.scriptModel(leaving, slowly(60));
    gateway.simulator.scriptModel(staying, slowly(2));
    const other = gateway.chat(ask(staying, { stream: true })).then((reply) => readSse(reply));

    const abort = new AbortController();
    const reply = await gateway.chat(ask(leaving, { stream: true }), { signal: abort.signal });
    const { complete } = await readSse(reply, (text) => {
      if (text.includes("word")) abort.abort();
    });
    assert.equal(complete, false);

    const upstream = await gateway.simulator.waitFor(({ modelId, done }) => modelId === leaving && done);
    assert.equal(upstream.aborted, true);
    const { closing } = await gateway.closedCall(reply.headers.get("x-request-id"));
    assert.deepEqual([closing?.status, closing?.estimated], ["interrupted", true]);
    assert.ok(closing !== undefined && closing.usage.inputTokens > 0 && closing.usage.outputTokens > 0);

    assert.equal((await other).data.at(-1), "[DONE]");
  });

  it("ends the call to Bedrock also before its answer began", async () => {
    const model = uniqueModel();
    gateway.simulator.scriptModel(model, says("too late", { delay: 60_000 }));
    const abort = new AbortController();
    const reply = gateway.chat(ask(model), { signal: abort.signal });
    await gateway.simulator.waitFor(({ modelId }) => modelId === model);
    abort.abort();
    await assert.rejects(reply, { name: "AbortError" });
    const upstream = await gateway.simulator.waitFor(({ modelId, done }) => modelId === model && done);
    assert.equal(upstream.aborted, true);
    const row = await until("a closed row", async () =>
      (await gateway.usage()).find(({ modelInvoked, closing }) => modelInvoked === model && closing !== undefined),
    );
    assert.deepEqual([row.closing?.status, row.closing?.estimated], ["interrupted", true]);
  });
});

describe("a key that is revoked while it streams", () => {
  it("finishes and pays for the stream, and opens no other after two seconds", async () => {
    await using gateway = await startTestGateway();
    const model = uniqueModel();
    gateway.simulator.scriptModel(model, slowly(4));
    const reply = await gateway.chat(ask(model, { stream: true }));
    const stream = readSse(reply);
    const env = { DATABASE_URL: gateway.databaseUrl };
    await using command = await runMain(["keys", "revoke", gateway.keyId, "--json"], env);
    assert.equal((await command.exited).code, 0, command.stderr());

    await sleep(REVOKED_MS);
    const refused = await readError(await gateway.chat(ask(uniqueModel())));
    assert.deepEqual([refused.status, refused.code], [401, "invalid_api_key"]);

    const { data, complete } = await stream;
    assert.deepEqual([complete, data.at(-1)], [true, "[DONE]"]);
    const { closing } = await gateway.closedCall(reply.headers.get("x-request-id"));
    assert.deepEqual([closing?.status, closing?.estimated], ["ok", false]);
    assert.ok(closing !== undefined && closing.usage.outputTokens > 0);
  });
});

describe("a service that is killed", () => {
  it("breaks its streams without a false end, is missed with a 503 and is back at once", async (t) => {
    await using gateway = await startSplitGateway();
    const model = uniqueModel();
    gateway.simulator.scriptModel(model, slowly(60));
    const reply = await gateway.chat(ask(model, { stream: true }));
    const stream = await readSse(reply, (text) => {
      if (text.includes("word")) process.kill(gateway.service.pid, "SIGKILL");
    });
    assert.equal(stream.complete, false);
    assert.doesNotMatch(stream.raw, /\[DONE\]|"finish_reason":"/);
    assert.match(stream.raw, /"content":"/);
    await gateway.simulator.waitFor(({ modelId, aborted }) => modelId === model && aborted);

    for (const body of [ask(uniqueModel()), ask(uniqueModel(), { stream: true })]) {
      const error = await readError(await gateway.chat(body));
      assert.deepEqual([error.status, error.code], [503, "unavailable"]);
    }
    await sleep(3_000); // Until Envoy, too, has noticed in every way it can.
    assert.equal((await readError(await gateway.chat(ask(uniqueModel())))).status, 503);

    await gateway.startService();
    const started = performance.now();
    await until("an answer", async () => {
      const answer = await gateway.chat(ask(uniqueModel()));
      await answer.text();
      return answer.status === 200 || undefined;
    });
    const took = performance.now() - started;
    t.diagnostic(`answers ${Math.round(took)} ms after the service was ready`);
    assert.ok(took < BACK_MS, `${took} ms`);

    const row = await gateway.store.calls.get(reply.headers.get("x-request-id") ?? "");
    assert.equal(row?.modelInvoked, model);
    const [totals] = await gateway.store.reports.totals({ by: "model" });
    assert.ok(totals !== undefined && totals.requests > 0);
  });
});
