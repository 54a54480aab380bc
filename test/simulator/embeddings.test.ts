import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fails } from "../../src/simulator/answer.ts";
import { type Simulator, startSimulator } from "../../src/simulator/simulator.ts";
import { HELLO, signedFetch } from "./aws-client.ts";

let simulator: Simulator;
before(async () => {
  simulator = await startSimulator();
});
after(() => simulator.close());

async function invoke(modelId: string, body: object, action = "invoke") {
  const path = `/model/${encodeURIComponent(modelId)}/${action}`;
  const response = await signedFetch(simulator, path, { method: "POST", body: JSON.stringify(body) });
  return { status: response.status, headers: response.headers, json: JSON.parse(await response.text()) };
}

describe("simulated embeddings", () => {
  it("of Titan have the asked dimension, length one, and follow from the text alone", async () => {
    const ask = (inputText: string) => invoke("amazon.titan-embed-text-v2:0", { inputText, dimensions: 256 });
    const [one, again, other] = [await ask("one"), await ask("one"), await ask("other")];
    assert.equal(one.json.embedding.length, 256);
    assert.ok(Math.abs(Math.hypot(...one.json.embedding) - 1) < 1e-6);
    assert.deepEqual(one.json.embeddingsByType.float, one.json.embedding);
    assert.equal(one.json.inputTextTokenCount, 1);
    assert.deepEqual(again.json, one.json);
    assert.notDeepEqual(other.json.embedding, one.json.embedding);
    assert.equal((await invoke("amazon.titan-embed-text-v1", { inputText: "one" })).json.embedding.length, 1536);
  });

  it("of Cohere come as a list or by type, with tokens in a header only", async () => {
    const v3 = await invoke("cohere.embed-multilingual-v3", { texts: ["a", "b"], input_type: "search_query" });
    assert.deepEqual([v3.json.embeddings.length, v3.json.embeddings[0].length], [2, 1024]);
    assert.equal(v3.headers.get("x-amzn-bedrock-input-token-count"), "2");
    const v4 = await invoke("us.cohere.embed-v4:0", {
      texts: ["a"],
      input_type: "search_query",
      output_dimension: 512,
    });
    assert.deepEqual([v4.json.response_type, v4.json.embeddings.float[0].length], ["embeddings_by_type", 512]);
  });

  it("of Nova answer one input", async () => {
    const body = {
      schemaVersion: "nova-multimodal-embed-v1",
      taskType: "SINGLE_EMBEDDING",
      singleEmbeddingParams: { embeddingPurpose: "GENERIC_INDEX", text: { truncationMode: "END", value: "one" } },
    };
    const { json } = await invoke("amazon.nova-2-multimodal-embeddings-v1:0", body);
    assert.equal(json.embeddings[0].embedding.length, 3072);
    assert.equal(json.embeddings[0].embeddingType, "TEXT");
  });

  it("refuse bodies that are not theirs, and other models", async () => {
    for (const [model, body] of [
      ["amazon.titan-embed-text-v2:0", { texts: ["a"] }],
      ["amazon.titan-embed-text-v2:0", { inputText: "" }],
      ["cohere.embed-multilingual-v3", { texts: ["a"] }],
      ["cohere.embed-multilingual-v3", { texts: Array(97).fill("a"), input_type: "search_query" }],
      ["amazon.nova-pro-v1:0", { inputText: "a" }],
    ] as const)
      assert.equal((await invoke(model, body)).status, 400, `${model} ${JSON.stringify(body).slice(0, 40)}`);
  });

  it("can be scripted by model", async () => {
    simulator.scriptModel("amazon.titan-embed-text-v1", fails("ThrottlingException"));
    assert.equal((await invoke("amazon.titan-embed-text-v1", { inputText: "one" })).status, 429);
    assert.equal((await invoke("amazon.titan-embed-text-v1", { inputText: "one" })).status, 200);
  });
});

describe("simulated token counting", () => {
  it("answers bare model ids, and refuses profiles", async () => {
    const body = { input: { converse: { messages: HELLO } } };
    const counted = await invoke("anthropic.claude-haiku-4-5-20251001-v1:0", body, "count-tokens");
    assert.deepEqual(counted.json, { inputTokens: 3 });
    const refused = await invoke("us.anthropic.claude-haiku-4-5-20251001-v1:0", body, "count-tokens");
    assert.equal(refused.status, 400);
  });
});
