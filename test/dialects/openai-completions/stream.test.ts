/** Streams, read by the official SDK as a client would read them, with their text cut everywhere. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import OpenAI, { APIError } from "openai";
import type { ConverseEvent } from "../../../src/bedrock/converse.ts";
import { converseResponse } from "../../../src/bedrock/converse-response.ts";
import { openaiCompletions } from "../../../src/dialects/openai-completions/index.ts";
import { encodeEvent } from "../../../src/dialects/sse.ts";
import { GatewayError } from "../../../src/errors.ts";

const FOLDER = new URL("../../golden/openai-completions/", import.meta.url);
const META = { id: "1", created: 1 };
const USAGE = { inputTokens: 3, outputTokens: 2 };

describe("the OpenAI SDK", () => {
  for (const name of readdirSync(FOLDER).filter((file) => file.endsWith(".sse"))) {
    const text = readFileSync(new URL(name, FOLDER), "utf8");
    if (text.includes('"error"')) it(`raises the error of ${name}`, () => assert.rejects(chunksOf(text), APIError));
    else {
      it(`reads ${name}`, async () => {
        const chunks = await chunksOf(text);
        assert.equal(
          new Set(chunks.map(({ id, created, model, object }) => `${id} ${created} ${model} ${object}`)).size,
          1,
        );
        const ends = chunks.flatMap(({ choices }) => choices.map(({ finish_reason }) => finish_reason));
        assert.deepEqual(ends.filter(Boolean), [ends.at(-1)]);
        const empty = chunks.filter(({ choices: [choice] }) => choice?.text === "" && !choice.finish_reason);
        assert.deepEqual(empty, []);
      });
    }
  }
});

describe("a stream", () => {
  const bodies: [what: string, body: object, said: string][] = [
    ["of a plain answer", { prompt: "Hi" }, "Hello, world"],
    ["with stops", { prompt: "Q: ?\nA:", stop: ["\n", "END"] }, "\nFour EN\nQ: five"],
    ["with an echo", { prompt: "Hi ", echo: true, stop: "." }, "there. You"],
    ["of a gap", { prompt: "a = ", suffix: "\nb = 2\n", stop: ["\n\n"] }, "Well: <middle>1\n\n</middle> is it."],
    ["of a gap and an echo", { prompt: "<PRE> a = <SUF>\nb <MID>", echo: true }, "```\n1\n```"],
  ];
  for (const [what, body, said] of bodies) {
    it(`${what} says what the whole answer says, wherever its text is cut`, async () => {
      const whole = wholeText(body, said);
      for (let at = 0; at <= said.length; at += 1)
        assert.deepEqual(await streamed(body, [said.slice(0, at), said.slice(at)]), whole, `cut at ${at}`);
      assert.deepEqual(await streamed(body, [...said]), whole);
    });
  }

  it("tells the tokens of all its choices once, when asked", async () => {
    const asked = { prompt: ["a", "b"], stream_options: { include_usage: true } };
    const chunks = await chunksOf(render(asked, [["x"], ["y"]]));
    const usages = chunks.flatMap(({ usage }) => usage ?? []);
    assert.deepEqual(
      usages.map(({ total_tokens }) => total_tokens),
      [10],
    );
    assert.deepEqual(chunks.at(-1)?.choices, []);
    assert.ok(chunks.slice(0, -1).every(({ usage }) => usage === null));
    assert.doesNotMatch(render({ prompt: ["a", "b"] }, [["x"], ["y"]]), /usage/);
  });

  it("numbers the choices of several prompts prompt by prompt", async () => {
    const body = { prompt: ["a", "b"], n: 2, echo: true };
    const chunks = await chunksOf(render(body, [["1"], ["2"], ["3"], ["4"]]));
    const texts = ["", "", "", ""];
    for (const { choices } of chunks) for (const { index, text } of choices) texts[index] += text;
    assert.deepEqual(texts, ["a1", "a2", "b3", "b4"]);
    const { request, requests } = decode(body);
    const prompts = requests?.map(({ messages }) => messages[0]?.content[0]);
    assert.deepEqual(
      prompts,
      ["a", "a", "b", "b"].map((text) => ({ text })),
    );
    assert.equal(requests?.[0], request);
  });

  it("is not complete when it was cut", () => {
    const machine = decode({ prompt: "Hi" }).events(0);
    for (const event of events(["a"]).slice(0, 2)) [...machine.push(event)];
    assert.throws(() => [...machine.end()], GatewayError);
  });
});

function decode(body: object) {
  return openaiCompletions.decode({ model: "m", stream: true, ...body }, META);
}

function events(pieces: string[]): ConverseEvent[] {
  return [
    { type: "messageStart", role: "assistant" },
    ...pieces.map((text): ConverseEvent => ({ type: "contentBlockDelta", index: 0, delta: { text } })),
    { type: "contentBlockStop", index: 0 },
    { type: "messageStop", stopReason: "max_tokens" },
    { type: "metadata", usage: USAGE },
  ];
}

function render(body: object, choices: string[][]): string {
  const conversation = decode(body);
  const out = choices.flatMap((pieces, choice) => {
    const machine = conversation.events(choice);
    return [...events(pieces).flatMap((event) => [...machine.push(event)]), ...machine.end()];
  });
  return [...out, ...conversation.closing()].map((event) => encodeEvent(event).toString()).join("");
}

async function streamed(body: object, pieces: string[]): Promise<{ text: string; finish: unknown }> {
  const chunks = await chunksOf(render(body, [pieces]));
  const choices = chunks.flatMap((chunk) => chunk.choices);
  return { text: choices.map(({ text }) => text).join(""), finish: choices.at(-1)?.finish_reason };
}

function wholeText(body: object, text: string): { text: string; finish: unknown } {
  const response = converseResponse({
    output: { message: { role: "assistant", content: [{ text }] } },
    stopReason: "max_tokens",
    usage: USAGE,
  });
  const reply = JSON.parse(JSON.stringify(decode(body).reply([response])));
  return { text: reply.choices[0].text, finish: reply.choices[0].finish_reason };
}

async function chunksOf(text: string): Promise<OpenAI.Completion[]> {
  const fetch = async () => new Response(text, { headers: { "content-type": "text/event-stream" } });
  const client = new OpenAI({ apiKey: "sk-test", baseURL: "http://localhost/v1", fetch, maxRetries: 0 });
  return Array.fromAsync(await client.completions.create({ model: "m", prompt: "Hi", stream: true }));
}
