import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { InferenceConfig } from "../../src/bedrock/converse.ts";
import type { Intent } from "../../src/bedrock/intent.ts";
import { adaptTo } from "./adapting.ts";

const CLAUDE_4 = "anthropic.claude-sonnet-4-20250514-v1:0";
const CLAUDE_4_5 = "anthropic.claude-haiku-4-5-20251001-v1:0";
const OPUS_5 = "anthropic.claude-opus-5";
const NOVA = "amazon.nova-lite-v1:0";
const GPT = "openai.gpt-6-sol";

function send(model: string, inferenceConfig: InferenceConfig, intent: Intent = {}) {
  const { request, warnings } = adaptTo(model, { request: { inferenceConfig }, intent });
  const { maxTokens, ...config } = request.inferenceConfig ?? {};
  return { maxTokens, config, fields: request.additionalModelRequestFields, warnings: warnings.join("; ") };
}

describe("the token limit", () => {
  it("is always sent, and larger for a model that thinks", () => {
    assert.equal(send(CLAUDE_4, {}).maxTokens, 16_384);
    assert.equal(send(OPUS_5, {}, { effort: "high" }).maxTokens, 32_768);
    assert.equal(send("acme.unknown-1", {}).maxTokens, 4_096);
  });

  it("is the client's within what the model takes", () => {
    assert.deepEqual([send(NOVA, { maxTokens: 7 }).maxTokens, send(NOVA, { maxTokens: 7 }).warnings], [7, ""]);
    const most = send(NOVA, { maxTokens: 20_000 });
    assert.equal(most.maxTokens, 10_000);
    assert.match(most.warnings, /max_tokens was set to 10000/);
    assert.equal(send(GPT, { maxTokens: 1 }).maxTokens, 16);
    assert.equal(send("acme.unknown-1", { maxTokens: 1_000_000 }).maxTokens, 1_000_000);
  });
});

describe("temperature, top_p and top_k", () => {
  it("are sent where the model takes them", () => {
    const both = send(NOVA, { temperature: 0.3, topP: 0.5 }, { topK: 9 });
    assert.deepEqual([both.config, both.fields], [{ temperature: 0.3, topP: 0.5 }, { inferenceConfig: { topK: 9 } }]);
    assert.deepEqual(send(CLAUDE_4, {}, { topK: 9 }).fields, { top_k: 9 });
  });

  it("are kept between 0 and 1", () => {
    assert.deepEqual(send(NOVA, { temperature: 1.7, topP: -1 }).config, { temperature: 1, topP: 0 });
  });

  it("are not sent together where the model refuses that; the one that says something stays", () => {
    assert.deepEqual(send(CLAUDE_4_5, { temperature: 0.3, topP: 0.5 }).config, { temperature: 0.3 });
    assert.match(send(CLAUDE_4_5, { temperature: 0.3, topP: 0.5 }).warnings, /top_p was left out/);
    assert.deepEqual(send(CLAUDE_4_5, { temperature: 1, topP: 0.5 }).config, { topP: 0.5 });
    assert.deepEqual(send(CLAUDE_4_5, { temperature: 0, topP: 1 }), {
      ...send(CLAUDE_4_5, { temperature: 0 }),
      warnings: "",
    });
    assert.deepEqual(send(CLAUDE_4, { temperature: 0.3, topP: 0.5 }).config, { temperature: 0.3, topP: 0.5 });
  });

  it("are left out where the model takes none, with a warning when they meant something", () => {
    const sent = send(OPUS_5, { temperature: 0.3 }, { topK: 9 });
    assert.deepEqual([sent.config, sent.fields], [{}, undefined]);
    assert.match(sent.warnings, /no sampling settings/);
    assert.equal(send(OPUS_5, { temperature: 1, topP: 1 }).warnings, "");
  });

  it("are left out while Claude thinks, and stay while another model does", () => {
    const claude = send(CLAUDE_4_5, { temperature: 0.3 }, { effort: "low", topK: 3 });
    assert.deepEqual(claude.config, {});
    assert.match(claude.warnings, /while it thinks/);
    assert.deepEqual(send("openai.gpt-oss-20b-1:0", { temperature: 0.3 }, { effort: "low" }).config, {
      temperature: 0.3,
    });
  });

  it("have no top_k on models without a field for it", () => {
    assert.match(send("meta.llama4-scout-17b-instruct-v1:0", {}, { topK: 9 }).warnings, /top_k/);
  });
});

describe("stop sequences", () => {
  it("are sent where the model takes them", () => {
    assert.deepEqual(send(NOVA, { stopSequences: ["\n", "x"] }).config, { stopSequences: ["\n", "x"] });
  });

  it("of white space alone are left out for Claude", () => {
    const sent = send(CLAUDE_4, { stopSequences: ["\n", "x"] });
    assert.deepEqual(sent.config, { stopSequences: ["x"] });
    assert.match(sent.warnings, /white space/);
  });

  it("are left out where the model takes none", () => {
    const sent = send(GPT, { stopSequences: ["x"] });
    assert.deepEqual(sent.config, {});
    assert.match(sent.warnings, /no stop sequences; /);
  });
});
