/** Answers, read by the official SDK as clients would read them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import OpenAI from "openai";
import { openaiEmbeddings } from "../../../src/dialects/openai-embeddings/index.ts";
import { base64Floats } from "../../../src/dialects/openai-embeddings/reply.ts";
import { isJsonObject } from "../../../src/json.ts";

const VECTORS = [
  [0.1, -0.25, 1e-7],
  [0, 1, -3.4e38],
];

describe("the OpenAI SDK", () => {
  for (const format of [undefined, "base64", "float"] as const) {
    it(`reads vectors as ${format ?? "it asks for them by itself"}`, async () => {
      const { list, asked } = await create(format);
      assert.equal(asked, format ?? "base64");
      const { data, ...rest } = list;
      assert.deepEqual(rest, { object: "list", model: "asked-model", usage: { prompt_tokens: 5, total_tokens: 5 } });
      assert.deepEqual(
        data.map(({ index, object }) => [index, object]),
        [
          [0, "embedding"],
          [1, "embedding"],
        ],
      );
      const vectors = data.map(({ embedding }) => embedding);
      if (format === "float") assert.deepEqual(vectors, VECTORS);
      // Asked for by name, base64 is the caller's to decode.
      else if (format === "base64") assert.deepEqual(vectors, VECTORS.map(base64Floats));
      else
        assert.deepEqual(
          vectors,
          VECTORS.map((vector) => vector.map(Math.fround)),
        );
    });
  }
});

describe("base64", () => {
  it("is of 32-bit floats, the lowest byte first", () => {
    assert.equal(base64Floats([1, -2]), Buffer.from([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]).toString("base64"));
  });
});

describe("an answer without encoding_format", () => {
  it("has plain numbers, as OpenAI's has", () => {
    const reply = openaiEmbeddings.decode({ model: "m", input: ["a", "b"] }).reply(VECTORS, 5);
    assert.deepEqual(isJsonObject(reply) && reply.data, [
      { object: "embedding", index: 0, embedding: VECTORS[0] },
      { object: "embedding", index: 1, embedding: VECTORS[1] },
    ]);
  });
});

async function create(format: "float" | "base64" | undefined) {
  let asked: unknown;
  const fetch = async (_url: unknown, init?: RequestInit): Promise<Response> => {
    const body: unknown = JSON.parse(String(init?.body));
    asked = isJsonObject(body) ? body.encoding_format : undefined;
    return Response.json(openaiEmbeddings.decode(body).reply(VECTORS, 5));
  };
  const client = new OpenAI({ apiKey: "sk-test", baseURL: "http://localhost/v1", fetch, maxRetries: 0 });
  const list = await client.embeddings.create({
    model: "asked-model",
    input: ["a", "b"],
    ...(format !== undefined && { encoding_format: format }),
  });
  return { list, asked };
}
