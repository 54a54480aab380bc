/** Each family's bodies and answers as AWS's user guide shows them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type EmbeddingApi,
  type EmbeddingInput,
  type EmbeddingPurpose,
  embeddingBody,
  readEmbeddings,
} from "../../src/bedrock/embeddings.ts";
import { GatewayError } from "../../src/errors.ts";
import type { JsonObject } from "../../src/json.ts";

const TEXT: EmbeddingInput = { param: "input", text: "What are the different services that you offer?" };
const IMAGE: EmbeddingInput = { param: "input", image: { format: "png", bytes: "iVBORw0KGgo=" } };
const { text } = TEXT;
const url = "data:image/png;base64,iVBORw0KGgo=";
const nova = (params: object): JsonObject => ({
  schemaVersion: "nova-multimodal-embed-v1",
  taskType: "SINGLE_EMBEDDING",
  singleEmbeddingParams: { ...params },
});

describe("the body of InvokeModel", () => {
  const bodies: [what: string, EmbeddingApi, inputs: EmbeddingInput[], wish: { dimensions?: number }, JsonObject][] = [
    ["Titan G1", "titan-text-v1", [TEXT], {}, { inputText: text }],
    ["Titan V2", "titan-text-v2", [TEXT], {}, { inputText: text }],
    ["Titan V2, shorter", "titan-text-v2", [TEXT], { dimensions: 512 }, { inputText: text, dimensions: 512 }],
    ["Titan Multimodal, text", "titan-multimodal", [TEXT], {}, { inputText: text }],
    [
      "Titan Multimodal, image",
      "titan-multimodal",
      [IMAGE],
      { dimensions: 256 },
      { inputImage: "iVBORw0KGgo=", embeddingConfig: { outputEmbeddingLength: 256 } },
    ],
    [
      "Cohere 3, texts",
      "cohere-v3",
      [TEXT, TEXT],
      {},
      { texts: [text, text], input_type: "search_document", truncate: "NONE" },
    ],
    ["Cohere 3, image", "cohere-v3", [IMAGE], {}, { images: [url], input_type: "image" }],
    [
      "Cohere 4, texts",
      "cohere-v4",
      [TEXT, TEXT],
      { dimensions: 512 },
      {
        texts: [text, text],
        input_type: "search_document",
        embedding_types: ["float"],
        output_dimension: 512,
        truncate: "NONE",
      },
    ],
    [
      "Cohere 4, images",
      "cohere-v4",
      [IMAGE, IMAGE],
      {},
      { images: [url, url], input_type: "search_document", embedding_types: ["float"], truncate: "NONE" },
    ],
    [
      "Nova, text",
      "nova",
      [TEXT],
      { dimensions: 1024 },
      nova({
        embeddingPurpose: "GENERIC_INDEX",
        embeddingDimension: 1024,
        text: { truncationMode: "NONE", value: text },
      }),
    ],
    [
      "Nova, image",
      "nova",
      [IMAGE],
      {},
      nova({ embeddingPurpose: "GENERIC_INDEX", image: { format: "png", source: { bytes: "iVBORw0KGgo=" } } }),
    ],
    ["Marengo 2.7, text", "marengo-2", [TEXT], {}, { inputType: "text", inputText: text, textTruncate: "none" }],
    [
      "Marengo 2.7, image",
      "marengo-2",
      [IMAGE],
      {},
      { inputType: "image", mediaSource: { base64String: "iVBORw0KGgo=" } },
    ],
    ["Marengo 3, text", "marengo-3", [TEXT], {}, { inputType: "text", text: { inputText: text } }],
    [
      "Marengo 3, image",
      "marengo-3",
      [IMAGE],
      {},
      { inputType: "image", image: { mediaSource: { base64String: "iVBORw0KGgo=" } } },
    ],
  ];
  for (const [what, api, inputs, wish, body] of bodies) {
    it(`is as documented for ${what}`, () => {
      assert.deepEqual(embeddingBody(api, inputs, { purpose: "search_document", ...wish }), body);
    });
  }

  it("says what the vectors are for, where the model asks", () => {
    const purposes: [EmbeddingPurpose, string][] = [
      ["search_document", "GENERIC_INDEX"],
      ["search_query", "GENERIC_RETRIEVAL"],
      ["classification", "CLASSIFICATION"],
      ["clustering", "CLUSTERING"],
    ];
    for (const [purpose, novaPurpose] of purposes) {
      assert.equal(embeddingBody("cohere-v3", [TEXT], { purpose }).input_type, purpose);
      assert.equal(embeddingBody("cohere-v4", [IMAGE], { purpose }).input_type, purpose);
      const { singleEmbeddingParams } = embeddingBody("nova", [TEXT], { purpose });
      assert.equal(Object(singleEmbeddingParams).embeddingPurpose, novaPurpose);
    }
  });
});

describe("an answer", () => {
  const answers: [what: string, body: unknown, tokens: number | undefined][] = [
    ["Titan G1", { embedding: [0.5, -1], inputTextTokenCount: 9 }, 9],
    [
      "Titan V2",
      { embedding: [0.5, -1], inputTextTokenCount: 9, embeddingsByType: { binary: [1], float: [0.5, -1] } },
      9,
    ],
    ["Titan Multimodal", { embedding: [0.5, -1], inputTextTokenCount: 9, message: null }, 9],
    ["Cohere 3", { embeddings: [[0.5, -1]], id: "1", response_type: "embeddings_floats", texts: ["a"] }, 7],
    ["Cohere 3 by type", { embeddings: { float: [[0.5, -1]] }, response_type: "embeddings_by_type" }, 7],
    ["Cohere 4", { id: "1", embeddings: { float: [[0.5, -1]] }, texts: ["a"], images: [] }, 7],
    ["Nova", { embeddings: [{ embeddingType: "TEXT", embedding: [0.5, -1], truncatedCharLength: 3 }] }, 7],
    ["Nova that counts", { embeddings: [{ embeddingType: "TEXT", embedding: [0.5, -1] }], inputTokenCount: 4 }, 4],
    ["Marengo", { data: [{ embedding: [0.5, -1] }] }, 7],
    ["Marengo without a list", { data: { embedding: [0.5, -1] } }, 7],
  ];
  const header = (name: string) => (name === "x-amzn-bedrock-input-token-count" ? "7" : undefined);
  for (const [what, body, inputTokens] of answers) {
    it(`is read as documented for ${what}`, () => {
      assert.deepEqual(readEmbeddings(JSON.stringify(body), 1, undefined, header), {
        vectors: [[0.5, -1]],
        inputTokens,
      });
    });
  }

  it("may not tell its tokens", () => {
    for (const value of [undefined, "", "x", "-1", "1.5"])
      assert.equal(
        readEmbeddings('{"embedding":[1],"inputTextTokenCount":null}', 1, 1, () => value || undefined).inputTokens,
        undefined,
      );
  });

  it("may have numbers of more digits than a double holds", () => {
    const body = '{"embedding":[0.12345678901234567890]}';
    assert.deepEqual(readEmbeddings(body, 1, 1, header).vectors, [[0.12345678901234568]]);
  });

  const broken: [what: string, body: unknown, count?: number][] = [
    ["nothing", null],
    ["no vector", { inputTextTokenCount: 1 }],
    ["null", { embedding: null }],
    ["a vector that is empty", { embedding: [] }],
    ["text in a vector", { embedding: [1, "2"] }],
    ["null in a vector", { embedding: [1, null] }],
    ["base64", { embeddings: ["AACAPw=="] }],
    ["a vector too few", { embeddings: [[1, 2]] }, 2],
    [
      "a vector too many",
      {
        embeddings: {
          float: [
            [1, 2],
            [1, 2],
          ],
        },
      },
    ],
    ["vectors of two lengths", { embeddings: [[1, 2], [1]] }, 2],
    ["another type of numbers", { embeddings: { int8: [[1, 2]] } }],
    ["a vector of another length than was asked for", { embedding: [1, 2, 3] }],
  ];
  for (const [what, body, count = 1] of broken) {
    it(`is refused with ${what}`, () => {
      const isInvalid = (error: unknown) => error instanceof GatewayError && error.code === "upstream_invalid_response";
      assert.throws(() => readEmbeddings(JSON.stringify(body), count, 2, header), isInvalid);
    });
  }

  it("is refused cut", () => {
    assert.throws(() => readEmbeddings('{"embedding":[1,2', 1, 2, header), GatewayError);
  });
});
