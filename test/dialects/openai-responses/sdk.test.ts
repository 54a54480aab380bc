/** What is answered, judged by the official SDK: its types at compile time, and every golden stream as a client reads it. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import OpenAI, { APIError } from "openai";
import type { ImageItem, OutputItem, Response, StreamEvent } from "../../../src/dialects/openai-responses/types.ts";

type Sdk = OpenAI.Responses.Response;
/** What the request said is repeated as it came; `output_text` is the SDK's own; OpenAI too writes a `user` of null. */
type Repeated = "instructions" | "metadata" | "reasoning" | "text" | "tool_choice" | "tools" | "user" | "output_text";
/** Narrower in the SDK than what servers send: codes of errors and tiers that it does not know, no usage while it runs. */
type Wider = "error" | "service_tier" | "usage";
/** Each event type by itself. The error's members lie inside `error` on the wire, where the SDK looks for them. */
type Events<E = Exclude<StreamEvent, { type: "error" } | { response: unknown }>> = E extends { type: infer T }
  ? T extends string
    ? Omit<E, "type"> & { type: T; sequence_number: number }
    : never
  : never;

// These compile, or the SDK's types and ours have parted.
export const judged = [
  (response: Omit<Response, Repeated | Wider>): Omit<Sdk, Repeated | Wider> => response,
  (usage: NonNullable<Response["usage"]>): NonNullable<Sdk["usage"]> => usage,
  (item: Exclude<OutputItem, { type: "image_generation_call" }>): OpenAI.Responses.ResponseOutputItem => item,
  (item: ImageItem): OpenAI.Responses.ResponseOutputItem.ImageGenerationCall => item,
  (event: Events): OpenAI.Responses.ResponseStreamEvent => event,
];

const FOLDER = new URL("../../golden/openai-responses/", import.meta.url);
const NAMES = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".sse"))
  .map((name) => name.replace(".sse", ""));

describe("the OpenAI SDK", () => {
  for (const name of NAMES) {
    const text = readFileSync(new URL(`${name}.sse`, FOLDER), "utf8");
    if (text.includes("event: error")) it(`raises the error of ${name}`, () => assert.rejects(final(text), APIError));
    else it(`accumulates ${name} to what its last event says`, async () => checkStream(text));
  }

  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith(".reply.json"))) {
    it(`reads ${file}`, async () => {
      const reply = readFileSync(new URL(file, FOLDER), "utf8");
      const fetch = async () => new globalThis.Response(reply, { headers: { "content-type": "application/json" } });
      const answer = await client(fetch).responses.create({ model: "test-model", input: "Hi" });
      const texts = answer.output.flatMap((item) => (item.type === "message" ? item.content : []));
      assert.equal(answer.output_text, texts.map((part) => (part.type === "output_text" ? part.text : "")).join(""));
      const { usage } = answer;
      assert.equal(usage?.total_tokens, (usage?.input_tokens ?? 0) + (usage?.output_tokens ?? 0));
    });
  }

  it("has golden files to read", () => {
    assert.ok(existsSync(FOLDER) && NAMES.length > 10);
  });
});

async function checkStream(text: string): Promise<void> {
  const events = text
    .split("\n\n")
    .filter((event) => event !== "")
    .map((event) => {
      const [name, data] = event.split("\n");
      const parsed = JSON.parse(data?.slice("data: ".length) ?? "");
      assert.equal(name, `event: ${parsed.type}`);
      return parsed;
    });
  assert.deepEqual(
    events.map(({ sequence_number }) => sequence_number),
    events.map((_event, index) => index),
  );
  const last = events.at(-1);
  assert.ok(["response.completed", "response.incomplete"].includes(last.type), last.type);

  // The accumulator takes the last event's word for the whole, so it is given the stream without it too.
  const whole = await final(text);
  assert.deepEqual(plain(whole.output), last.response.output);
  const before = await final(text.slice(0, text.lastIndexOf("event: ")));
  assert.deepEqual(plain(before.output), last.response.output);
}

function final(text: string): Promise<Sdk> {
  const fetch = async () => new globalThis.Response(text, { headers: { "content-type": "text/event-stream" } });
  return client(fetch).responses.stream({ model: "test-model", input: "Hi" }).finalResponse();
}

function client(fetch: typeof globalThis.fetch): OpenAI {
  return new OpenAI({ apiKey: "sk-test", baseURL: "http://localhost/v1", fetch, maxRetries: 0 });
}

/** Without what the SDK adds. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (key, inner: unknown) => (key.startsWith("parsed") ? undefined : inner)));
}
