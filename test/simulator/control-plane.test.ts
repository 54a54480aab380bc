import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { isJsonObject, type JsonObject } from "../../src/json.ts";
import { objects } from "../../src/simulator/converse-call.ts";
import { SIMULATOR_CREDENTIALS, type Simulator, startSimulator } from "../../src/simulator/simulator.ts";
import { signedFetch } from "./aws-client.ts";

let simulator: Simulator;
beforeEach(async () => {
  simulator = await startSimulator({ region: ["us-east-1", "eu-central-1"] });
});
afterEach(() => simulator.close());

async function get(path: string, query: Record<string, string> = {}, region = "us-east-1"): Promise<JsonObject> {
  const response = await signedFetch(simulator, path, { query, region });
  const body: unknown = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  assert.ok(isJsonObject(body));
  return body;
}

async function profileIds(query: Record<string, string>, region?: string): Promise<unknown[]> {
  const body = await get("/inference-profiles", query, region);
  return objects(body.inferenceProfileSummaries).map((profile) => profile.inferenceProfileId);
}

describe("the simulated control plane", () => {
  it("lists models that are called by their id, and models that only have profiles", async () => {
    const models = objects((await get("/foundation-models")).modelSummaries);
    const types = (id: string) => models.find((model) => model.modelId === id)?.inferenceTypesSupported;
    assert.deepEqual(types("anthropic.claude-sonnet-5-5"), ["INFERENCE_PROFILE"]);
    assert.deepEqual(types("openai.gpt-oss-120b-1:0"), ["ON_DEMAND"]);
    assert.deepEqual(types("amazon.nova-pro-v1:0"), ["ON_DEMAND", "INFERENCE_PROFILE"]);
    const titan = models.find((model) => model.modelId === "amazon.titan-embed-text-v2:0");
    assert.deepEqual(titan?.outputModalities, ["EMBEDDING"]);
    assert.equal(titan?.modelArn, "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0");
    for (const model of models) assert.ok(isJsonObject(model.modelLifecycle) && model.modelLifecycle.startOfLifeTime);
  });

  it("lists the profiles that can be called from the region of the signature", async () => {
    const american = await profileIds({ type: "SYSTEM_DEFINED", maxResults: "1000" });
    assert.ok(american.includes("us.anthropic.claude-sonnet-5-5"));
    assert.ok(american.includes("global.anthropic.claude-sonnet-5-5"));
    assert.ok(!american.includes("eu.anthropic.claude-sonnet-5-5"));
    const european = await profileIds({ type: "SYSTEM_DEFINED" }, "eu-central-1");
    assert.ok(european.includes("eu.anthropic.claude-sonnet-5-5"));
    assert.ok(!european.includes("us.anthropic.claude-sonnet-5-5"));
  });

  it("pages through the same list, with tokens that a query has to encode", async () => {
    const all = await profileIds({ type: "SYSTEM_DEFINED" });
    const paged: unknown[] = [];
    let token: string | undefined;
    let pages = 0;
    do {
      const query = { type: "SYSTEM_DEFINED", maxResults: "4", ...(token === undefined ? {} : { nextToken: token }) };
      const body = await get("/inference-profiles", query);
      paged.push(...objects(body.inferenceProfileSummaries).map((profile) => profile.inferenceProfileId));
      token = typeof body.nextToken === "string" ? body.nextToken : undefined;
      assert.ok(token === undefined || /[+/=]/.test(token));
      pages += 1;
    } while (token !== undefined);
    assert.deepEqual(paged, all);
    assert.equal(pages, Math.ceil(all.length / 4));
  });

  it("resolves an application profile by id and by ARN to its model", async () => {
    const list = await get("/inference-profiles", { type: "APPLICATION" });
    const [profile] = objects(list.inferenceProfileSummaries);
    assert.ok(profile);
    for (const key of ["inferenceProfileId", "inferenceProfileArn"]) {
      const found = await get(`/inference-profiles/${encodeURIComponent(String(profile[key]))}`);
      assert.deepEqual(found, profile);
      assert.match(String(objects(found.models)[0]?.modelArn), /::foundation-model\/anthropic\./);
    }
  });

  it("refuses what does not exist, wrong page sizes and invented tokens", async () => {
    for (const [path, query, status] of [
      ["/inference-profiles/none", {}, 404],
      ["/foundation-models/none", {}, 404],
      ["/inference-profiles", { maxResults: "0" }, 400],
      ["/inference-profiles", { maxResults: "1001" }, 400],
      ["/inference-profiles", { nextToken: "invented" }, 400],
      ["/inference-profiles", { type: "OTHER" }, 400],
    ] as const)
      assert.equal((await signedFetch(simulator, path, { query })).status, status, `${path} ${JSON.stringify(query)}`);
  });

  it("fails as it is told to, and works again", async () => {
    simulator.failCatalog({ status: 503, type: "ServiceUnavailableException", times: 1 });
    const failed = await signedFetch(simulator, "/foundation-models");
    assert.equal(failed.status, 503);
    assert.match(failed.headers.get("x-amzn-errortype") ?? "", /^ServiceUnavailableException/);
    await get("/foundation-models");
    simulator.failCatalog({ type: "AccessDeniedException" });
    assert.equal((await signedFetch(simulator, "/foundation-models")).status, 403);
    assert.equal((await signedFetch(simulator, "/inference-profiles")).status, 403);
    simulator.failCatalog();
    await get("/foundation-models");
    simulator.failCatalog({ delay: 80, times: 1 });
    const started = performance.now();
    await get("/foundation-models");
    assert.ok(performance.now() - started >= 75);
  });
});

describe("who may call", () => {
  it("an unsigned call, a wrong secret, a stale session: AWS's errors", async () => {
    const unsigned = await fetch(`${simulator.url}/foundation-models`);
    assert.equal(unsigned.status, 403);
    assert.match(unsigned.headers.get("x-amzn-errortype") ?? "", /^MissingAuthenticationTokenException/);
    const wrong = { ...SIMULATOR_CREDENTIALS, secretAccessKey: "wrong" };
    const refused = await signedFetch(simulator, "/foundation-models", { credentials: wrong });
    assert.match(refused.headers.get("x-amzn-errortype") ?? "", /^InvalidSignatureException/);

    const session = { accessKeyId: "ASIDTEMP", secretAccessKey: "temporary", sessionToken: "token" };
    simulator.setCredentials([SIMULATOR_CREDENTIALS, session]);
    assert.equal((await signedFetch(simulator, "/foundation-models", { credentials: session })).status, 200);
    simulator.setCredentials({ ...session, expiresAt: Date.now() - 1 });
    const expired = await signedFetch(simulator, "/foundation-models", { credentials: session });
    assert.match(expired.headers.get("x-amzn-errortype") ?? "", /^ExpiredTokenException/);
  });

  it("a Bedrock API key that it knows", async () => {
    const keyed = await startSimulator({ bearerTokens: ["bedrock-api-key-demo"] });
    const call = (token: string) =>
      fetch(`${keyed.url}/foundation-models`, { headers: { authorization: `Bearer ${token}` } });
    assert.equal((await call("bedrock-api-key-demo")).status, 200);
    assert.equal((await call("bedrock-api-key-other")).status, 403);
    await keyed.close();
  });
});
