import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nativeList } from "../../src/extproc/native-lists.ts";
import { CATALOG, KEY, openExchange, requestHeaders, responded } from "./test-exchange.ts";

const ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
const model = (id: string) => ({
  id,
  created: 1_700_000_000,
  ownedBy: "amazon",
  inputModalities: ["TEXT"],
  outputModalities: ["TEXT"],
});
const MODELS = ["amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0", "global.anthropic.claude-x", ARN].map(model);
const NO_QUERY = new URLSearchParams();

describe("the lists of Bedrock's control plane", () => {
  it("tell system-defined profiles from application profiles", () => {
    const profiles = (type?: string) => {
      const body = nativeList("inference-profiles", MODELS, new URLSearchParams(type && { type }));
      assert.ok(typeof body === "object" && body !== null && "inferenceProfileSummaries" in body);
      assert.ok(Array.isArray(body.inferenceProfileSummaries));
      return body.inferenceProfileSummaries;
    };
    assert.deepEqual(
      profiles().map(({ inferenceProfileId, type, models }) => [inferenceProfileId, type, models[0].modelArn]),
      [
        ["us.amazon.nova-lite-v1:0", "SYSTEM_DEFINED", "arn:aws:bedrock:::foundation-model/amazon.nova-lite-v1:0"],
        ["global.anthropic.claude-x", "SYSTEM_DEFINED", "arn:aws:bedrock:::foundation-model/anthropic.claude-x"],
      ],
    );
    assert.deepEqual(profiles("SYSTEM_DEFINED"), profiles());
    assert.deepEqual(
      profiles("APPLICATION").map(({ inferenceProfileId, inferenceProfileArn }) => [
        inferenceProfileId,
        inferenceProfileArn,
      ]),
      [[ARN, ARN]],
    );
  });

  it("have a model's modalities", () => {
    assert.deepEqual(nativeList("foundation-models", MODELS, NO_QUERY), {
      modelSummaries: [
        {
          modelId: "amazon.nova-lite-v1:0",
          modelName: "amazon.nova-lite-v1:0",
          modelArn: "arn:aws:bedrock:::foundation-model/amazon.nova-lite-v1:0",
          providerName: "amazon",
          inputModalities: ["TEXT"],
          outputModalities: ["TEXT"],
          responseStreamingSupported: true,
          inferenceTypesSupported: ["ON_DEMAND"],
          modelLifecycle: { status: "ACTIVE" },
        },
      ],
    });
  });

  it("hold what the key may use, and need a key", async () => {
    const catalog = { ...CATALOG, list: async () => MODELS };
    const path = { ":method": "GET", ":path": "/bedrock/inference-profiles?type=SYSTEM_DEFINED" };
    const narrow = { authenticate: async () => ({ key: { ...KEY, models: ["us.*"] }, team: null }) };
    const exchange = openExchange({ catalog, authenticator: narrow });
    await exchange.run(requestHeaders(path, true));
    const ids = responded(exchange.sent).body.inferenceProfileSummaries.map(
      ({ inferenceProfileId }: { inferenceProfileId: string }) => inferenceProfileId,
    );
    assert.deepEqual(ids, ["us.amazon.nova-lite-v1:0"]);

    const signed = openExchange({ catalog });
    await signed.run(requestHeaders({ ...path, authorization: "AWS4-HMAC-SHA256 x" }, true));
    const { status, headers } = responded(signed.sent);
    assert.deepEqual([status, headers["x-amzn-errortype"]], [401, "UnrecognizedClientException"]);
  });
});
