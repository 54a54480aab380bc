/** What the gateway answered must be taken back: clients send answers as history, word for word. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import type { ContentBlock } from "../../../src/bedrock/converse.ts";
import { converseEvents } from "../../../src/bedrock/converse-events.ts";
import { converseResponse } from "../../../src/bedrock/converse-response.ts";
import { frames } from "../../../src/bedrock/event-stream.ts";
import { synthesizeEvents } from "../../../src/bedrock/synthesize-events.ts";
import { anthropicMessages } from "../../../src/dialects/anthropic-messages/index.ts";
import { encodeEvent, sse } from "../../../src/dialects/sse.ts";
import { parseJson, stringifyJson } from "../../../src/json.ts";
import { eventFrame } from "../../../src/simulator/event-stream.ts";
import { chain } from "../../../src/transform.ts";

const META = { id: "1", created: 1 };
const TOOLS = [{ name: "git.log/all", input_schema: { type: "object" } }];
const QUESTION = { role: "user", content: "Go" };
const asked = anthropicMessages.decode({ model: "m", max_tokens: 9, messages: [QUESTION], tools: TOOLS }, META);
const tool = asked.request.toolConfig?.tools[0];
const name = tool !== undefined && "toolSpec" in tool ? tool.toolSpec.name : "";

const ANSWER: ContentBlock[] = [
  { reasoningContent: { reasoningText: { text: "Let me think.", signature: "c2ln" } } },
  { reasoningContent: { redactedContent: "c2VjcmV0" } },
  { text: "Looking." },
  { toolUse: { toolUseId: "tooluse_1", name, input: { z: 1, a: [2, "x"] } } },
];
const RESPONSE = converseResponse({
  output: { message: { role: "assistant", content: ANSWER } },
  stopReason: "tool_use",
  usage: { inputTokens: 1, outputTokens: 1 },
});

describe("an answer sent back as history", () => {
  it("becomes the same blocks after a reply", () => {
    const reply: unknown = parseJson(stringifyJson(asked.reply([RESPONSE])));
    assert.deepEqual(sentBack(Object(reply).content), ANSWER);
  });

  it("becomes the same blocks after a stream that the SDK has put together", async () => {
    const machine = chain(asked.events(0), sse());
    const events = synthesizeEvents(RESPONSE).flatMap((event) => [...machine.push(event)]);
    const text = Buffer.concat([...events, ...machine.end(), ...[...asked.closing()].map(encodeEvent)]).toString();
    const fetch = async () => new Response(text, { headers: { "content-type": "text/event-stream" } });
    const client = new Anthropic({ apiKey: "sk-test", baseURL: "http://localhost", fetch });
    const message = await client.messages
      .stream({ model: "m", max_tokens: 9, messages: [{ role: "user", content: "Go" }] })
      .finalMessage();
    assert.deepEqual(sentBack(message.content), ANSWER);
  });

  it("keeps the digits of long numbers in a call's arguments", () => {
    const input = '{"id":12345678901234567890}';
    const whole = converseResponse(
      parseJson(
        `{"output":{"message":{"role":"assistant","content":[{"toolUse":{"toolUseId":"t","name":"n","input":${input}}}]}},"stopReason":"tool_use","usage":{"inputTokens":1,"outputTokens":1}}`,
      ),
    );
    const reply = stringifyJson(asked.reply([whole]));
    assert.ok(reply.includes(input), reply);
    assert.ok(stringifyJson(sentBack(Object(parseJson(reply)).content)).includes(input));
  });
});

describe("a stream in pieces", () => {
  const wire = Buffer.concat(
    [
      ["messageStart", { role: "assistant" }],
      ["contentBlockDelta", { contentBlockIndex: 0, delta: { reasoningContent: { text: "Hm – ä" } } }],
      ["contentBlockDelta", { contentBlockIndex: 0, delta: { reasoningContent: { signature: "c2ln" } } }],
      ["contentBlockStop", { contentBlockIndex: 0 }],
      ["contentBlockDelta", { contentBlockIndex: 1, delta: { text: "Looking 🔭" } }],
      ["contentBlockStop", { contentBlockIndex: 1 }],
      ["contentBlockStart", { contentBlockIndex: 2, start: { toolUse: { toolUseId: "t", name } } }],
      ["contentBlockDelta", { contentBlockIndex: 2, delta: { toolUse: { input: '{"a":' } } }],
      ["contentBlockDelta", { contentBlockIndex: 2, delta: { toolUse: { input: "1}" } } }],
      ["contentBlockStop", { contentBlockIndex: 2 }],
      ["messageStop", { stopReason: "tool_use" }],
      ["metadata", { usage: { inputTokens: 4, outputTokens: 7, totalTokens: 11 } }],
    ].map(([type, payload]) => eventFrame(String(type), Object(payload))),
  );
  const render = (pieces: readonly Uint8Array[]): string => {
    const machine = chain(frames(), converseEvents(), asked.events(0, { inputTokens: 3, outputTokens: 0 }), sse());
    const out = pieces.flatMap((piece) => [...machine.push(piece)]);
    return Buffer.concat([...out, ...machine.end()]).toString();
  };
  const whole = render([wire]);

  it("says the same wherever its bytes are cut", () => {
    assert.match(whole, /"input_tokens":3,[\s\S]*"stop_reason":"tool_use"[\s\S]*"input_tokens":4,/);
    for (let at = 1; at < wire.length; at += 1)
      assert.equal(render([wire.subarray(0, at), wire.subarray(at)]), whole, `cut at ${at}`);
    assert.equal(render([...wire].map((byte) => Uint8Array.of(byte))), whole);
  });

  it("never looks complete when its end is missing", () => {
    const last = wire.lastIndexOf("messageStop");
    for (let end = 0; end < last; end += 7) assert.throws(() => render([wire.subarray(0, end)]), `ended at ${end}`);
  });
});

function sentBack(content: unknown): ContentBlock[] | undefined {
  const messages = [
    QUESTION,
    { role: "assistant", content },
    { role: "user", content: [{ type: "tool_result", tool_use_id: "tooluse_1", content: "ok" }] },
  ];
  const next = anthropicMessages.decode({ model: "m", max_tokens: 9, messages, tools: TOOLS }, META);
  return next.request.messages[1]?.content;
}
