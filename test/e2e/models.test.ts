/** The list of models, model ids of every form, and a catalog that fails. */
import assert from "node:assert/strict";
import { after, describe, it, mock } from "node:test";
import { ask, readError, startTestGateway, type TestGateway, uniqueModel } from "./harness.ts";
import { rawRequest } from "./raw-http.ts";

const ACCOUNT = "arn:aws:bedrock:us-east-1:123456789012";
const APPLICATION_PROFILE = `${ACCOUNT}:application-inference-profile/k3f9a2b7c1d4`;

const gateway = await startTestGateway();
after(() => gateway.stop());

describe("the list of models", { concurrency: true }, () => {
  it("has on-demand models, system profiles and application profiles, as OpenAI lists them", async () => {
    const list = await getModels(gateway);
    for (const id of ["amazon.nova-micro-v1:0", "us.anthropic.claude-opus-5-5", APPLICATION_PROFILE])
      assert.ok(
        list.some((model) => model.id === id),
        id,
      );
    assert.ok(!list.some((model) => model.id === "anthropic.claude-opus-5-5"), "only profiles can be asked for it");
    for (const model of list) {
      assert.equal(model.object, "model");
      assert.ok(Number.isInteger(model.created));
      assert.match(model.owned_by, /^[a-z0-9 ]+$/);
    }
    assert.equal(new Set(list.map(({ id }) => id)).size, list.length);
  });

  it("needs a key", async () => {
    for (const path of ["/v1/models", "/v1/models/amazon.nova-micro-v1:0"])
      assert.equal((await readError(await fetch(gateway.url + path))).status, 401);
  });

  for (const path of [
    "/v1/models/amazon.nova-micro-v1:0",
    "/v1/models/amazon.nova-micro-v1%3A0",
    "/models/amazon.nova-micro-v1%3a0",
    `/v1/models/${APPLICATION_PROFILE}`,
    `/v1/models/${encodeURIComponent(APPLICATION_PROFILE)}`,
  ]) {
    it(`gives one of them at ${path}`, async () => {
      const reply = await rawRequest(gateway.url + path, { headers: authorization(gateway.key) });
      assert.equal(reply.status, 200, reply.body);
      const id = decodeURIComponent(path.replace(/^(\/v1)?\/models\//, ""));
      assert.equal(JSON.parse(reply.body).id, id);
    });
  }

  it("does not give one that is unknown or badly encoded", async () => {
    const unknown = await fetch(`${gateway.url}/v1/models/no.such-model`, { headers: authorization(gateway.key) });
    const error = await readError(unknown);
    assert.deepEqual([error.status, error.code], [404, "model_not_found"]);
    const broken = await rawRequest(`${gateway.url}/v1/models/%zz`, { headers: authorization(gateway.key) });
    assert.deepEqual([broken.status, JSON.parse(broken.body).error.code], [404, "unknown_url"]);
  });

  it("has only what the key may use", async () => {
    const { secret } = await gateway.keys.create({ name: "nova", models: ["amazon.nova-*", APPLICATION_PROFILE] });
    const ids = (await getModels(gateway, secret)).map(({ id }) => id);
    assert.ok(ids.includes("amazon.nova-micro-v1:0") && ids.includes(APPLICATION_PROFILE));
    assert.ok(ids.every((id) => id.startsWith("amazon.nova-") || id === APPLICATION_PROFILE));
    const url = `${gateway.url}/v1/models/us.anthropic.claude-opus-5-5`;
    assert.equal((await readError(await fetch(url, { headers: authorization(secret) }))).status, 404);
  });
});

describe("a model id", { concurrency: true }, () => {
  for (const id of [
    "amazon.nova-micro-v1:0",
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    APPLICATION_PROFILE,
    `${ACCOUNT}:inference-profile/us.anthropic.claude-opus-5-5`,
    "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0",
    "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:provisioned-model/abc123",
    uniqueModel(),
  ]) {
    it(`reaches Bedrock as it is: ${id}`, async () => {
      const { key, secret } = await gateway.keys.create({ name: `asks for one model ${uniqueModel()}` });
      for (const stream of [false, true]) {
        const response = await gateway.chat(ask(id, { stream }), { key: secret });
        assert.equal(response.status, 200, await response.text());
        const requestId = response.headers.get("x-request-id");
        const { path } = await gateway.simulator.waitFor(({ headers }) => headers["x-request-id"] === requestId);
        assert.equal(path, `/model/${encodeURIComponent(id)}/converse${stream ? "-stream" : ""}`);
        const row = await gateway.closedCall(requestId);
        assert.deepEqual([row.keyId, row.modelRequested, row.modelInvoked], [key.id, id, id]);
      }
    });
  }
});

describe("a catalog that fails", () => {
  it("is an error at first, and a list as soon as it works", async () => {
    await using fresh = await startTestGateway();
    fresh.simulator.failCatalog({ status: 503, type: "ServiceUnavailableException" });
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const error = await readError(await fetch(`${fresh.url}/v1/models`, { headers: authorization(fresh.key) }));
      assert.deepEqual([error.status, error.code], [503, "upstream_unavailable"]);
    }
    assert.equal((await fresh.chat(ask(uniqueModel()))).status, 200);
    fresh.simulator.failCatalog();
    assert.ok((await getModels(fresh)).length > 10);
  });

  it("is served from what was known before", async () => {
    const realNow = Date.now;
    let offset = 0;
    const now = mock.method(Date, "now", () => realNow() + offset);
    await using fresh = await startTestGateway({ simulator: { now: realNow } });
    try {
      const before = await getModels(fresh);
      offset = 11 * 60_000;
      fresh.simulator.failCatalog({ status: 500 });
      assert.deepEqual(await getModels(fresh), before);
      await fresh.simulator.waitFor(({ operation, status }) => operation === "ListFoundationModels" && status === 500);
      assert.deepEqual(await getModels(fresh), before);
    } finally {
      now.mock.restore();
    }
  });

  it("does not hold up a chat, however slow it is", async () => {
    await using fresh = await startTestGateway();
    fresh.simulator.failCatalog({ delay: 20_000 });
    const list = new AbortController();
    const waiting = fetch(`${fresh.url}/v1/models`, { headers: authorization(fresh.key), signal: list.signal });
    await fresh.simulator.waitFor(({ operation }) => operation === "ListFoundationModels");
    const start = performance.now();
    for (const model of [uniqueModel(), "us.anthropic.claude-opus-5-5"]) {
      const response = await fresh.chat(ask(model));
      assert.equal(response.status, 200, await response.text());
    }
    assert.ok(performance.now() - start < 1_500);
    list.abort();
    await assert.rejects(waiting, { name: "AbortError" });
  });

  it("costs the first use of an application profile two seconds, and the next ones nothing", async () => {
    await using fresh = await startTestGateway();
    fresh.simulator.failCatalog({ delay: 20_000 });
    const times: number[] = [];
    for (let use = 0; use < 2; use += 1) {
      const start = performance.now();
      const response = await fresh.chat(ask(APPLICATION_PROFILE));
      assert.equal(response.status, 200, await response.text());
      times.push(performance.now() - start);
    }
    assert.ok((times[0] ?? 0) < 3_500 && (times[1] ?? 9_999) < 1_000, times.join(" and "));
  });
});

interface ListedModel {
  readonly id: string;
  readonly object: string;
  readonly created: number;
  readonly owned_by: string;
}

async function getModels(from: TestGateway, key = from.key): Promise<ListedModel[]> {
  const response = await fetch(`${from.url}/v1/models`, { headers: authorization(key) });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  const { object, data } = JSON.parse(text);
  assert.equal(object, "list");
  return data;
}

function authorization(key: string): Record<string, string> {
  return { authorization: `Bearer ${key}` };
}
