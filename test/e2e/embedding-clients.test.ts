/**
 * Embeddings by the official SDKs and LangChain: a request becomes calls of InvokeModel, and their answers one list.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { OpenAIEmbeddings } from "@langchain/openai";
import OpenAI, { BadRequestError } from "openai";
import { isJsonObject, type JsonObject } from "../../src/json.ts";
import { startTestGateway, type TestGateway } from "./harness.ts";
import { findPythonPackages, type PythonClients, startPythonClients } from "./python-clients.ts";

const packages = await findPythonPackages();
const withPython = { concurrency: true, skip: "missing" in packages && packages.missing };
const MODELS = [
  ["amazon.titan-embed-text-v1", 1536],
  ["amazon.titan-embed-text-v2:0", 1024],
  ["amazon.titan-embed-image-v1", 1024],
  ["cohere.embed-english-v3", 1024],
  ["us.cohere.embed-v4:0", 1536],
  ["amazon.nova-2-multimodal-embeddings-v1:0", 3072],
  ["twelvelabs.marengo-embed-2-7-v1:0", 1024],
  ["us.twelvelabs.marengo-embed-3-0-v1:0", 512],
] as const;
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

let gateway: TestGateway;
let openai: OpenAI;
let python: PythonClients | undefined;

before(async () => {
  gateway = await startTestGateway();
  const { url, key } = gateway;
  openai = new OpenAI({ apiKey: key, baseURL: `${url}/v1`, maxRetries: 0 });
  if ("folder" in packages) python = await startPythonClients({ url, key }, packages.folder);
});
after(async () => {
  await python?.stop();
  await gateway.stop();
});

describe("the OpenAI SDK's embeddings", { concurrency: true }, () => {
  for (const [model, dimension] of MODELS) {
    it(`are of ${dimension} numbers and in order for ${model}`, async () => {
      const input = Array.from({ length: 100 }, (_, n) => `text ${n}`);
      const { data, usage } = await openai.embeddings.create({ model, input });
      assert.deepEqual(
        data.map(({ index }) => index),
        input.map((_, n) => n),
      );
      assert.ok(data.every(({ embedding }) => embedding.length === dimension));
      const [alone] = (await openai.embeddings.create({ model, input: "text 97" })).data;
      assert.deepEqual(data[97]?.embedding, alone?.embedding);
      assert.ok(usage.prompt_tokens >= 100 && usage.total_tokens === usage.prompt_tokens);
    });
  }

  it("are the same as numbers and as base64", async () => {
    const body = { model: "cohere.embed-english-v3", input: "one" };
    const [packed] = (await openai.embeddings.create(body)).data;
    const [plain] = (await openai.embeddings.create({ ...body, encoding_format: "float" })).data;
    assert.deepEqual(packed?.embedding, plain?.embedding.map(Math.fround));
  });

  it("have the dimensions that were asked for", async () => {
    for (const [model, dimensions] of [
      ["amazon.titan-embed-text-v2:0", 256],
      ["us.cohere.embed-v4:0", 512],
      ["amazon.nova-2-multimodal-embeddings-v1:0", 384],
    ] as const) {
      const { data } = await openai.embeddings.create({ model, input: ["a", "b"], dimensions });
      assert.deepEqual(
        data.map(({ embedding }) => embedding.length),
        [dimensions, dimensions],
      );
    }
  });

  it("may be of images where the model takes them", async () => {
    const image = `data:image/png;base64,${PIXEL}`;
    for (const [model] of MODELS.filter(([id]) => !id.includes("titan-embed-text"))) {
      const { data } = await openai.embeddings.create({ model, input: ["a", image, "b"] });
      assert.equal(new Set(data.map(({ embedding }) => String(embedding))).size, 3, model);
    }
  });

  it("of token ids are refused with what to do", async () => {
    const create = openai.embeddings.create({ model: "cohere.embed-english-v3", input: [1, 2, 3] });
    await assert.rejects(create, (error) => error instanceof BadRequestError && error.param === "input");
  });
});

describe("LangChain's embeddings", { concurrency: true }, () => {
  it("are of documents and of queries", async () => {
    const configuration = { baseURL: `${gateway.url}/v1` };
    const embeddings = new OpenAIEmbeddings({ model: "cohere.embed-english-v3", apiKey: gateway.key, configuration });
    const documents = await embeddings.embedDocuments(["one", "two"]);
    assert.deepEqual([documents.length, documents[0]?.length], [2, 1024]);
    assert.deepEqual(await embeddings.embedQuery("two"), documents[1]);
  });
});

describe("Python's embeddings", withPython, () => {
  it("are decoded by the OpenAI SDK as they were sent", async () => {
    const model = "cohere.embed-english-v3";
    const saw = await play("openai_embeddings", { model, input: ["one", "two"] });
    const { data } = await openai.embeddings.create({ model, input: ["one", "two"], encoding_format: "float" });
    const vectors = data.map(({ embedding }) => embedding);
    assert.deepEqual(saw, { packed: vectors.map((vector) => vector.map(Math.fround)), plain: vectors });
  });

  it("are of documents and of queries by LangChain", async () => {
    const saw = await play("langchain_embeddings", { model: "amazon.titan-embed-text-v2:0", texts: ["one", "two"] });
    assert.deepEqual(saw, { sizes: [1024, 1024], query_is_last: true });
  });
});

async function play(scenario: string, args: Record<string, unknown>): Promise<JsonObject> {
  const played = await python?.play(scenario, args);
  assert.equal(played?.raised, undefined);
  return isJsonObject(played?.saw) ? played.saw : {};
}
