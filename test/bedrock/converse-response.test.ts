import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { converseResponse } from "../../src/bedrock/converse-response.ts";
import { GatewayError } from "../../src/errors.ts";

const usage = { inputTokens: 1, outputTokens: 2, totalTokens: 3 };
const output = { message: { role: "assistant", content: [{ text: "Hi" }] } };

describe("a Converse answer at the edge", () => {
  it("passes with what is known of it", () => {
    const answer = { output, stopReason: "end_turn", usage, metrics: { latencyMs: 9 }, serviceTier: { type: "flex" } };
    assert.deepEqual(converseResponse({ ...answer, novelty: 1 }), answer);
  });

  it("keeps unknown kinds of blocks as blocks without content", () => {
    const content = [{ hologram: {} }, { text: "Hi" }];
    const answer = converseResponse({ output: { message: { role: "assistant", content } }, stopReason: "x", usage });
    assert.deepEqual(answer.output.message.content, [{}, { text: "Hi" }]);
  });

  const broken: [string, unknown][] = [
    ["no object", "text"],
    ["an unknown route's 200", { Output: { __type: "com.amazon.coral.service#UnknownOperationException" } }],
    ["no output", { stopReason: "end_turn", usage }],
    ["no message", { output: {}, stopReason: "end_turn", usage }],
    ["no content", { output: { message: { role: "assistant" } }, stopReason: "end_turn", usage }],
    ["no stopReason", { output, usage }],
    ["no usage", { output, stopReason: "end_turn" }],
    ["counts that are text", { output, stopReason: "end_turn", usage: { inputTokens: "1", outputTokens: "2" } }],
    ["a call without id", { output: { message: { content: [{ toolUse: { name: "f" } }] } }, stopReason: "x", usage }],
  ];
  for (const [what, body] of broken) {
    it(`is refused with ${what}`, () => {
      assert.throws(
        () => converseResponse(body),
        (error) => {
          return error instanceof GatewayError && error.code === "upstream_invalid_response";
        },
      );
    });
  }
});
