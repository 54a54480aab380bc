import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { openaiEmbeddings } from "../../../src/dialects/openai-embeddings/index.ts";
import { GatewayError } from "../../../src/errors.ts";

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

describe("an embeddings request", () => {
  it("has one text or several", () => {
    assert.deepEqual(decode({ input: "a" }).request, {
      inputs: [{ param: "input", text: "a" }],
      purpose: "search_document",
    });
    assert.deepEqual(decode({ input: ["a", " "] }).request.inputs, [
      { param: "input[0]", text: "a" },
      { param: "input[1]", text: " " },
    ]);
    assert.equal(decode({ input: Array(2048).fill("a") }).request.inputs.length, 2048);
  });

  it("may leave out, null or invent everything else", () => {
    const body = { input: "a", dimensions: null, encoding_format: null, user: null, input_type: null, truncate: 1 };
    assert.deepEqual(decode(body).request, decode({ input: "a" }).request);
    assert.deepEqual(decode(body).requestMetadata, {});
  });

  it("says dimensions, a user and what the vectors are for", () => {
    const call = decode({ input: "a", dimensions: 256, user: "u-1", input_type: "clustering" });
    assert.deepEqual([call.request.dimensions, call.request.purpose], [256, "clustering"]);
    assert.deepEqual(call.requestMetadata, { user: "u-1" });
    assert.equal(decode({ input: "a", extra_body: { input_type: "search_query" } }).request.purpose, "search_query");
    assert.equal(decode({ input: "a", input_type: "query" }).request.purpose, "search_query");
    assert.equal(decode({ input: "a", input_type: "passage" }).request.purpose, "search_document");
  });

  it("may have images as data URLs, among texts", () => {
    const { inputs } = decode({
      input: [`data:image/jpg;base64,${PIXEL}`, "data:image/png;base64,?", "data:,a"],
    }).request;
    assert.deepEqual(inputs, [
      { param: "input[0]", image: { format: "png", bytes: PIXEL } },
      { param: "input[1]", text: "data:image/png;base64,?" },
      { param: "input[2]", text: "data:,a" },
    ]);
  });

  it("has broken surrogates mended", () => {
    assert.deepEqual(decode({ input: "a\ud800" }).request.inputs, [{ param: "input", text: "a\ufffd" }]);
  });

  const errors: [what: string, body: unknown, param: string | undefined, message?: RegExp][] = [
    ["that is not an object", [], undefined],
    ["without a model", { model: undefined, input: "a" }, "model"],
    ["without input", {}, "input"],
    ["with no input", { input: [] }, "input"],
    ["with an empty text", { input: "" }, "input"],
    ["with an empty text among others", { input: ["a", ""] }, "input[1]"],
    ["with something else among texts", { input: ["a", {}] }, "input[1]"],
    ["with more than 2,048 inputs", { input: Array(2049).fill("a") }, "input", /at most 2048/],
    ["of token ids", { input: [1, 2] }, "input", /check_embedding_ctx_length=False/],
    ["of lists of token ids", { input: [[1], [2]] }, "input", /check_embedding_ctx_length=False/],
    ["with dimensions of zero", { input: "a", dimensions: 0 }, "dimensions"],
    ["with dimensions as text", { input: "a", dimensions: "256" }, "dimensions"],
    [
      "with packed numbers",
      { input: "a", encoding_format: "int8" },
      "encoding_format",
      /"float" or "base64", got "int8"/,
    ],
    ["with an unknown purpose", { input: "a", input_type: "image" }, "input_type", /"search_document"/],
  ];
  for (const [what, body, param, message = /./] of errors) {
    it(`${what} is refused by name`, () => {
      assert.throws(
        () => (Array.isArray(body) ? openaiEmbeddings.decode(body) : decode(Object(body))),
        (error) =>
          error instanceof GatewayError && error.status === 400 && error.param === param && message.test(error.message),
      );
    });
  }

  it("of millions of characters, or of numbers, is read in no time", () => {
    const start = performance.now();
    decode({ input: Array(2048).fill("a".repeat(10_000)) });
    assert.throws(() => decode({ input: Array(100_000).fill(1) }), GatewayError);
    assert.ok(performance.now() - start < 2_000);
  });
});

function decode(body: object) {
  return openaiEmbeddings.decode({ model: "m", ...body });
}
