/** HTTP/2 without TLS, by prior knowledge: what service meshes and some SDKs speak. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { says } from "../../src/simulator/simulator.ts";
import { ask, startTestGateway, uniqueModel } from "./harness.ts";
import { http2Client } from "./raw-http.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());

const CHAT = {
  ":method": "POST",
  ":path": "/v1/chat/completions",
  authorization: `Bearer ${gateway.key}`,
  "content-type": "application/json",
};

describe("HTTP/2", { concurrency: true }, () => {
  it("carries answers, streams and errors", async () => {
    using client = http2Client(gateway.url);
    const whole = await client.request(CHAT, JSON.stringify(ask(uniqueModel())));
    assert.equal(whole.status, 200);
    assert.match(JSON.parse(whole.body).choices[0].message.content, /Hello!/);
    const stream = await client.request(CHAT, JSON.stringify(ask(uniqueModel(), { stream: true })));
    assert.deepEqual([stream.status, stream.headers["content-type"]], [200, "text/event-stream; charset=utf-8"]);
    assert.match(stream.body, /^data: \{.*data: \[DONE\]\n\n$/s);
    const refused = await client.request({ ...CHAT, authorization: "Bearer no" }, "{}");
    assert.deepEqual([refused.status, JSON.parse(refused.body).error.code], [401, "invalid_api_key"]);
    const line = await gateway.accessLine(String(whole.headers["x-request-id"]));
    assert.equal(line.protocol, "HTTP/2");
  });

  it("carries many requests at once on one connection, each with its own answer", async () => {
    using client = http2Client(gateway.url);
    await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const model = uniqueModel();
        gateway.simulator.scriptModel(model, says(`answer ${index}`, { delay: 100 - index }));
        const { status, body } = await client.request(CHAT, JSON.stringify(ask(model)));
        assert.deepEqual([status, JSON.parse(body).choices[0].message.content], [200, `answer ${index}`]);
      }),
    );
  });

  it("loses one stream alone when Bedrock cuts its answer", async () => {
    using client = http2Client(gateway.url);
    const [cut, whole] = [uniqueModel(), uniqueModel()];
    const begin = { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: "Begin" } } };
    gateway.simulator.scriptModel(cut, { kind: "events", steps: [begin, { cut: "reset", delay: 100 }] });
    gateway.simulator.scriptModel(whole, says("All of it", { delay: 300 }));
    const [broken, fine] = await Promise.allSettled([
      client.request(CHAT, JSON.stringify(ask(cut, { stream: true }))),
      client.request(CHAT, JSON.stringify(ask(whole))),
    ]);
    assert.equal(broken.status, "rejected");
    assert.ok(fine.status === "fulfilled" && fine.value.status === 200);
  });

  it("stops Bedrock's answer when the client resets its stream", async () => {
    const model = uniqueModel();
    gateway.simulator.scriptModel(model, says("one two three four", { pace: 5_000 }));
    {
      using client = http2Client(gateway.url);
      client.request(CHAT, JSON.stringify(ask(model, { stream: true }))).catch(() => {});
      await gateway.simulator.waitFor(({ modelId }) => modelId === model);
    }
    const request = await gateway.simulator.waitFor(({ modelId, done }) => modelId === model && done);
    assert.equal(request.aborted, true);
  });
});
