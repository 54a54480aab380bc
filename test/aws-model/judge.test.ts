import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConverseRequest, Message } from "../../src/bedrock/converse.ts";
import { judgeConverse } from "./judge.ts";
import { brokenRules } from "./rules.ts";

const user: Message = { role: "user", content: [{ text: "Hi" }] };

describe("AWS's service model as judge", () => {
  it("accepts a plain conversation", () => {
    assert.deepEqual(judgeConverse({ messages: [user], inferenceConfig: { maxTokens: 1, temperature: 1 } }), []);
  });

  const bad: [string, unknown, RegExp][] = [
    ["an unknown key", { messages: [user], model: "m" }, /additionalProperty":"model"/],
    [
      "an unknown key inside a block",
      one({ cachePoint: { type: "default", scope: "x" } }),
      /additionalProperty":"scope"/,
    ],
    ["a block with two keys", one({ text: "a", image: {} }), /content\/0 must NOT have more than 1 properties/],
    ["a block without a key", one({}), /content\/0 must NOT have fewer than 1 properties/],
    ["an unknown block", one({ audioText: "a" }), /additionalProperty":"audioText"/],
    [
      "an empty system text",
      { messages: [user], system: [{ text: "" }] },
      /system\/0\/text must NOT have fewer than 1/,
    ],
    [
      "an empty list of tools",
      { messages: [user], toolConfig: { tools: [] } },
      /tools must NOT have fewer than 1 items/,
    ],
    [
      "an id with a space",
      one({ toolUse: { toolUseId: "a b", name: "n", input: {} } }),
      /toolUseId must match pattern/,
    ],
    ["a name with a dot", one({ toolUse: { toolUseId: "a", name: "n.m", input: {} } }), /name must match pattern/],
    ["a name of 65", one({ toolUse: { toolUseId: "a", name: "n".repeat(65), input: {} } }), /more than 64 characters/],
    ["a call without input", one({ toolUse: { toolUseId: "a", name: "n" } }), /required property 'input'/],
    [
      "an unknown image format",
      one({ image: { format: "jpg", source: { bytes: "AAAA" } } }),
      /format must be equal to one/,
    ],
    [
      "bytes that are not base64",
      one({ image: { format: "png", source: { bytes: "a-_b" } } }),
      /bytes must match pattern/,
    ],
    ["bytes of length 0", one({ image: { format: "png", source: { bytes: "" } } }), /bytes must NOT have fewer/],
    ["a temperature of 1.1", { messages: [user], inferenceConfig: { temperature: 1.1 } }, /temperature must be <= 1/],
    ["no tokens at all", { messages: [user], inferenceConfig: { maxTokens: 0 } }, /maxTokens must be >= 1/],
    [
      "an empty stop sequence",
      { messages: [user], inferenceConfig: { stopSequences: [""] } },
      /fewer than 1 characters/,
    ],
    ["a role of its own", { messages: [{ role: "tool", content: [] }] }, /role must be equal to one/],
    ["a cache lifetime of its own", one({ cachePoint: { type: "default", ttl: "2h" } }), /ttl must be equal to one/],
  ];
  for (const [what, body, problem] of bad) {
    it(`rejects ${what}`, () => assert.match(judgeConverse(body).join("\n"), problem));
  }
});

describe("the rules beyond the model", () => {
  it("accept a conversation with a call, its result and cache points", () => {
    assert.deepEqual(brokenRules(conversation()), []);
  });

  const bad: [RegExp, (request: ConverseRequest) => void][] = [
    [/out of turn/, (request) => request.messages.splice(1, 1)],
    [/has no content/, (request) => contentOf(request, 0).splice(0)],
    [/does not answer/, (request) => contentOf(request, 2).shift()],
    [/results late/, (request) => contentOf(request, 2).reverse()],
    [/blank or broken text/, (request) => contentOf(request, 0).push({ text: " \n" })],
    [/blank or broken text/, (request) => contentOf(request, 0).push({ text: "\ud83d" })],
    [/tool blocks without tools/, (request) => delete request.toolConfig],
    [/nothing before it/, (request) => request.system?.shift()],
    [/two cache points in a row/, (request) => request.system?.push({ cachePoint: { type: "default" } })],
    [/1h cache point after/, (request) => contentOf(request, 0).push({ cachePoint: { type: "default", ttl: "1h" } })],
    [
      /5 cache points/,
      (request) => request.system?.push(...Array.from({ length: 4 }, () => request.system ?? []).flat()),
    ],
    [/ends the conversation with a call/, (request) => request.messages.splice(2)],
    [/only a user may send/, (request) => contentOf(request, 1).unshift(document)],
    [/document without text/, (request) => contentOf(request, 0).splice(0, 1, document)],
    [/document name a is used twice/, (request) => contentOf(request, 0).push(document, document)],
    [/not reasoning, text, calls/, (request) => contentOf(request, 1).reverse()],
    [/call id a is used twice/, (request) => contentOf(request, 1).push(...contentOf(request, 1).slice(-1))],
  ];
  for (const [problem, spoil] of bad) {
    it(`report ${problem.source}`, () => {
      const request = conversation();
      spoil(request);
      assert.match(brokenRules(request).join("\n"), problem);
    });
  }
});

const document = { document: { format: "pdf", name: "a", source: { bytes: "AAAA" } } } as const;

function one(block: unknown): unknown {
  return { messages: [{ role: "user", content: [block] }] };
}

function contentOf(request: ConverseRequest, index: number): Message["content"] {
  return request.messages[index]?.content ?? [];
}

function conversation(): ConverseRequest {
  return {
    system: [{ text: "Be brief." }, { cachePoint: { type: "default" } }],
    messages: [
      { role: "user", content: [{ text: "Weather?" }] },
      { role: "assistant", content: [{ text: "Let me look." }, { toolUse: { toolUseId: "a", name: "w", input: {} } }] },
      { role: "user", content: [{ toolResult: { toolUseId: "a", content: [{ text: "sun" }] } }, { text: "So?" }] },
    ],
    toolConfig: { tools: [{ toolSpec: { name: "w", inputSchema: { json: { type: "object" } } } }] },
  };
}
