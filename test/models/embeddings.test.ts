import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import type { EmbeddingInput, EmbeddingsRequest } from "../../src/bedrock/embeddings.ts";
import { GatewayError } from "../../src/errors.ts";
import { EMBEDDING_TABLE } from "../../src/models/embedding-table.ts";
import { embeddingRow, planEmbeddings } from "../../src/models/embeddings.ts";

const MODEL = {
  g1: "amazon.titan-embed-text-v1",
  v2: "amazon.titan-embed-text-v2:0",
  multimodal: "amazon.titan-embed-image-v1",
  cohere3: "cohere.embed-multilingual-v3",
  cohere4: "cohere.embed-v4:0",
  nova: "amazon.nova-2-multimodal-embeddings-v1:0",
};

describe("the table of embedding models", () => {
  const known = readFileSync(new URL("../data/models.txt", import.meta.url), "utf8");
  const ids = known.split("\n").flatMap((line) => /^[^#|]*\b(?:embed)[^| ]*/.exec(line)?.[0].trim() ?? []);

  it("has every embedding model that Bedrock lists", () => {
    assert.ok(ids.length >= 10, String(ids));
    assert.deepEqual(
      ids.filter((id) => embeddingRow(id) === undefined),
      [],
    );
  });

  it("finds a model by any id that has its name", () => {
    for (const id of [
      "cohere.embed-v4:0",
      "us.cohere.embed-v4:0",
      "global.cohere.embed-v4:0",
      "arn:aws:bedrock:us-east-1::foundation-model/cohere.embed-v4:0",
      "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.cohere.embed-v4:0",
    ])
      assert.equal(embeddingRow(id)?.family, "Cohere Embed 4", id);
    assert.equal(embeddingRow("amazon.titan-embed-text-v1:2:8k")?.family, "Titan Text Embeddings G1");
    assert.equal(embeddingRow("amazon.titan-embed-g1-text-02")?.family, "Titan Text Embeddings G1");
  });

  it("finds no other model", () => {
    for (const id of ["amazon.nova-pro-v1:0", "cohere.rerank-v3-5:0", "embed", ""])
      assert.equal(embeddingRow(id), undefined, id);
  });

  it("has each beginning once", () => {
    const all = EMBEDDING_TABLE.flatMap((row) => row.ids);
    assert.equal(new Set(all).size, all.length);
  });
});

describe("the calls for a request", () => {
  it("hold one input each for models that take one", () => {
    for (const model of [MODEL.g1, MODEL.v2, MODEL.multimodal, MODEL.nova]) {
      const batches = planEmbeddings(request(["a", "b", "c"]), model);
      assert.deepEqual(
        batches.map(({ indexes }) => indexes),
        [[0], [1], [2]],
        model,
      );
      assert.deepEqual(
        batches.map(({ body }) => /"[abc]"/.exec(body.toString())?.[0]),
        ['"a"', '"b"', '"c"'],
      );
    }
  });

  it("hold 96 texts each for Cohere, in order", () => {
    const texts = Array.from({ length: 200 }, (_, n) => `text ${n}`);
    for (const model of [MODEL.cohere3, MODEL.cohere4]) {
      const batches = planEmbeddings(request(texts), model);
      assert.deepEqual(
        batches.map(({ indexes }) => indexes.length),
        [96, 96, 8],
      );
      assert.deepEqual(
        batches.flatMap(({ indexes }) => indexes),
        texts.map((_, n) => n),
      );
      assert.deepEqual(
        batches.flatMap(({ body }) => JSON.parse(body.toString()).texts),
        texts,
      );
    }
  });

  it("hold texts and images apart, and know their places", () => {
    const inputs: EmbeddingInput[] = [image(0), textInput("a", 1), image(2), textInput("b", 3)];
    const places = (model: string) =>
      planEmbeddings({ inputs, purpose: "search_document" }, model).map(({ indexes }) => indexes);
    assert.deepEqual(places(MODEL.cohere4), [
      [1, 3],
      [0, 2],
    ]);
    assert.deepEqual(places(MODEL.cohere3), [[1, 3], [0], [2]]);
    assert.deepEqual(places(MODEL.nova), [[1], [3], [0], [2]]);
  });

  it("are no larger than InvokeModel takes", () => {
    const texts = Array.from({ length: 20 }, () => "\u0001".repeat(500_000));
    const batches = planEmbeddings(request(texts), MODEL.cohere4);
    assert.deepEqual(
      batches.flatMap(({ indexes }) => indexes),
      texts.map((_, n) => n),
    );
    for (const { body } of batches) assert.ok(body.length <= 25_000_000, String(body.length));
    assert.equal(batches.length, 4);
  });

  it("have the same bytes for the same request", () => {
    const bodies = () =>
      planEmbeddings(request(["a", "b"], { dimensions: 512 }), MODEL.cohere4).map(({ body }) => body);
    assert.deepEqual(bodies(), bodies());
  });

  it("read their answers, and miss what was asked for", () => {
    const [batch] = planEmbeddings(request(["a"], { dimensions: 256 }), MODEL.v2);
    const answer = (length: number) => JSON.stringify({ embedding: Array(length).fill(0.5), inputTextTokenCount: 3 });
    assert.equal(batch?.read(answer(256), () => undefined).inputTokens, 3);
    assert.throws(() => batch?.read(answer(1024), () => undefined), GatewayError);
  });

  it("leave dimensions out that the model has anyway", () => {
    const body = (model: string, dimensions: number) =>
      JSON.parse(planEmbeddings(request(["a"], { dimensions }), model)[0]?.body.toString() ?? "");
    assert.deepEqual(body(MODEL.g1, 1536), { inputText: "a" });
    assert.equal(body(MODEL.cohere4, 1536).output_dimension, 1536);
  });
});

describe("what a model can't take is refused", () => {
  const refusals: [what: string, request: EmbeddingsRequest, model: string, param: string, message: RegExp][] = [
    ["by a model without embeddings", request(["a"]), "amazon.nova-pro-v1:0", "model", /makes no embeddings/],
    ["dimensions", request(["a"], { dimensions: 300 }), MODEL.v2, "dimensions", /256, 512, 1024/],
    ["dimensions of a model with one length", request(["a"], { dimensions: 256 }), MODEL.g1, "dimensions", /: 1536\./],
    ["a long text", request(["a", "b".repeat(2_049)]), MODEL.cohere3, "input[1]", /has 2049 characters.*at most 2048/],
    ["a long text for Nova", request(["b".repeat(8_193)]), MODEL.nova, "input[0]", /at most 8192/],
    ["an image", { inputs: [image(0)], purpose: "search_document" }, MODEL.v2, "input[0]", /takes no images/],
  ];
  for (const [what, asked, model, param, message] of refusals) {
    it(what, () => {
      assert.throws(
        () => planEmbeddings(asked, model),
        (error) =>
          error instanceof GatewayError && error.status === 400 && error.param === param && message.test(error.message),
      );
    });
  }

  it("but not what only looks longer", () => {
    assert.equal(planEmbeddings(request(["😀".repeat(2_048)]), MODEL.cohere3).length, 1);
  });
});

function request(texts: string[], more: Partial<EmbeddingsRequest> = {}): EmbeddingsRequest {
  return { inputs: texts.map(textInput), purpose: "search_document", ...more };
}

function textInput(text: string, index: number): EmbeddingInput {
  return { param: `input[${index}]`, text };
}

function image(index: number): EmbeddingInput {
  return { param: `input[${index}]`, image: { format: "png", bytes: "AAAA" } };
}
