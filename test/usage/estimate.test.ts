import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ContentBlock, ConverseRequest, ToolResultBlock } from "../../src/bedrock/converse.ts";
import { isJsonObject, parseJson } from "../../src/json.ts";
import { estimateInputTokens, estimateTokens } from "../../src/usage/estimate.ts";

function tokens(...content: ContentBlock[]): number {
  return estimateInputTokens({ messages: [{ role: "user", content }] });
}

describe("estimateTokens", () => {
  it("is a whole number, a quarter of the bytes, rounded up", () => {
    assert.deepEqual([0, 1, 4, 5, 400].map(estimateTokens), [0, 1, 1, 2, 100]);
  });
});

describe("estimateInputTokens", () => {
  it("counts text of all turns and of the system prompt", () => {
    const request: ConverseRequest = {
      system: [{ text: "x".repeat(40) }, { cachePoint: { type: "default" } }],
      messages: [
        { role: "user", content: [{ text: "x".repeat(40) }] },
        { role: "assistant", content: [{ text: "x".repeat(20) }] },
      ],
    };
    assert.equal(estimateInputTokens(request), 25);
  });

  it("counts letters of other scripts by their bytes: who writes Chinese pays no quarter of it", () => {
    assert.deepEqual([tokens({ text: "x".repeat(400) }), tokens({ text: "字".repeat(400) })], [100, 300]);
    assert.equal(tokens({ toolResult: { toolUseId: "t", content: [{ text: "ж".repeat(400) }] } }), 200);
  });

  it("counts what tools, calls and results say", () => {
    assert.equal(tokens({ toolUse: { toolUseId: "t", name: "n", input: { q: "x".repeat(32) } } }), 10);
    const result: ToolResultBlock = { toolUseId: "t", content: [{ text: "x".repeat(8) }, { json: { a: "1234" } }] };
    assert.equal(tokens({ toolResult: result }), 5);
    const toolConfig = { tools: [{ toolSpec: { name: "n", inputSchema: { json: { type: "object" } } } }] };
    assert.ok(estimateInputTokens({ messages: [], toolConfig }) > 10);
  });

  it("counts reasoning by its text", () => {
    assert.equal(
      tokens({ reasoningContent: { reasoningText: { text: "x".repeat(40), signature: "s".repeat(400) } } }),
      10,
    );
    assert.equal(tokens({ reasoningContent: { redactedContent: "eHh4" } }), 0);
  });

  it("counts an image the same whatever its size, and a document by its bytes", () => {
    const image = (bytes: string): ContentBlock => ({ image: { format: "png", source: { bytes } } });
    assert.equal(tokens(image("a")), 1_500);
    assert.equal(tokens(image("a".repeat(1_000_000)), image("b")), 3_000);
    assert.equal(tokens({ document: { format: "pdf", name: "d", source: { bytes: "a".repeat(4_000) } } }), 100);
  });

  it("is zero for nothing, and takes numbers too long for a double", () => {
    assert.equal(tokens(), 0);
    assert.equal(tokens({ cachePoint: { type: "default" } }), 0);
    const input = parseJson('{"id":12345678901234567890}');
    assert.ok(isJsonObject(input));
    assert.equal(tokens({ toolUse: { toolUseId: "t", name: "n", input } }), 7);
  });
});
