/** The official OpenAI SDK's Responses client against the whole gateway. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import OpenAI, { APIError, BadRequestError, RateLimitError } from "openai";
import { isJsonObject } from "../../src/json.ts";
import { type Answer, fails, type RecordedRequest, says } from "../../src/simulator/simulator.ts";
import { startTestGateway, uniqueModel } from "./harness.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());
const openai = new OpenAI({ apiKey: gateway.key, maxRetries: 0, baseURL: `${gateway.url}/v1` });

type Response = OpenAI.Responses.Response;
type Input = OpenAI.Responses.ResponseInputItem;

const QUESTION: Input = { role: "user", content: "How warm is it in Oslo?" };
const WEATHER = { city: "Oslo", celsius: 4 };
const TOOLS: OpenAI.Responses.Tool[] = [
  {
    type: "function",
    name: "get_weather",
    description: "The weather now",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    strict: false,
  },
];
const THINKS_AND_CALLS: Answer = {
  kind: "message",
  content: [
    { reasoningContent: { reasoningText: { text: "I should look.", signature: "c2lnbmVk" } } },
    { text: "Let me look." },
    { toolUse: { toolUseId: "tooluse_1", name: "get_weather", input: { city: "Oslo" } } },
  ],
};
const FORMAT = {
  type: "json_schema",
  name: "weather",
  strict: true,
  schema: {
    type: "object",
    properties: { city: { type: "string" }, celsius: { type: "integer" } },
    required: ["city", "celsius"],
    additionalProperties: false,
  },
} as const;

describe("the OpenAI SDK's responses", { concurrency: true }, () => {
  it("are read with their text and usage", async () => {
    const usage = { inputTokens: 7, outputTokens: 3, totalTokens: 10, cacheReadInputTokens: 90 };
    const model = script(says("Four degrees.", { usage }));
    const answer = await openai.responses.create({ model, input: "How warm is it?", instructions: "Be brief." });
    assert.equal(answer.output_text, "Four degrees.");
    assert.deepEqual([answer.status, answer.model], ["completed", model]);
    assert.deepEqual(
      [answer.usage?.input_tokens, answer.usage?.output_tokens, answer.usage?.total_tokens],
      [97, 3, 100],
    );
    assert.equal(answer.usage?.input_tokens_details.cached_tokens, 90);
    assert.match(answer.id, /^resp_[0-9a-f]{32}$/);
    const sent = requestsOf(model)[0]?.json;
    assert.ok(isJsonObject(sent));
    assert.deepEqual(sent.system, [{ text: "Be brief." }]);
  });

  it("are the same, streamed and whole", async () => {
    const model = script(THINKS_AND_CALLS, THINKS_AND_CALLS);
    const request = { model, input: [QUESTION], tools: TOOLS };
    const whole = await openai.responses.create(request);
    const streamed = await openai.responses.stream(request).finalResponse();
    assert.deepEqual(shapeOf(streamed), shapeOf(whole));
  });

  it("stream events in order, each with its number and name", async () => {
    const model = script(says("Four degrees and some rain."));
    const stream = await openai.responses.create({ model, input: "How warm is it?", stream: true });
    const events = await Array.fromAsync(stream);
    assert.deepEqual(
      events.map(({ sequence_number }) => sequence_number),
      events.map((_event, index) => index),
    );
    assert.deepEqual(
      [...new Set(events.map(({ type }) => type))],
      [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
      ],
    );
    const text = events.flatMap((event) => (event.type === "response.output_text.delta" ? event.delta : []));
    assert.equal(text.join(""), "Four degrees and some rain.");
  });

  for (const stream of [false, true]) {
    it(`go on thinking when a tool's result comes back${stream ? ", streamed" : ""}`, async () => {
      const model = `anthropic.claude-sonnet-4-5-${uniqueModel()}`;
      gateway.simulator.scriptModel(model, [THINKS_AND_CALLS, says("It is four degrees.")]);
      const input: Input[] = [QUESTION];
      const first = await complete(model, input, stream);
      const call = first.output.find((item) => item.type === "function_call");
      assert.deepEqual(
        first.output.map(({ type }) => type),
        ["reasoning", "message", "function_call"],
      );
      assert.deepEqual([call?.call_id, call?.name, call?.arguments], ["tooluse_1", "get_weather", '{"city":"Oslo"}']);

      // As OpenAI's documentation does it: all of the output goes back.
      input.push(...(first.output as Input[]));
      input.push({ type: "function_call_output", call_id: "tooluse_1", output: '{"celsius":4}' });
      const second = await complete(model, input, stream);
      assert.equal(second.output_text, "It is four degrees.");

      const sent = requestsOf(model)[1]?.json;
      assert.ok(isJsonObject(sent) && Array.isArray(sent.messages));
      assert.deepEqual(sent.messages[1].content, THINKS_AND_CALLS.kind === "message" && THINKS_AND_CALLS.content);
      assert.deepEqual(sent.additionalModelRequestFields, { thinking: { type: "enabled", budget_tokens: 2048 } });
    });
  }

  for (const [way, model, answer] of [
    ["Bedrock's own format", `qwen.qwen3-32b-${uniqueModel()}`, says(JSON.stringify(WEATHER))],
    [
      "a tool that the client does not see",
      uniqueModel(),
      { kind: "message", content: [{ toolUse: { toolUseId: "t", name: "json_response", input: WEATHER } }] },
    ],
  ] as const) {
    it(`are parsed into a structured output, by ${way}`, async () => {
      gateway.simulator.scriptModel(model, [answer]);
      const parsed = await openai.responses.parse({ model, input: "The weather in Oslo", text: { format: FORMAT } });
      assert.deepEqual(JSON.parse(parsed.output_text), WEATHER);
      assert.deepEqual(parsed.output_parsed, WEATHER);
    });
  }

  it("call tools of a namespace, and tools that take text", async () => {
    const model = script({
      kind: "message",
      content: [
        { toolUse: { toolUseId: "a", name: "git__log", input: { n: 1 } } },
        { toolUse: { toolUseId: "b", name: "apply_patch", input: { input: '*** Begin "Patch"\n' } } },
      ],
    });
    const { output } = await openai.responses
      .stream({
        model,
        input: "Go",
        tools: [
          {
            type: "namespace",
            name: "git",
            description: "Git",
            tools: [{ type: "function", name: "log", parameters: { type: "object", properties: {} } }],
          },
          { type: "custom", name: "apply_patch", format: { type: "text" } },
          { type: "web_search" },
        ],
      })
      .finalResponse();
    assert.partialDeepStrictEqual(output, [
      { type: "function_call", call_id: "a", name: "log", namespace: "git", arguments: '{"n":1}' },
      { type: "custom_tool_call", call_id: "b", name: "apply_patch", input: '*** Begin "Patch"\n' },
    ]);
  });

  it("are incomplete when the model was cut off", async () => {
    const cut: Answer = { kind: "message", content: [{ text: "Four and" }], stopReason: "max_tokens" };
    const model = script(cut, cut);
    const whole = await openai.responses.create({ model, input: "Go", max_output_tokens: 3 });
    const streamed = await openai.responses.stream({ model, input: "Go", max_output_tokens: 3 }).finalResponse();
    for (const { status, incomplete_details, output_text, output } of [whole, streamed]) {
      assert.deepEqual([status, incomplete_details], ["incomplete", { reason: "max_output_tokens" }]);
      assert.equal(output_text, "Four and");
      assert.partialDeepStrictEqual(output, [{ type: "message", status: "incomplete" }]);
    }
  });

  it("raise what goes wrong inside a stream, after the text that came before", async () => {
    const model = script(breaks());
    let text = "";
    const reading = async () => {
      for await (const event of await openai.responses.create({ model, input: "Go", stream: true }))
        if (event.type === "response.output_text.delta") text += event.delta;
    };
    await assert.rejects(reading, (error) => {
      assert.ok(error instanceof APIError);
      assert.equal(error.code, "model_error");
      assert.match(error.message, /The model failed\./);
      return true;
    });
    assert.equal(text, "Four");
  });

  it("end a failed stream with response.failed and nothing behind it", async () => {
    const model = script(breaks());
    const answer = await gateway.chat({ model, input: "Go", stream: true }, { path: "/v1/responses" });
    const events = (await answer.text()).trimEnd().split("\n\n");
    const last = JSON.parse(events.at(-1)?.split("data: ")[1] ?? "");
    assert.equal(last.type, "response.failed");
    assert.equal(last.sequence_number, events.length - 1);
    assert.deepEqual([last.response.status, last.response.error.code], ["failed", "server_error"]);
    assert.doesNotMatch(events.join(""), /response\.completed|\[DONE\]/);
  });

  it("refuse what is not stored here, by the parameter's name", async () => {
    const request = { model: uniqueModel(), input: "Go" };
    for (const more of [
      { previous_response_id: "resp_1" },
      { store: true },
      { background: true },
      { conversation: "conv_1" },
      { prompt: { id: "pmpt_1" } },
    ]) {
      await assert.rejects(openai.responses.create({ ...request, ...more }), (error) => {
        assert.ok(error instanceof BadRequestError);
        assert.deepEqual([error.status, error.param], [400, Object.keys(more)[0]]);
        return true;
      });
    }
  });

  it("are refused before they begin as any other request is", async () => {
    const model = script(fails("ThrottlingException", { message: "Too many requests.", times: 3 }));
    await assert.rejects(openai.responses.create({ model, input: "Go", stream: true }), RateLimitError);
  });

  it("are counted in the ledger", async () => {
    const model = script(says("Hi.", { usage: { inputTokens: 11, outputTokens: 5, totalTokens: 16 } }));
    const { response } = await openai.responses.create({ model, input: "Go" }).withResponse();
    const call = await gateway.closedCall(response.headers.get("x-request-id"));
    assert.equal(call.dialect, "openai-responses");
    assert.equal(call.closing?.usage.outputTokens, 5);
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

function breaks(): Answer {
  return {
    kind: "events",
    steps: [
      { event: "messageStart", payload: { role: "assistant" } },
      { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: "Four" } } },
      { exception: "modelStreamErrorException", payload: { message: "The model failed." } },
    ],
  };
}

async function complete(model: string, input: Input[], stream: boolean): Promise<Response> {
  const request = {
    model,
    input,
    tools: TOOLS,
    store: false,
    include: ["reasoning.encrypted_content" as const],
    reasoning: { effort: "low", summary: "auto" } as const,
  };
  return stream ? openai.responses.stream(request).finalResponse() : openai.responses.create(request);
}

/** Without what is new each time. */
function shapeOf(response: Response): unknown {
  const { id: _id, created_at: _created, ...rest } = response;
  const text = JSON.stringify(rest, (key, value: unknown) => (key.includes("parsed") ? undefined : value));
  return JSON.parse(text.replaceAll(/_[0-9a-f]{32}_/g, "_"));
}
