/** What the gateway answered must be taken back: clients send answers as history, word for word. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ContentBlock, ConverseEvent } from "../../../src/bedrock/converse.ts";
import { converseResponse } from "../../../src/bedrock/converse-response.ts";
import { openaiChat } from "../../../src/dialects/openai-chat/index.ts";
import { isJsonObject, parseJson, stringifyJson } from "../../../src/json.ts";

const META = { id: "1", created: 1 };
const TOOLS = [{ type: "function", function: { name: "git.log/all" } }];
const QUESTION = { role: "user", content: "Go" };
const asked = openaiChat.decode({ model: "m", messages: [QUESTION], tools: TOOLS }, META);
const tool = asked.request.toolConfig?.tools[0];
const name = tool !== undefined && "toolSpec" in tool ? tool.toolSpec.name : "";
const input = parseJson('{"id":12345678901234567890,"z":1,"a":2}');
if (!isJsonObject(input)) throw new Error("not an object");

const ANSWER: ContentBlock[] = [
  { reasoningContent: { reasoningText: { text: "Let me think.", signature: "c2ln" } } },
  { reasoningContent: { redactedContent: "c2VjcmV0" } },
  { text: "Looking." },
  { toolUse: { toolUseId: "tooluse_1", name, input } },
];

describe("an answer sent back as history", () => {
  it("becomes the same blocks after a reply", () => {
    const response = converseResponse({
      output: { message: { role: "assistant", content: ANSWER } },
      stopReason: "tool_use",
      usage: { inputTokens: 1, outputTokens: 1 },
    });
    const reply = parseJson(stringifyJson(asked.reply([response])));
    assert.equal(
      stringifyJson(sentBack(member(member(member(reply, "choices"), "0"), "message"))),
      stringifyJson(ANSWER),
    );
  });

  it("becomes the same blocks after a stream", () => {
    const machine = asked.events(0);
    const message: Record<string, unknown> = { role: "assistant" };
    const lists = ["tool_calls", "thinking_blocks"];
    for (const event of EVENTS.flatMap((frame) => [...machine.push(frame)])) {
      const delta = member(member(member(event.data, "choices"), "0"), "delta");
      if (!isJsonObject(delta)) continue;
      for (const [key, value] of Object.entries(delta)) {
        if (lists.includes(key)) merge(message, key, value);
        else message[key] = key === "role" ? value : `${message[key] ?? ""}${value}`;
      }
    }
    assert.equal(stringifyJson(sentBack(message)), stringifyJson(ANSWER));
  });
});

const EVENTS: ConverseEvent[] = [
  { type: "messageStart", role: "assistant" },
  { type: "contentBlockDelta", index: 0, delta: { reasoningContent: { text: "Let me " } } },
  { type: "contentBlockDelta", index: 0, delta: { reasoningContent: { text: "think." } } },
  { type: "contentBlockDelta", index: 0, delta: { reasoningContent: { signature: "c2ln" } } },
  { type: "contentBlockStop", index: 0 },
  { type: "contentBlockDelta", index: 1, delta: { reasoningContent: { redactedContent: "c2VjcmV0" } } },
  { type: "contentBlockStop", index: 1 },
  { type: "contentBlockDelta", index: 2, delta: { text: "Looking." } },
  { type: "contentBlockStop", index: 2 },
  { type: "contentBlockStart", index: 3, start: { toolUse: { toolUseId: "tooluse_1", name } } },
  { type: "contentBlockDelta", index: 3, delta: { toolUse: { input: '{"id":1234567890' } } },
  { type: "contentBlockDelta", index: 3, delta: { toolUse: { input: '1234567890,"z":1,"a":2}' } } },
  { type: "contentBlockStop", index: 3 },
  { type: "messageStop", stopReason: "tool_use" },
];

function sentBack(message: unknown): ContentBlock[] | undefined {
  const result = { role: "tool", tool_call_id: "tooluse_1", content: "ok" };
  const next = openaiChat.decode({ model: "m", messages: [QUESTION, message, result], tools: TOOLS }, META);
  return next.request.messages[1]?.content;
}

/** Lists of deltas, merged by index as SDKs do it: texts are joined, the arguments of calls too. */
function merge(message: Record<string, unknown>, key: string, value: unknown): void {
  const list: unknown[] = Array.isArray(message[key]) ? message[key] : [];
  message[key] = list;
  for (const item of Array.isArray(value) ? value : []) {
    const index = Number(member(item, "index"));
    const known = list[index];
    if (!isJsonObject(known)) list[index] = item;
    else {
      const joined = `${member(member(known, "function"), "arguments")}${member(member(item, "function"), "arguments")}`;
      list[index] = { ...known, function: { ...Object(known.function), arguments: joined } };
    }
  }
}

function member(value: unknown, key: string): unknown {
  if (Array.isArray(value)) return value[Number(key)];
  return isJsonObject(value) ? value[key] : undefined;
}
