import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { assertModelId, foundationModelOf, isApplicationProfile } from "../../src/models/model-id.ts";

const APPLICATION = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456";

describe("foundationModelOf", () => {
  for (const [id, model] of [
    ["amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"],
    ["us.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"],
    ["global.anthropic.claude-sonnet-5", "anthropic.claude-sonnet-5"],
    ["us-gov.anthropic.claude-x", "anthropic.claude-x"],
    ["apac.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"],
    ["jp.anthropic.claude-x", "anthropic.claude-x"],
    ["in.openai.gpt-x", "openai.gpt-x"],
    ["deepseek.v3.2", "deepseek.v3.2"],
    ["us.deepseek.v3.2", "deepseek.v3.2"],
    ["ai21.jamba-1-5-large-v1:0", "ai21.jamba-1-5-large-v1:0"],
    ["us.model", "us.model"],
    ["arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"],
    ["arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"],
    ["arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-x", "anthropic.claude-x"],
  ] as const) {
    it(`is ${model} for ${id}`, () => assert.equal(foundationModelOf(id), model));
  }
});

describe("isApplicationProfile", () => {
  it("is true for their ARNs in every partition, and for nothing else", () => {
    assert.equal(isApplicationProfile(APPLICATION), true);
    assert.equal(isApplicationProfile(APPLICATION.replace("arn:aws:", "arn:aws-us-gov:")), true);
    for (const id of [
      "us.amazon.nova-lite-v1:0",
      APPLICATION.replace("application-", ""),
      APPLICATION.replace("bedrock", "sagemaker"),
      `x${APPLICATION}`,
    ])
      assert.equal(isApplicationProfile(id), false, id);
  });
});

describe("assertModelId", () => {
  it("takes ids, profiles and ARNs", () => {
    for (const id of [
      "amazon.nova-lite-v1:0",
      "us.anthropic.claude-opus-4-7",
      APPLICATION,
      "a",
      "x".repeat(2048),
      "anything_else",
      "a../.b/..c",
    ])
      assert.doesNotThrow(() => assertModelId(id));
  });

  it("refuses what cannot be one with model_not_found", () => {
    for (const id of [
      "",
      ".",
      "..",
      "a b",
      "a\n",
      "a?b",
      "a#b",
      "a%2Fb",
      "a\\b",
      "naïve",
      "x".repeat(2049),
      "a\u0000",
      "../a",
      "a/..",
      "a/./b",
      "a./../b",
    ])
      assert.throws(
        () => assertModelId(id),
        { code: "model_not_found", param: "model", status: 404 },
        JSON.stringify(id),
      );
  });
});
