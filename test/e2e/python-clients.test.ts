/** The official OpenAI SDK for Python and LangChain's `ChatOpenAI` against the whole gateway. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { isJsonObject } from "../../src/json.ts";
import { type Answer, fails, type RecordedRequest, says } from "../../src/simulator/simulator.ts";
import { startTestGateway, type TestGateway, uniqueModel } from "./harness.ts";
import { findPythonPackages, type Played, type PythonClients, startPythonClients } from "./python-clients.ts";

const packages = await findPythonPackages();
const options = { concurrency: true, skip: "missing" in packages && packages.missing };
let gateway: TestGateway;
let python: PythonClients;

const REQUEST_ID = /^[0-9a-f]{8}-[0-9a-f-]{27}$/;
const WRONG_KEY = `sk-${"x".repeat(43)}`;
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const WEATHER = { city: "Oslo", celsius: 4 };
const USAGE = { inputTokens: 11, outputTokens: 5, totalTokens: 16 };
const OPENAI_USAGE = { prompt_tokens: 11, completion_tokens: 5, total_tokens: 16 };
const CALLS_TOOLS: Answer = {
  kind: "message",
  content: [
    { text: "Let me look." },
    { toolUse: { toolUseId: "tooluse_1", name: "get_weather", input: { city: "Oslo" } } },
    { toolUse: { toolUseId: "tooluse_2", name: "get_weather", input: { city: "Bergen" } } },
  ],
};
const BREAKS: Answer = {
  kind: "events",
  steps: [
    { event: "messageStart", payload: { role: "assistant" } },
    { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: "Four" } } },
    { exception: "modelStreamErrorException", payload: { message: "The model failed." } },
  ],
};

before(async () => {
  if ("missing" in packages) return;
  gateway = await startTestGateway();
  python = await startPythonClients(gateway, packages.folder);
});
after(async () => {
  await python?.stop();
  await gateway?.stop();
});

describe("the OpenAI SDK for Python", options, () => {
  it("reads an answer with its usage and request id", async () => {
    const model = script(says("Four degrees.", { usage: USAGE }));
    const { request_id, ...answer } = await sees("openai_answer", { model });
    assert.deepEqual(answer, { text: "Four degrees.", finish_reason: "stop", model, usage: OPENAI_USAGE });
    assert.match(String(request_id), REQUEST_ID);
  });

  it("streams an answer, with usage in a chunk of its own when asked for", async () => {
    const model = script(says("Four degrees and rain.", { usage: USAGE, times: 2 }));
    const { choices, ...plain } = await sees("openai_stream", { model });
    assert.deepEqual(plain, { text: "Four degrees and rain.", usages: [], finish_reasons: ["stop"] });
    assert.ok(Array.isArray(choices) && choices.every((count) => count === 1), String(choices));

    const more = { stream_options: { include_usage: true } };
    const asked = await sees("openai_stream", { model, more });
    assert.deepEqual([asked.text, asked.usages], ["Four degrees and rain.", [OPENAI_USAGE]]);
    assert.deepEqual(asked.choices, [...choices, 0]);
  });

  it("streams to its asynchronous client", async () => {
    const model = script(says("Four degrees."));
    assert.deepEqual(await sees("openai_async", { model }), { text: "Four degrees." });
  });

  for (const stream of [false, true]) {
    it(`calls two tools at once and answers with their results${stream ? ", streamed" : ""}`, async () => {
      const model = script(CALLS_TOOLS, says("Four degrees in both."));
      const saw = await sees("openai_tools", { model, stream });
      assert.deepEqual(saw, {
        finish_reason: "tool_calls",
        calls: [
          ["tooluse_1", "get_weather", '{"city":"Oslo"}'],
          ["tooluse_2", "get_weather", '{"city":"Bergen"}'],
        ],
        text: "Four degrees in both.",
      });
      assert.deepEqual(toolBlocks(requestsOf(model)[1]), BOTH_CALLS);
    });
  }

  for (const [way, model, answer] of formats()) {
    it(`parses an answer into a Pydantic model, by ${way}`, async () => {
      gateway.simulator.scriptModel(model, [answer]);
      assert.deepEqual(await sees("openai_parse", { model }), { kind: "Weather", parsed: WEATHER });
    });
  }

  it("gives the request id of a raw response", async () => {
    const saw = await sees("openai_raw", { model: script(says("Four degrees.")) });
    assert.deepEqual([saw.status, saw.text], [200, "Four degrees."]);
    assert.match(String(saw.request_id), REQUEST_ID);
    assert.equal(saw.header, saw.request_id);
  });

  it("sends an image as a data URL", async () => {
    const model = script(says("A dot."));
    await sees("openai_image", { model, url: `data:image/png;base64,${PIXEL}` });
    assert.deepEqual(contentOf(requestsOf(model)[0]), [
      { text: "What is it?" },
      { image: { format: "png", source: { bytes: PIXEL } } },
    ]);
  });

  it("lists models and gets one", async () => {
    const { ids, model } = await sees("openai_models", { model: "amazon.nova-micro-v1:0" });
    assert.ok(Array.isArray(ids) && ids.includes("amazon.nova-micro-v1:0"));
    assert.deepEqual(model, { id: "amazon.nova-micro-v1:0", object: "model", owned_by: "amazon" });
  });

  it("raises AuthenticationError for a wrong key", async () => {
    const error = await raises("openai_answer", { model: uniqueModel(), options: { api_key: WRONG_KEY } });
    assert.partialDeepStrictEqual(error, { status_code: 401, code: "invalid_api_key", param: null });
    assert.equal(kindOf(error), "AuthenticationError");
    assert.match(String(error.request_id), REQUEST_ID);
  });

  it("raises BadRequestError that names the parameter", async () => {
    const error = await raises("openai_answer", { model: uniqueModel(), more: { logprobs: true } });
    assert.partialDeepStrictEqual(error, { status_code: 400, param: "logprobs", type: "invalid_request_error" });
    assert.equal(kindOf(error), "BadRequestError");
  });

  it("raises PermissionDeniedError for a model outside the key's list", async () => {
    const { secret } = await gateway.keys.create({ name: "only nova", models: ["amazon.nova-*"] });
    const error = await raises("openai_answer", { model: uniqueModel(), options: { api_key: secret } });
    assert.partialDeepStrictEqual(error, { status_code: 403, code: "model_not_allowed", param: "model" });
    assert.equal(kindOf(error), "PermissionDeniedError");
  });

  it("raises NotFoundError for a model that Bedrock does not know", async () => {
    const model = script(fails("ValidationException", { message: "The provided model identifier is invalid." }));
    const error = await raises("openai_answer", { model });
    assert.partialDeepStrictEqual(error, { status_code: 404, code: "model_not_found" });
    assert.equal(kindOf(error), "NotFoundError");
  });

  it("raises RateLimitError at once when a quota is spent, however often it may try again", async () => {
    const model = script(fails("ServiceQuotaExceededException", { times: Number.POSITIVE_INFINITY }));
    const error = await raises("openai_answer", { model, options: { max_retries: 2 } });
    assert.partialDeepStrictEqual(error, { status_code: 429, code: "insufficient_quota" });
    assert.equal(kindOf(error), "RateLimitError");
    assert.equal(requestsOf(model).length, 1);
  });

  it("raises InternalServerError when Bedrock is not available", async () => {
    const error = await raises("openai_answer", { model: script(fails("ServiceUnavailableException", { times: 9 })) });
    assert.partialDeepStrictEqual(error, { status_code: 503, code: "upstream_unavailable" });
    assert.equal(kindOf(error), "InternalServerError");
  });

  it("raises APIError for an exception inside a stream, after the text that came before", async () => {
    const { saw, raised } = await python.play("openai_stream", { model: script(BREAKS) });
    assert.deepEqual([saw.text, saw.finish_reasons], ["Four", []]);
    assert.ok(raised);
    assert.deepEqual([kindOf(raised), raised.code], ["APIError", "model_error"]);
    assert.match(String(raised.message), /The model failed\./);
  });
});

describe("LangChain for Python", options, () => {
  it("reads an answer with its usage", async () => {
    const model = script(says("Four degrees.", { usage: USAGE }));
    const saw = await sees("langchain_answer", { model });
    assert.deepEqual(saw, { text: "Four degrees.", usage: [11, 5, 16], finish_reason: "stop" });
  });

  it("streams an answer, with usage when asked for", async () => {
    const model = script(says("Four degrees and rain.", { usage: USAGE, times: 2 }));
    const plain = await sees("langchain_stream", { model });
    assert.deepEqual(plain, { text: "Four degrees and rain.", usage: null, finish_reason: "stop" });
    const asked = await sees("langchain_stream", { model, options: { stream_usage: true } });
    assert.deepEqual([asked.text, asked.usage], ["Four degrees and rain.", [11, 5, 16]]);
  });

  for (const stream of [false, true]) {
    it(`calls two tools at once and answers with their results${stream ? ", streamed" : ""}`, async () => {
      const model = script(CALLS_TOOLS, says("Four degrees in both."));
      const saw = await sees("langchain_tools", { model, stream, tool_choice: "auto" });
      assert.deepEqual(saw, {
        calls: [
          ["tooluse_1", "get_weather", { city: "Oslo" }],
          ["tooluse_2", "get_weather", { city: "Bergen" }],
        ],
        invalid_calls: 0,
        text: "Four degrees in both.",
      });
      assert.deepEqual(toolBlocks(requestsOf(model)[1]), BOTH_CALLS);
    });
  }

  for (const [tool_choice, expected] of [
    ["any", { any: {} }],
    ["get_weather", { tool: { name: "get_weather" } }],
  ] as const) {
    it(`forces a tool with tool_choice ${tool_choice}`, async () => {
      const model = script(CALLS_TOOLS, says("Four degrees."));
      await sees("langchain_tools", { model, stream: false, tool_choice });
      const sent = requestsOf(model)[0]?.json;
      assert.ok(isJsonObject(sent) && isJsonObject(sent.toolConfig));
      assert.deepEqual(sent.toolConfig.toolChoice, expected);
    });
  }

  for (const [way, model, answer] of formats()) {
    it(`gives structured output by its JSON schema, by ${way}`, async () => {
      gateway.simulator.scriptModel(model, [answer]);
      const saw = await sees("langchain_structured", { model, method: "json_schema" });
      assert.deepEqual(saw, { kind: "Weather", parsed: WEATHER });
    });
  }

  it("gives structured output by a function call", async () => {
    const model = script(calls("Weather"));
    const saw = await sees("langchain_structured", { model, method: "function_calling" });
    assert.deepEqual(saw, { kind: "Weather", parsed: WEATHER });
  });

  it("raises AuthenticationError for a wrong key", async () => {
    const error = await raises("langchain_answer", { model: uniqueModel(), options: { api_key: WRONG_KEY } });
    assert.ok(kindsOf(error).includes("AuthenticationError"), String(error.kinds));
    assert.equal(error.code, "invalid_api_key");
  });

  it("raises an error inside a stream, after the text that came before", async () => {
    const { saw, raised } = await python.play("langchain_stream", { model: script(BREAKS) });
    assert.equal(saw.text, "Four");
    assert.ok(raised && kindsOf(raised).includes("APIError"), String(raised?.kinds));
    assert.match(String(raised.message), /The model failed\./);
  });
});

const BOTH_CALLS = [
  ["toolUse", "tooluse_1"],
  ["toolUse", "tooluse_2"],
  ["toolResult", "tooluse_1"],
  ["toolResult", "tooluse_2"],
];

/** A way to get JSON, a model that takes it, and what the model says then. */
function formats(): [string, string, Answer][] {
  return [
    ["Bedrock's own format", `qwen.qwen3-32b-${uniqueModel()}`, says(JSON.stringify(WEATHER))],
    ["a tool that the client does not see", uniqueModel(), calls("json_response")],
  ];
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

async function sees(scenario: string, args: Record<string, unknown>): Promise<Played["saw"]> {
  const { saw, raised } = await python.play(scenario, args);
  assert.equal(raised, undefined);
  return saw;
}

async function raises(scenario: string, args: Record<string, unknown>): Promise<NonNullable<Played["raised"]>> {
  const { saw, raised } = await python.play(scenario, args);
  assert.ok(raised, `nothing was raised: ${JSON.stringify(saw)}`);
  return raised;
}

/** Its class and those above it, the nearest first. */
function kindsOf({ kinds }: Played["saw"]): unknown[] {
  return Array.isArray(kinds) ? kinds : [];
}

function kindOf(error: Played["saw"]): unknown {
  return kindsOf(error)[0];
}

/** The content of all messages that Bedrock was sent. */
function contentOf(request: RecordedRequest | undefined): Record<string, unknown>[] {
  const messages = isJsonObject(request?.json) && Array.isArray(request.json.messages) ? request.json.messages : [];
  return messages.flatMap(({ content }) => content);
}

/** Kind and id of every tool block in them. */
function toolBlocks(request: RecordedRequest | undefined): unknown[] {
  return contentOf(request).flatMap((block) =>
    Object.entries(block)
      .filter(([kind, content]) => kind.startsWith("tool") && isJsonObject(content))
      .map(([kind, content]) => [kind, isJsonObject(content) ? content.toolUseId : undefined]),
  );
}
