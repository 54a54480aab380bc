import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Capabilities, capabilitiesOf, capabilityRow } from "../../src/models/capabilities.ts";
import { CAPABILITY_TABLE } from "../../src/models/capability-table.ts";
import { chatModelIds, pricedModelIds } from "./model-lists.ts";

/** What Converse does not serve: embeddings, ranking, pictures, speech and video. */
const NO_CONVERSE = [
  /^amazon\.(titan-embed|nova-2-multimodal-embeddings|rerank)/,
  /^cohere\.(embed|rerank)/,
  /^twelvelabs\./,
];

/** Price rows of another API, whose ids have no provider. */
const NO_BEDROCK_ID = /^claude-/;

describe("the capability table", () => {
  it("has a family for every chat model that Bedrock lists", () => {
    const ids = chatModelIds().filter((id) => !NO_CONVERSE.some((pattern) => pattern.test(id)));
    assert.ok(ids.length > 120, `only ${ids.length} ids were read`);
    assert.deepEqual(
      ids.filter((id) => !isKnown(id)),
      [],
    );
  });

  it("has a family for every model with a price, but for those that Converse does not serve", () => {
    const ids = pricedModelIds().filter((id) => !NO_BEDROCK_ID.test(id));
    assert.ok(ids.length > 120, `only ${ids.length} ids were read`);
    assert.deepEqual(
      ids.filter((id) => !isKnown(id) && !NO_CONVERSE.some((pattern) => pattern.test(id))),
      [],
    );
  });

  it("has no family twice, no beginning of an id twice and none that no listed model uses, but for the newest", () => {
    const families = CAPABILITY_TABLE.map((row) => row.family);
    assert.equal(new Set(families).size, families.length);
    const beginnings = CAPABILITY_TABLE.flatMap((row) => row.ids);
    assert.equal(new Set(beginnings).size, beginnings.length);
    const used = new Set([...chatModelIds(), ...pricedModelIds()].map((id) => capabilityRow(id)?.family));
    // Command R has left the lists; provisioned copies still answer.
    const unused = families.filter((family) => !used.has(family) && !family.endsWith("not yet known"));
    assert.deepEqual(unused, ["Cohere Command R"]);
  });

  for (const { family, capabilities } of CAPABILITY_TABLE) {
    it(`is consistent for ${family}`, () => assert.deepEqual(contradictions(capabilities), []));
  }

  it("tells apart the generations whose ids begin alike", () => {
    const families: Record<string, string> = {
      "anthropic.claude-opus-4-20250514-v1:0": "Claude Opus 4",
      "anthropic.claude-opus-4-1-20250805-v1:0": "Claude Opus 4.1",
      "anthropic.claude-opus-5": "Claude Opus 5 and Sonnet 5",
      "anthropic.claude-opus-5-20260401-v1:0": "Claude Opus 5 and Sonnet 5",
      "anthropic.claude-opus-5-5": "Claude Opus 5.5 and Fable 5.1",
      "anthropic.claude-sonnet-5-5": "Claude Sonnet 5.5",
      "anthropic.claude-fable-5": "Claude Fable 5",
      "anthropic.claude-fable-5-2": "Claude Opus 5.5 and Fable 5.1",
      "meta.llama3-8b-instruct-v1:0": "Llama 3",
      "meta.llama3-1-8b-instruct-v1:0": "Llama 3.1 to 3.3",
      "meta.llama3-2-11b-instruct-v1:0": "Llama 3.2 Vision",
      "openai.gpt-oss-120b-1:0": "gpt-oss",
      "openai.gpt-6.1-sol": "GPT-6 Astra and GPT-6.1",
      "zai.glm-5.3": "GLM 5.3",
      "amazon.nova-pro-v1:0:300k": "Nova Lite, Pro and Premier",
    };
    for (const [id, family] of Object.entries(families)) assert.equal(capabilityRow(id)?.family, family, id);
  });

  it("takes a Claude and a GPT that it does not know for ones of the newest generation", () => {
    assert.deepEqual(capabilitiesOf("anthropic.claude-opus-9").forcedTools, []);
    assert.equal(capabilitiesOf("anthropic.claude-opus-9").sampling, "none");
    assert.equal(capabilitiesOf("openai.gpt-9").sampling, "none");
  });

  it("asks nothing special of a model that it does not know", () => {
    const unknown = capabilitiesOf("acme.thing-1");
    assert.deepEqual(
      [unknown.tools, unknown.streaming, unknown.images, unknown.cacheSections, unknown.reasoning.style],
      [true, "always", true, [], "none"],
    );
  });
});

describe("an operator's overrides", () => {
  it("replace single columns, the later over the earlier", () => {
    const capabilities = capabilitiesOf("meta.llama4-scout-17b-instruct-v1:0", [
      { match: "meta.llama4-*", streaming: "always", images: false },
      { match: "meta.llama4-scout*v1:0", images: true },
      { match: "meta.llama3*", tools: false },
    ]);
    assert.deepEqual([capabilities.streaming, capabilities.images, capabilities.tools], ["always", true, true]);
  });

  it("match a whole id, the star in any place", () => {
    const matched = (match: string) => !capabilitiesOf("a.bcb", [{ match, system: false }]).system;
    for (const match of ["*", "a.bcb", "a*", "*b", "a*b", "*c*", "a.b*cb"]) assert.ok(matched(match), match);
    for (const match of ["a", "b*", "a.bcb*b", "*x*", "a.bc"]) assert.ok(!matched(match), match);
  });
});

function isKnown(id: string): boolean {
  const row = capabilityRow(id);
  return row !== undefined && !row.family.endsWith("not yet known");
}

function contradictions(model: Capabilities): string[] {
  const { minTokens, defaultTokens, maxTokens = Number.POSITIVE_INFINITY, reasoning } = model;
  const efforts = "efforts" in reasoning ? reasoning.efforts : ["none"];
  const minBudget = "minBudget" in reasoning ? (reasoning.minBudget ?? 0) : 0;
  return [
    ...(minTokens <= defaultTokens && defaultTokens <= maxTokens ? [] : ["tokens: not min ≤ default ≤ max"]),
    ...(maxTokens < 2 * minBudget ? ["no room for the smallest budget"] : []),
    ...(efforts.length === 0 ? ["no efforts"] : []),
    ...(!model.tools && model.forcedTools.length > 0 ? ["forces tools that it does not have"] : []),
    ...(model.cacheSections.length > 0 !== model.maxCachePoints > 0 ? ["caches nowhere"] : []),
    ...(model.cacheSections.length > 0 !== model.cacheTtls.length > 0 ? ["caches for no time"] : []),
    ...(model.forcedTools.includes("tool") && !model.forcedTools.includes("any") ? ["one tool but not any"] : []),
  ];
}
