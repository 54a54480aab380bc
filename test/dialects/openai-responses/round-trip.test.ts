/** What the gateway answered must be taken back: clients send all items of an answer as input, word for word. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ContentBlock } from "../../../src/bedrock/converse.ts";
import { converseResponse } from "../../../src/bedrock/converse-response.ts";
import { synthesizeEvents } from "../../../src/bedrock/synthesize-events.ts";
import { openaiChat } from "../../../src/dialects/openai-chat/index.ts";
import { openaiResponses } from "../../../src/dialects/openai-responses/index.ts";
import { isJsonObject, type JsonObject, parseJson, stringifyJson } from "../../../src/json.ts";

const META = { id: "1", created: 1 };
const TOOLS = [
  { type: "function", name: "git.log/all" },
  { type: "custom", name: "apply patch" },
  { type: "namespace", name: "mcp.files", description: "", tools: [{ type: "function", name: "read" }] },
];
const QUESTION = { role: "user", content: "Go" };
const asked = openaiResponses.decode({ model: "m", input: [QUESTION], tools: TOOLS }, META);
const NAMES = (asked.request.toolConfig?.tools ?? []).map((tool) => ("toolSpec" in tool ? tool.toolSpec.name : ""));
const INPUTS = ['{"id":12345678901234567890,"z":1,"a":2}', '{"input":"*** Begin\\n"}', '{"path":"/"}'].map(parse);

const ANSWER: ContentBlock[] = [
  { reasoningContent: { reasoningText: { text: "Let me think.", signature: "c2ln" } } },
  { reasoningContent: { redactedContent: "c2VjcmV0" } },
  { text: "Looking." },
  ...NAMES.map((name, n) => ({ toolUse: { toolUseId: `tooluse_${n}`, name, input: INPUTS[n] ?? {} } })),
];
const RESPONSE = converseResponse({
  output: { message: { role: "assistant", content: ANSWER } },
  stopReason: "tool_use",
  usage: { inputTokens: 1, outputTokens: 1 },
});

describe("an answer sent back as input", () => {
  it("names the tools as the client did", () => {
    const calls = itemsOf(asked.reply([RESPONSE])).slice(3);
    assert.deepEqual(
      calls.map(({ type, name, namespace }) => [type, name, namespace]),
      [
        ["function_call", "git.log/all", undefined],
        ["custom_tool_call", "apply patch", undefined],
        ["function_call", "read", "mcp.files"],
      ],
    );
  });

  it("becomes the same blocks after a reply", () => {
    assert.equal(stringifyJson(sentBack(itemsOf(asked.reply([RESPONSE])))), stringifyJson(ANSWER));
  });

  it("becomes the same blocks after a stream", () => {
    const machine = asked.events(0);
    const events = [...synthesizeEvents(RESPONSE).flatMap((event) => [...machine.push(event)]), ...machine.end()];
    const done = events
      .filter(({ event }) => event === "response.output_item.done")
      .map(({ data }) => member(data, "item"));
    assert.equal(stringifyJson(sentBack(done)), stringifyJson(ANSWER));
  });

  it("becomes the same blocks when it is posted to Chat Completions", () => {
    const next = openaiChat.decode({ model: "m", input: history(itemsOf(asked.reply([RESPONSE]))) }, META);
    assert.equal(stringifyJson(next.request.messages[1]?.content), stringifyJson(ANSWER));
  });
});

function sentBack(items: readonly JsonObject[]): ContentBlock[] | undefined {
  const next = openaiResponses.decode({ model: "m", input: history(items), tools: TOOLS }, META);
  return next.request.messages[1]?.content;
}

function history(items: readonly JsonObject[]): unknown[] {
  const outputs = NAMES.map((_name, n) => ({ type: "function_call_output", call_id: `tooluse_${n}`, output: "ok" }));
  return [QUESTION, ...items, ...outputs];
}

function itemsOf(reply: unknown): JsonObject[] {
  const plain = parseJson(stringifyJson(reply));
  assert.ok(isJsonObject(plain) && Array.isArray(plain.output));
  return plain.output;
}

function member(value: unknown, key: string): JsonObject {
  const plain = parseJson(stringifyJson(value));
  const inner = isJsonObject(plain) ? plain[key] : undefined;
  assert.ok(isJsonObject(inner));
  return inner;
}

function parse(json: string): JsonObject {
  const value = parseJson(json);
  assert.ok(isJsonObject(value));
  return value;
}
