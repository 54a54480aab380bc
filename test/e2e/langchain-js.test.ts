/** LangChain's `ChatOpenAI` for JavaScript against the whole gateway: it, and n8n on top of it, ask for usage in every stream. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { type AIMessageChunk, HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { isJsonObject } from "../../src/json.ts";
import { type Answer, type RecordedRequest, says } from "../../src/simulator/simulator.ts";
import { startTestGateway, uniqueModel } from "./harness.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());

const QUESTION = "How warm is it in Oslo?";
const USAGE = { inputTokens: 11, outputTokens: 5, totalTokens: 16 };
const WEATHER = { city: "Oslo", celsius: 4 };
const WEATHER_SCHEMA = {
  title: "weather",
  type: "object",
  properties: { city: { type: "string" }, celsius: { type: "integer" } },
  required: ["city", "celsius"],
  additionalProperties: false,
};
const getWeather = tool(async () => '{"celsius":4}', {
  name: "get_weather",
  description: "The weather now",
  schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
});
const CALLS_TOOLS: Answer = {
  kind: "message",
  content: [
    { text: "Let me look." },
    { toolUse: { toolUseId: "tooluse_1", name: "get_weather", input: { city: "Oslo" } } },
    { toolUse: { toolUseId: "tooluse_2", name: "get_weather", input: { city: "Bergen" } } },
  ],
};

describe("LangChain for JavaScript", { concurrency: true }, () => {
  it("reads an answer with its usage", async () => {
    const answer = await chatModel(script(says("Four degrees.", { usage: USAGE }))).invoke(QUESTION);
    assert.equal(answer.text, "Four degrees.");
    assert.partialDeepStrictEqual(answer.usage_metadata, { input_tokens: 11, output_tokens: 5, total_tokens: 16 });
    assert.equal(answer.response_metadata.finish_reason, "stop");
  });

  it("streams an answer with its usage", async () => {
    const stream = await chatModel(script(says("Four degrees and rain.", { usage: USAGE }))).stream(QUESTION);
    const answer = await joined(stream);
    assert.equal(answer.text, "Four degrees and rain.");
    assert.partialDeepStrictEqual(answer.usage_metadata, { input_tokens: 11, output_tokens: 5, total_tokens: 16 });
    assert.equal(answer.response_metadata.finish_reason, "stop");
  });

  for (const streaming of [false, true]) {
    it(`calls two tools at once and answers with their results${streaming ? ", streamed" : ""}`, async () => {
      const model = script(CALLS_TOOLS, says("Four degrees in both."));
      const bound = chatModel(model).bindTools([getWeather], { tool_choice: "any", parallel_tool_calls: true });
      const complete = async (messages: (HumanMessage | AIMessageChunk | ToolMessage)[]) =>
        streaming ? joined(await bound.stream(messages)) : bound.invoke(messages);

      const first = await complete([new HumanMessage(QUESTION)]);
      const calls = first.tool_calls ?? [];
      assert.deepEqual(
        calls.map(({ id, name, args }) => [id, name, args]),
        [
          ["tooluse_1", "get_weather", { city: "Oslo" }],
          ["tooluse_2", "get_weather", { city: "Bergen" }],
        ],
      );
      const results = calls.map(({ id = "" }) => new ToolMessage({ tool_call_id: id, content: '{"celsius":4}' }));
      const second = await complete([new HumanMessage(QUESTION), first, ...results]);
      assert.equal(second.text, "Four degrees in both.");

      const [forced, answered] = requestsOf(model).map(({ json }) => json);
      assert.ok(isJsonObject(forced) && isJsonObject(forced.toolConfig) && isJsonObject(answered));
      assert.deepEqual(forced.toolConfig.toolChoice, { any: {} });
      assert.deepEqual(toolBlocks(answered.messages), [
        ["toolUse", "tooluse_1"],
        ["toolUse", "tooluse_2"],
        ["toolResult", "tooluse_1"],
        ["toolResult", "tooluse_2"],
      ]);
    });
  }

  for (const [way, model, answer] of [
    ["Bedrock's own format", `qwen.qwen3-32b-${uniqueModel()}`, says(JSON.stringify(WEATHER))],
    ["a tool that the client does not see", uniqueModel(), calls("json_response")],
  ] as const) {
    it(`gives structured output by its JSON schema, by ${way}`, async () => {
      gateway.simulator.scriptModel(model, [answer]);
      const structured = chatModel(model).withStructuredOutput(WEATHER_SCHEMA, { method: "jsonSchema" });
      assert.deepEqual(await structured.invoke(QUESTION), WEATHER);
    });
  }

  it("gives structured output by a function call", async () => {
    const structured = chatModel(script(calls("weather"))).withStructuredOutput(WEATHER_SCHEMA, {
      name: "weather",
      method: "functionCalling",
    });
    assert.deepEqual(await structured.invoke(QUESTION), WEATHER);
  });

  it("rejects with the status and code of a wrong key", async () => {
    const answer = chatModel(uniqueModel(), `sk-${"x".repeat(43)}`).invoke(QUESTION);
    await assert.rejects(answer, { status: 401, code: "invalid_api_key" });
  });

  it("rejects inside a stream that fails, after the text that came before", async () => {
    const model = script({
      kind: "events",
      steps: [
        { event: "messageStart", payload: { role: "assistant" } },
        { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: "Four" } } },
        { exception: "modelStreamErrorException", payload: { message: "The model failed." } },
      ],
    });
    let text = "";
    const reading = async () => {
      for await (const chunk of await chatModel(model).stream(QUESTION)) text += chunk.text;
    };
    await assert.rejects(reading, /The model failed\./);
    assert.equal(text, "Four");
  });
});

describe("LangChain for JavaScript with useResponsesApi", { concurrency: true }, () => {
  const THINKS_AND_CALLS = [
    { reasoningContent: { reasoningText: { text: "I should look.", signature: "c2lnbmVk" } } },
    { text: "Let me look." },
    { toolUse: { toolUseId: "tooluse_1", name: "get_weather", input: { city: "Oslo" } } },
  ];

  for (const streaming of [false, true]) {
    const title = streaming
      ? "goes on without thinking, streamed: it keeps no reasoning of a stream"
      : "goes on thinking";
    it(`${title}, when a tool's result comes back`, async () => {
      const model = `anthropic.claude-sonnet-4-5-${uniqueModel()}`;
      const answers: Answer[] = [
        { kind: "message", content: THINKS_AND_CALLS },
        says("Four degrees.", { usage: USAGE }),
      ];
      gateway.simulator.scriptModel(model, answers);
      const bound = responsesModel(model).bindTools([getWeather]);
      const complete = async (messages: (HumanMessage | AIMessageChunk | ToolMessage)[]) =>
        streaming ? joined(await bound.stream(messages)) : bound.invoke(messages);

      const first = await complete([new HumanMessage(QUESTION)]);
      const [call] = first.tool_calls ?? [];
      assert.deepEqual([call?.id, call?.name, call?.args], ["tooluse_1", "get_weather", { city: "Oslo" }]);
      const result = new ToolMessage({ tool_call_id: "tooluse_1", content: '{"celsius":4}' });
      const second = await complete([new HumanMessage(QUESTION), first, result]);
      assert.equal(second.text, "Four degrees.");
      assert.partialDeepStrictEqual(second.usage_metadata, { input_tokens: 11, output_tokens: 5, total_tokens: 16 });

      const sent = requestsOf(model)[1]?.json;
      assert.ok(isJsonObject(sent) && Array.isArray(sent.messages));
      assert.deepEqual(sent.messages[1].content, streaming ? THINKS_AND_CALLS.slice(1) : THINKS_AND_CALLS);
    });
  }

  it("rejects inside a stream that fails, after the text that came before", async () => {
    const model = script({
      kind: "events",
      steps: [
        { event: "messageStart", payload: { role: "assistant" } },
        { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: "Four" } } },
        { exception: "modelStreamErrorException", payload: { message: "The model failed." } },
      ],
    });
    let text = "";
    const reading = async () => {
      for await (const chunk of await responsesModel(model).stream(QUESTION)) text += chunk.text;
    };
    await assert.rejects(reading, /The model failed\./);
    assert.equal(text, "Four");
  });
});

function responsesModel(model: string): ChatOpenAI {
  return new ChatOpenAI({
    model,
    apiKey: gateway.key,
    useResponsesApi: true,
    // Answers are not stored: it sends the items themselves.
    zdrEnabled: true,
    reasoning: { effort: "low", summary: "auto" },
    maxRetries: 0,
    timeout: 30_000,
    configuration: { baseURL: `${gateway.url}/v1` },
  });
}

function chatModel(model: string, apiKey = gateway.key): ChatOpenAI {
  // By itself it would wait for ten minutes.
  return new ChatOpenAI({
    model,
    apiKey,
    maxRetries: 0,
    timeout: 30_000,
    configuration: { baseURL: `${gateway.url}/v1` },
  });
}

async function joined(stream: AsyncIterable<AIMessageChunk>): Promise<AIMessageChunk> {
  const [first, ...rest] = await Array.fromAsync(stream);
  assert.ok(first);
  return rest.reduce((whole, chunk) => whole.concat(chunk), first);
}

function calls(name: string): Answer {
  return { kind: "message", content: [{ toolUse: { toolUseId: "tooluse_1", name, input: WEATHER } }] };
}

function script(...answers: Answer[]): string {
  const model = uniqueModel();
  gateway.simulator.scriptModel(model, answers);
  return model;
}

function requestsOf(model: string): RecordedRequest[] {
  return gateway.simulator.requests.filter(({ modelId }) => modelId === model);
}

/** Kind and id of every tool block in Converse's messages. */
function toolBlocks(messages: unknown): unknown[] {
  assert.ok(Array.isArray(messages));
  return messages.flatMap(({ content }) =>
    content.flatMap((block: Record<string, { toolUseId: string }>) =>
      Object.entries(block)
        .filter(([kind]) => kind.startsWith("tool"))
        .map(([kind, { toolUseId }]) => [kind, toolUseId]),
    ),
  );
}
