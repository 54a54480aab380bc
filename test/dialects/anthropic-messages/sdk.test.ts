/** Every golden answer and stream, read by the official SDK and by its types as a client would read them. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import Anthropic, { APIError } from "@anthropic-ai/sdk";
import type { ConverseEvent } from "../../../src/bedrock/converse.ts";
import type { ErrorBody, Message, StreamEvent } from "../../../src/dialects/anthropic-messages/types.ts";
import { isJsonObject } from "../../../src/json.ts";
import { readFrames } from "../../golden/stream-text.ts";

const FOLDER = new URL("../../golden/anthropic-messages/", import.meta.url);
const NAMES = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".frames.jsonl"))
  .map((name) => name.replace(".frames.jsonl", ""));

// The SDK's declarations judge ours: a member that is missed or of another type does not compile.
const asMessage = (message: Message): Anthropic.Message => message;
const asEvent = (event: Exclude<StreamEvent, { type: "ping" }>): Anthropic.RawMessageStreamEvent => event;
const asError = (error: ErrorBody): Omit<Anthropic.ErrorResponse, "error"> => error;

describe("the Anthropic SDK", () => {
  it("has the types that we answer with", () => {
    // Nothing to run: `npm run types` says no.
    assert.ok([asMessage, asEvent, asError].every((same) => typeof same === "function"));
  });

  for (const name of NAMES) {
    const text = readFileSync(new URL(`${name}.sse`, FOLDER), "utf8");
    const frames = readFrames(new URL(`${name}.frames.jsonl`, FOLDER));
    if (text.includes("event: error"))
      it(`raises the error of ${name}`, () => assert.rejects(accumulate(text), APIError));
    else it(`accumulates ${name}`, async () => checkMessage(await accumulate(text), frames));

    it(`finds the blocks of ${name} in order, and a name on each event`, () => checkSequence(text));
  }
});

const REQUEST: Anthropic.MessageCreateParamsNonStreaming = {
  model: "test-model",
  max_tokens: 100,
  messages: [{ role: "user", content: "Hi" }],
};

function accumulate(text: string): Promise<Anthropic.Message> {
  const fetch = async () => new Response(text, { headers: { "content-type": "text/event-stream" } });
  const client = new Anthropic({ apiKey: "sk-test", baseURL: "http://localhost", fetch, maxRetries: 0 });
  return client.messages.stream(REQUEST).finalMessage();
}

/** What the client accumulated against what Bedrock sent. */
function checkMessage(message: Anthropic.Message, frames: readonly ConverseEvent[]): void {
  const deltas = frames.flatMap((frame) => (frame.type === "contentBlockDelta" ? [frame] : []));
  const joined = (part: (delta: (typeof deltas)[number]["delta"]) => string | undefined) =>
    deltas.map(({ delta }) => part(delta) ?? "").join("");
  const said = (type: string, key: string) =>
    message.content.map((block) => (block.type === type ? String(Object(block)[key]) : "")).join("");
  assert.equal(
    said("text", "text"),
    joined(({ text }) => text),
  );
  assert.equal(
    said("thinking", "thinking"),
    joined(({ reasoningContent }) => reasoningContent?.text),
  );
  assert.equal(
    said("thinking", "signature"),
    joined(({ reasoningContent }) => reasoningContent?.signature),
  );
  const calls = frames.flatMap((frame) => (frame.type === "contentBlockStart" && frame.start.toolUse ? [frame] : []));
  const inputs = calls.map(({ index }) =>
    deltas.map((frame) => (frame.index === index ? (frame.delta.toolUse?.input ?? "") : "")).join(""),
  );
  assert.deepEqual(
    message.content.flatMap((block) => (block.type === "tool_use" ? [[block.id, block.name, block.input]] : [])),
    calls.map(({ start: { toolUse } }, at) => [toolUse?.toolUseId, toolUse?.name, JSON.parse(inputs[at] || "{}")]),
  );
  assert.ok(message.stop_reason);
  assert.equal(message.stop_reason === "tool_use", calls.length > 0);
  const usage = frames.flatMap((frame) => (frame.type === "metadata" ? [frame.usage] : []))[0];
  if (usage === undefined) return;
  assert.deepEqual([message.usage.input_tokens, message.usage.output_tokens], [usage.inputTokens, usage.outputTokens]);
  assert.equal(message.usage.cache_read_input_tokens, usage.cacheReadInputTokens ?? 0);
  assert.equal(message.usage.cache_creation_input_tokens, usage.cacheWriteInputTokens ?? 0);
}

/** The grammar of a stream, cut anywhere: nothing follows an error. */
function checkSequence(text: string): void {
  const events = text
    .split("\n\n")
    .slice(0, -1)
    .map((event) => {
      const [, name, data] = /^event: (.*)\ndata: (.*)$/.exec(event) ?? [];
      const value: unknown = JSON.parse(data ?? "");
      assert.ok(isJsonObject(value));
      assert.equal(value.type, name);
      return value;
    });
  const shapes = events.map((event) => `${event.type}${event.index === undefined ? "" : `:${event.index}`}`);
  const starts = shapes.filter((shape) => shape.startsWith("content_block_start"));
  assert.deepEqual(
    starts,
    starts.map((_, index) => `content_block_start:${index}`),
  );
  assert.ok(shapes.length === 0 || shapes[0] === "message_start" || shapes[0] === "error");
  assert.equal(shapes.filter((shape) => shape === "message_start").length, shapes[0] === "message_start" ? 1 : 0);
  assert.ok(shapes.filter((shape) => shape === "ping").length <= 1);
  const failed = shapes.indexOf("error");
  if (failed !== -1) {
    assert.equal(failed, shapes.length - 1);
    assert.equal(shapes.includes("message_stop"), false);
  } else assert.deepEqual(shapes.slice(-2), ["message_delta", "message_stop"]);
}
