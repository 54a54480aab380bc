import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { assertModelAllowed, isModelAllowed } from "../../src/access/allowed-models.ts";
import { GatewayError } from "../../src/errors.ts";

describe("assertModelAllowed", () => {
  it("allows every model when the list is empty", () => {
    assertModelAllowed({ models: [] }, "anything");
  });

  const cases: [string, string, boolean][] = [
    ["amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0", true],
    ["amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0", false],
    ["amazon.nova-lite-v1:0", "amazonXnova-lite-v1:0", false],
    ["anthropic.*", "anthropic.claude", true],
    ["anthropic.*", "anthropic.", true],
    ["anthropic.*", "us.anthropic.claude", false],
    ["*.anthropic.*", "us.anthropic.claude", true],
    ["*nova*lite*", "us.amazon.nova-2-lite-v1:0", true],
    ["*nova*lite*", "us.amazon.lite-nova", false],
    ["a*a", "a", false],
    ["a*b*a", "aba", true],
    ["a*b*ba", "aba", false],
    ["*", "arn:aws:bedrock:us-east-1:1:inference-profile/x", true],
    ["a.*", "A.b", false],
  ];
  for (const [pattern, model, allowed] of cases) {
    it(`${allowed ? "allows" : "refuses"} ${model} for ${pattern}`, () => {
      assert.equal(isModelAllowed({ models: ["other", pattern] }, model), allowed);
    });
  }

  const aliased: [patterns: string[], alias: string, target: string, allowed: boolean][] = [
    [["amazon.*"], "gpt-4o", "anthropic.claude", false],
    [["amazon.*"], "gpt-4o", "amazon.nova-lite-v1:0", true],
    [["gpt-4o"], "gpt-4o", "anthropic.claude", true],
    [["gpt*"], "gpt-4o", "anthropic.claude", true],
    [["gpt-4o-mini"], "gpt-4o", "anthropic.claude", false],
    [["us.anthropic.*"], "smart", "us.anthropic.claude", true],
    [["anthropic.*"], "smart", "us.anthropic.claude", false],
    [
      ["arn:*:application-inference-profile/abc"],
      "smart",
      "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc",
      true,
    ],
    [["gpt-4o", "amazon.*"], "smart", "anthropic.claude", false],
    [[], "smart", "anthropic.claude", true],
  ];
  for (const [models, alias, target, allowed] of aliased) {
    it(`${allowed ? "allows" : "refuses"} an alias ${alias} of ${target} for ${models.join(" ") || "an empty list"}`, () => {
      assert.equal(isModelAllowed({ models }, alias, target), allowed);
      if (allowed) assertModelAllowed({ models }, alias, target);
      else assert.throws(() => assertModelAllowed({ models }, alias, target), GatewayError);
    });
  }

  it("says nothing of what is behind an alias that it refuses", () => {
    const refused = () => assertModelAllowed({ models: ["amazon.*"] }, "gpt-4o", "anthropic.secret-project");
    assert.throws(refused, (error: unknown) => error instanceof GatewayError && !error.message.includes("secret"));
  });

  it("opens the target of an alias by its own name only where a pattern fits that", () => {
    assert.equal(isModelAllowed({ models: ["gpt-4o"] }, "anthropic.claude"), false);
  });

  it("answers a hostile pattern at once", () => {
    const started = performance.now();
    assert.equal(isModelAllowed({ models: [`${"*a".repeat(100)}*b`] }, "a".repeat(10_000)), false);
    assert.ok(performance.now() - started < 100);
  });

  it("names the model, the field and what is allowed", () => {
    assert.throws(
      () => assertModelAllowed({ models: ["anthropic.*", "amazon.nova-lite-v1:0"] }, "meta.llama"),
      (error: unknown) => {
        assert.ok(error instanceof GatewayError);
        assert.equal(error.status, 403);
        assert.equal(error.kind.code, "model_not_allowed");
        assert.equal(error.param, "model");
        assert.match(error.message, /"meta\.llama".*anthropic\.\*, amazon\.nova-lite-v1:0/);
        return true;
      },
    );
  });

  it("keeps the message short for a long list and a long name", () => {
    const models = Array.from({ length: 200 }, (_, n) => `model-${n}`);
    assert.throws(() => assertModelAllowed({ models }, "x".repeat(10_000)), /^(?=.{1,600}$).*model-19 and 180 more/);
  });
});
