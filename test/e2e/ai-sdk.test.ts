/** The Vercel AI SDK against the whole gateway: its OpenAI provider speaks Responses unless it is told otherwise. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { isJsonObject } from "../../src/json.ts";
import { type Answer, fails, type RecordedRequest, says } from "../../src/simulator/simulator.ts";
import { startTestGateway, uniqueModel } from "./harness.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());
const openai = createOpenAI({ apiKey: gateway.key, baseURL: `${gateway.url}/v1` });

const PROMPT = "How warm is it in Oslo?";
const WEATHER = { city: "Oslo", celsius: 4 };
const CALL = { toolUse: { toolUseId: "tooluse_1", name: "getWeather", input: { city: "Oslo" } } };
const THOUGHT = { reasoningContent: { reasoningText: { text: "I should look.", signature: "c2lnbmVk" } } };
const tools = {
  getWeather: tool({
    description: "The weather now",
    inputSchema: jsonSchema<{ city: string }>({
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
    }),
    execute: async ({ city }) => ({ city, celsius: 4 }),
  }),
};

describe("the AI SDK", { concurrency: true }, () => {
  it("streams a text with its usage", async () => {
    const usage = { inputTokens: 7, outputTokens: 3, totalTokens: 10, cacheReadInputTokens: 90 };
    const model = script(says("Four degrees and rain.", { usage }));
    const result = streamText({ model: openai(model), prompt: PROMPT });
    assert.equal((await Array.fromAsync(result.textStream)).join(""), "Four degrees and rain.");
    assert.equal(await result.finishReason, "stop");
    assert.partialDeepStrictEqual(await result.usage, { inputTokens: 97, outputTokens: 3, cachedInputTokens: 90 });
    assert.deepEqual(await result.warnings, []);
  });

  it("calls a tool and streams the answer to its result, by its defaults", async () => {
    const model = script({ kind: "message", content: [CALL] }, says("It is four degrees."));
    const result = streamText({ model: openai(model), prompt: PROMPT, tools, stopWhen: stepCountIs(3) });
    assert.equal((await Array.fromAsync(result.textStream)).join(""), "It is four degrees.");
    assert.equal((await result.steps).length, 2);
    assert.deepEqual(historyOf(model), [[CALL], [resultOf({ city: "Oslo", celsius: 4 })]]);
  });

  it("goes on thinking behind a tool's result when answers are not stored", async () => {
    const model = `anthropic.claude-sonnet-4-5-${uniqueModel()}`;
    const first: Answer = { kind: "message", content: [THOUGHT, { text: "Let me look." }, CALL] };
    gateway.simulator.scriptModel(model, [first, says("It is four degrees.")]);
    const result = streamText({
      model: openai(model),
      prompt: PROMPT,
      tools,
      stopWhen: stepCountIs(3),
      // The SDK knows reasoning models by their names, which are OpenAI's.
      providerOptions: {
        openai: { store: false, reasoningEffort: "low", reasoningSummary: "auto", forceReasoning: true },
      },
    });
    assert.equal((await Array.fromAsync(result.textStream)).join(""), "Let me look.It is four degrees.");
    const [step] = await result.steps;
    assert.equal(step?.reasoningText, "I should look.");
    assert.deepEqual(historyOf(model), [[THOUGHT, { text: "Let me look." }, CALL], [resultOf(WEATHER)]]);
  });

  it("is told what to do when it refers to an answer that is not stored", async () => {
    const model = script({ kind: "message", content: [{ text: "Let me look." }, CALL] });
    const answer = generateText({ model: openai(model), prompt: PROMPT, tools, stopWhen: stepCountIs(3) });
    await assert.rejects(answer, (error) => {
      assert.ok(APICallError.isInstance(error));
      assert.equal(error.statusCode, 400);
      assert.match(error.message, /providerOptions\.openai\.store/);
      return true;
    });
  });

  it("generates an object by its schema", async () => {
    const model = `qwen.qwen3-32b-${uniqueModel()}`;
    gateway.simulator.scriptModel(model, [says(JSON.stringify(WEATHER))]);
    const schema = jsonSchema<typeof WEATHER>({
      type: "object",
      properties: { city: { type: "string" }, celsius: { type: "integer" } },
      required: ["city", "celsius"],
      additionalProperties: false,
    });
    const { object } = await generateObject({ model: openai(model), prompt: PROMPT, schema });
    assert.deepEqual(object, WEATHER);
  });

  it("says that an answer was cut off", async () => {
    const model = script({ kind: "message", content: [{ text: "Four" }], stopReason: "max_tokens" });
    const { text, finishReason } = await generateText({ model: openai(model), prompt: PROMPT });
    assert.deepEqual([text, finishReason], ["Four", "length"]);
  });

  it("hears of an error inside a stream", async () => {
    const model = script({
      kind: "events",
      steps: [
        { event: "messageStart", payload: { role: "assistant" } },
        { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: "Four" } } },
        { exception: "modelStreamErrorException", payload: { message: "The model failed." } },
      ],
    });
    const errors: unknown[] = [];
    const result = streamText({
      model: openai(model),
      prompt: PROMPT,
      maxRetries: 0,
      onError: ({ error }) => void errors.push(error),
    });
    const parts = await Array.fromAsync(result.fullStream);
    assert.ok(parts.some(({ type }) => type === "error"));
    assert.match(JSON.stringify(errors), /The model failed\./);
    assert.equal(errors.length, 1);
  });

  it("rejects with the status of a refused request", async () => {
    const model = script(fails("ValidationException", { message: "The provided model identifier is invalid." }));
    const answer = generateText({ model: openai(model), prompt: PROMPT, maxRetries: 0 });
    await assert.rejects(answer, (error) => APICallError.isInstance(error) && error.statusCode === 404);
  });
});

function script(...answers: Answer[]): string {
  const model = uniqueModel();
  gateway.simulator.scriptModel(model, answers);
  return model;
}

function requestsOf(model: string): RecordedRequest[] {
  return gateway.simulator.requests.filter(({ modelId }) => modelId === model);
}

/** What the second request's turns behind the question hold. */
function historyOf(model: string): unknown[] {
  const sent = requestsOf(model)[1]?.json;
  assert.ok(isJsonObject(sent) && Array.isArray(sent.messages));
  return sent.messages.slice(1).map(({ content }) => content);
}

function resultOf(result: unknown): unknown {
  return { toolResult: { toolUseId: "tooluse_1", content: [{ text: JSON.stringify(result) }] } };
}
