/** Every golden stream, read by the official SDK as a client would read it. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import OpenAI, { APIError } from "openai";
import type { ConverseEvent } from "../../../src/bedrock/converse.ts";
import { readFrames } from "../../golden/stream-text.ts";

const FOLDER = new URL("../../golden/openai-chat/", import.meta.url);
const NAMES = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".frames.jsonl"))
  .map((name) => name.replace(".frames.jsonl", ""));

describe("the OpenAI SDK", () => {
  for (const name of NAMES) {
    const text = readFileSync(new URL(`${name}.sse`, FOLDER), "utf8");
    const frames = readFrames(new URL(`${name}.frames.jsonl`, FOLDER));
    if (text.includes('"error"')) it(`raises the error of ${name}`, () => assert.rejects(accumulate(text), APIError));
    else it(`accumulates ${name}`, async () => checkAnswer(await accumulate(text), frames));
  }

  it("finds one id, model and time on every chunk", async () => {
    const text = readFileSync(new URL("stream-tool-calls.sse", FOLDER), "utf8");
    const heads = new Set<string>();
    for await (const chunk of await client(text).chat.completions.create({ ...REQUEST, stream: true }))
      heads.add(JSON.stringify([chunk.id, chunk.model, chunk.created, chunk.object]));
    assert.deepEqual([...heads], ['["chatcmpl-0123456789abcdef","test-model",1700000000,"chat.completion.chunk"]']);
  });
});

const REQUEST: OpenAI.ChatCompletionCreateParams = { model: "test-model", messages: [{ role: "user", content: "Hi" }] };

function accumulate(text: string): Promise<OpenAI.ChatCompletion> {
  return client(text)
    .chat.completions.stream({ ...REQUEST, stream: true })
    .finalChatCompletion();
}

function client(text: string): OpenAI {
  const fetch = async () => new Response(text, { headers: { "content-type": "text/event-stream" } });
  return new OpenAI({ apiKey: "sk-test", baseURL: "http://localhost/v1", fetch, maxRetries: 0 });
}

/** What the client accumulated against what Bedrock sent. */
function checkAnswer({ choices: [choice], usage }: OpenAI.ChatCompletion, frames: readonly ConverseEvent[]): void {
  const deltas = frames.flatMap((frame) => (frame.type === "contentBlockDelta" ? [frame] : []));
  const calls = frames.flatMap((frame) =>
    frame.type === "contentBlockStart" && frame.start.toolUse !== undefined
      ? [{ ...frame.start.toolUse, ...frame }]
      : [],
  );
  const inputs = calls.map(({ index }) =>
    deltas.map((frame) => (frame.index === index ? (frame.delta.toolUse?.input ?? "") : "")).join(""),
  );
  assert.ok(choice);
  assert.equal(choice.message.content ?? "", deltas.map(({ delta }) => delta.text ?? "").join(""));
  if (choice.message.function_call) {
    assert.equal(choice.finish_reason, "function_call");
    assert.equal(choice.message.function_call.arguments, inputs[0] || "{}");
    return;
  }
  assert.deepEqual(
    (choice.message.tool_calls ?? []).map((call) => [call.id, call.type === "function" && call.function.arguments]),
    calls.map((call, index) => [call.toolUseId, inputs[index] || "{}"]),
  );
  assert.ok(choice.finish_reason);
  assert.equal(choice.finish_reason === "tool_calls", calls.length > 0);
  if (usage) assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
}
