/** The official OpenAI SDK against the whole gateway: what a developer's tool sees. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import OpenAI, {
  APIError,
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
} from "openai";
import { isJsonObject } from "../../src/json.ts";
import { type Answer, fails, type RecordedRequest, says } from "../../src/simulator/simulator.ts";
import { startTestGateway, uniqueModel } from "./harness.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());
const openai = client();

const QUESTION: OpenAI.ChatCompletionMessageParam = { role: "user", content: "How warm is it in Oslo?" };
const TOOLS: OpenAI.ChatCompletionTool[] = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "The weather now",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];
const CALLS_TOOL: Answer = {
  kind: "message",
  content: [
    { text: "Let me look." },
    { toolUse: { toolUseId: "tooluse_1", name: "get_weather", input: { city: "Oslo" } } },
  ],
};

describe("the OpenAI SDK", { concurrency: true }, () => {
  it("reads an answer with its usage", async () => {
    const model = script(says("Four degrees.", { usage: { inputTokens: 11, outputTokens: 5, totalTokens: 16 } }));
    const answer = await openai.chat.completions.create({ model, messages: [QUESTION] });
    assert.equal(answer.choices[0]?.message.content, "Four degrees.");
    assert.equal(answer.choices[0]?.finish_reason, "stop");
    assert.equal(answer.model, model);
    assert.deepEqual(
      [answer.usage?.prompt_tokens, answer.usage?.completion_tokens, answer.usage?.total_tokens],
      [11, 5, 16],
    );
    assert.match(answer._request_id ?? "", /^[0-9a-f-]{36}$/);
  });

  it("streams an answer without usage that nobody asked for", async () => {
    const model = script(says("Four degrees and some rain."));
    const stream = await openai.chat.completions.create({ model, messages: [QUESTION], stream: true });
    let text = "";
    for await (const chunk of stream) {
      assert.equal(chunk.usage, undefined);
      assert.equal(chunk.choices.length, 1);
      text += chunk.choices[0]?.delta.content ?? "";
    }
    assert.equal(text, "Four degrees and some rain.");
  });

  it("gets usage in a last chunk when it asks for it", async () => {
    const usage = { inputTokens: 7, outputTokens: 3, totalTokens: 10, cacheReadInputTokens: 90 };
    const model = script(says("Four degrees.", { usage }));
    const stream = await openai.chat.completions.create({
      model,
      messages: [QUESTION],
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await Array.fromAsync(stream);
    const last = chunks.at(-1);
    assert.deepEqual(last?.choices, []);
    assert.equal(last?.usage?.prompt_tokens, 97);
    assert.equal(last?.usage?.prompt_tokens_details?.cached_tokens, 90);
    assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage === null));
  });

  for (const stream of [false, true]) {
    it(`calls a tool and answers with its result${stream ? ", streamed" : ""}`, async () => {
      const model = script(CALLS_TOOL, says("It is four degrees."));
      const messages: OpenAI.ChatCompletionMessageParam[] = [QUESTION];
      const first = await complete(model, messages, stream);
      assert.equal(first.finish_reason, "tool_calls");
      assert.equal(first.message.content, "Let me look.");
      const call = first.message.tool_calls?.[0];
      assert.ok(call?.type === "function");
      assert.deepEqual(
        [call.id, call.function.name, JSON.parse(call.function.arguments)],
        ["tooluse_1", "get_weather", { city: "Oslo" }],
      );

      messages.push(first.message, { role: "tool", tool_call_id: call.id, content: '{"celsius":4}' });
      const second = await complete(model, messages, stream);
      assert.equal(second.message.content, "It is four degrees.");
      assert.deepEqual(toolBlocks(requestsOf(model)[1]), [
        ["toolUse", "tooluse_1"],
        ["toolResult", "tooluse_1"],
      ]);
    });
  }

  it("throws AuthenticationError for a wrong key", async () => {
    const wrong = client({ apiKey: `sk-${"x".repeat(43)}` });
    const error = await failure(
      AuthenticationError,
      wrong.chat.completions.create({ model: "m", messages: [QUESTION] }),
    );
    assert.deepEqual([error.status, error.code], [401, "invalid_api_key"]);
    assert.match(error.requestID ?? "", /^[0-9a-f-]{36}$/);
  });

  it("throws NotFoundError for a model that Bedrock does not know", async () => {
    const model = script(fails("ValidationException", { message: "The provided model identifier is invalid." }));
    const error = await failure(NotFoundError, openai.chat.completions.create({ model, messages: [QUESTION] }));
    assert.equal(error.code, "model_not_found");
  });

  it("throws BadRequestError that names the parameter", async () => {
    const create = openai.chat.completions.create({ model: uniqueModel(), messages: [QUESTION], logprobs: true });
    const error = await failure(BadRequestError, create);
    assert.deepEqual([error.status, error.param, error.type], [400, "logprobs", "invalid_request_error"]);
  });

  it("throws PermissionDeniedError for a model outside the key's list", async () => {
    const { secret } = await gateway.keys.create({ name: "only nova", models: ["amazon.nova-*"] });
    const create = client({ apiKey: secret }).chat.completions.create({ model: "meta.x-v1:0", messages: [QUESTION] });
    const error = await failure(PermissionDeniedError, create);
    assert.deepEqual([error.status, error.code, error.param], [403, "model_not_allowed", "model"]);
  });

  it("throws RateLimitError when Bedrock goes on throttling", async () => {
    const model = script(fails("ThrottlingException", { message: "Too many requests.", times: 3 }));
    const error = await failure(RateLimitError, openai.chat.completions.create({ model, messages: [QUESTION] }));
    assert.equal(error.code, "rate_limit_exceeded");
    assert.equal(error.headers?.get("retry-after"), "1");
  });

  it("does not repeat a request whose quota is spent", async () => {
    const model = script(fails("ServiceQuotaExceededException", { times: Number.POSITIVE_INFINITY }));
    const eager = client({ maxRetries: 2 });
    const error = await failure(RateLimitError, eager.chat.completions.create({ model, messages: [QUESTION] }));
    assert.equal(error.code, "insufficient_quota");
    assert.equal(requestsOf(model).length, 1);
  });

  it("repeats by itself what a moment later works", async () => {
    const model = script(fails("ModelTimeoutException"), says("Back again."));
    const answer = await client({ maxRetries: 1 }).chat.completions.create({ model, messages: [QUESTION] });
    assert.equal(answer.choices[0]?.message.content, "Back again.");
  });

  it("throws InternalServerError when Bedrock is not available", async () => {
    const model = script(fails("ServiceUnavailableException", { times: 3 }));
    const error = await failure(InternalServerError, openai.chat.completions.create({ model, messages: [QUESTION] }));
    assert.deepEqual([error.status, error.code], [503, "upstream_unavailable"]);
  });

  it("throws APIError for an exception inside a stream, after the text that came before", async () => {
    const model = script({
      kind: "events",
      steps: [
        { event: "messageStart", payload: { role: "assistant" } },
        { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: "Four" } } },
        { exception: "modelStreamErrorException", payload: { message: "The model failed." } },
      ],
    });
    const stream = await openai.chat.completions.create({ model, messages: [QUESTION], stream: true });
    let text = "";
    const reading = (async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    })();
    const error = await failure(APIError, reading);
    assert.equal(error.code, "model_error");
    assert.match(error.message, /The model failed\./);
    assert.equal(text, "Four");
  });

  it("stops Bedrock's answer when the client aborts", async () => {
    const model = script(says("one two three four five six seven eight nine ten", { pace: 200 }));
    const stream = await openai.chat.completions.create({ model, messages: [QUESTION], stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    const request = await gateway.simulator.waitFor(({ modelId, done }) => modelId === model && done);
    assert.equal(request.aborted, true);
  });

  it("throws its abort error when a request without a stream is aborted", async () => {
    const model = script(says("too late", { delay: 60_000 }));
    const abort = new AbortController();
    const answer = openai.chat.completions.create({ model, messages: [QUESTION] }, { signal: abort.signal });
    const arrived = gateway.simulator.waitFor(({ modelId }) => modelId === model);
    await Promise.all([failure(APIUserAbortError, answer), arrived.then(() => abort.abort())]);
    const request = await gateway.simulator.waitFor(({ modelId, done }) => modelId === model && done);
    assert.equal(request.aborted, true);
  });

  it("lists models and gets one", async () => {
    const ids = (await Array.fromAsync(openai.models.list())).map(({ id }) => id);
    assert.ok(ids.includes("amazon.nova-micro-v1:0"));
    const model = await openai.models.retrieve("amazon.nova-micro-v1:0");
    assert.deepEqual([model.id, model.object, model.owned_by], ["amazon.nova-micro-v1:0", "model", "amazon"]);
  });
});

function client(options: { apiKey?: string; maxRetries?: number } = {}): OpenAI {
  return new OpenAI({ apiKey: gateway.key, maxRetries: 0, ...options, baseURL: `${gateway.url}/v1` });
}

function script(...answers: Answer[]): string {
  const model = uniqueModel();
  gateway.simulator.scriptModel(model, answers);
  return model;
}

function requestsOf(model: string): RecordedRequest[] {
  return gateway.simulator.requests.filter(({ modelId }) => modelId === model);
}

async function complete(
  model: string,
  messages: OpenAI.ChatCompletionMessageParam[],
  stream: boolean,
): Promise<OpenAI.ChatCompletion.Choice> {
  const request = { model, messages, tools: TOOLS };
  const answer = stream
    ? await openai.chat.completions.stream(request).finalChatCompletion()
    : await openai.chat.completions.create(request);
  const [choice] = answer.choices;
  assert.ok(choice);
  return choice;
}

/** Kind and id of every tool block in what Bedrock was sent. */
function toolBlocks(request: RecordedRequest | undefined): unknown[] {
  const messages = isJsonObject(request?.json) && Array.isArray(request.json.messages) ? request.json.messages : [];
  return messages.flatMap(({ content }) =>
    content.flatMap((block: Record<string, { toolUseId: string }>) =>
      Object.entries(block)
        .filter(([kind]) => kind.startsWith("tool"))
        .map(([kind, { toolUseId }]) => [kind, toolUseId]),
    ),
  );
}

async function failure<E extends Error>(kind: new (...args: never[]) => E, promise: Promise<unknown>): Promise<E> {
  let thrown: unknown;
  await promise.catch((error: unknown) => {
    thrown = error;
  });
  assert.ok(thrown instanceof kind, `expected ${kind.name}, got ${thrown}`);
  return thrown;
}
