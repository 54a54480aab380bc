/** The official Anthropic SDK against the whole gateway: what a developer's tool sees, with Claude and with other models. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import Anthropic, {
  APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
} from "@anthropic-ai/sdk";
import { isJsonObject, type JsonObject } from "../../src/json.ts";
import { type Answer, fails, type RecordedRequest, says } from "../../src/simulator/simulator.ts";
import { startTestGateway, uniqueModel } from "./harness.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());
const anthropic = client();

const CLAUDE = "anthropic.claude-haiku-4-5-20251001-v1:0";
const NOVA = "amazon.nova-lite-v1:0";
const QUESTION: Anthropic.MessageParam = { role: "user", content: "How warm is it in Oslo?" };
const TOOLS: Anthropic.Tool[] = [
  {
    name: "get_weather",
    description: "The weather now",
    input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
];
const CALLS_TOOL: Answer = {
  kind: "message",
  content: [
    { reasoningContent: { reasoningText: { text: "I have to look.", signature: "c2ln" } } },
    { text: "Let me look." },
    { toolUse: { toolUseId: "tooluse_1", name: "get_weather", input: { city: "Oslo" } } },
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
const USAGE = {
  inputTokens: 11,
  outputTokens: 5,
  totalTokens: 116,
  cacheReadInputTokens: 60,
  cacheWriteInputTokens: 40,
};

describe("the Anthropic SDK", { concurrency: true }, () => {
  for (const base of [CLAUDE, NOVA]) {
    it(`reads an answer of ${base} with its usage and request id`, async () => {
      const model = script(base, says("Four degrees.", { usage: USAGE }));
      const answer = await anthropic.messages.create({ model, max_tokens: 100, messages: [QUESTION] });
      assert.deepEqual(answer.content, [{ type: "text", text: "Four degrees.", citations: null }]);
      assert.deepEqual([answer.stop_reason, answer.model, answer.type], ["end_turn", model, "message"]);
      const { input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens } = answer.usage;
      assert.deepEqual(
        [input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens],
        [11, 5, 60, 40],
      );
      assert.match(answer.id, /^msg_[0-9a-f]{32}$/);
      assert.match(answer._request_id ?? "", /^[0-9a-f-]{36}$/);
    });

    it(`streams an answer of ${base}, with an estimate of the prompt first and Bedrock's numbers last`, async () => {
      const model = script(base, says("Four degrees and some rain.", { usage: USAGE }));
      const stream = anthropic.messages.stream({ model, max_tokens: 100, messages: [QUESTION] });
      const started = new Promise<number>((resolve) => {
        stream.on("streamEvent", (event) => {
          if (event.type === "message_start") resolve(event.message.usage.input_tokens);
        });
      });
      let text = "";
      stream.on("text", (delta) => {
        text += delta;
      });
      const { usage, stop_reason } = await stream.finalMessage();
      assert.equal(text, "Four degrees and some rain.");
      assert.equal(await started, 6);
      assert.deepEqual([usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens], [11, 60, 5]);
      assert.equal(stop_reason, "end_turn");
    });

    for (const streamed of [false, true]) {
      it(`lets ${base} call a tool and answers with its result${streamed ? ", streamed" : ""}`, async () => {
        const model = script(base, CALLS_TOOL, says("It is four degrees."));
        const messages: Anthropic.MessageParam[] = [QUESTION];
        const first = await complete(model, messages, streamed);
        assert.equal(first.stop_reason, "tool_use");
        assert.deepEqual(
          first.content.map(({ type }) => type),
          ["thinking", "text", "tool_use"],
        );
        const call = first.content.at(-1);
        assert.ok(call?.type === "tool_use");
        assert.deepEqual([call.id, call.name, call.input], ["tooluse_1", "get_weather", { city: "Oslo" }]);

        const result = { type: "tool_result", tool_use_id: call.id, content: "4", is_error: false } as const;
        messages.push({ role: "assistant", content: first.content }, { role: "user", content: [result] });
        const second = await complete(model, messages, streamed);
        assert.deepEqual(second.content, [{ type: "text", text: "It is four degrees.", citations: null }]);
        const kinds = contentOf(requestsOf(model)[1]).flatMap((block) => Object.keys(block));
        const reasoning = base === CLAUDE ? ["reasoningContent"] : [];
        assert.deepEqual(kinds, ["text", ...reasoning, "text", "toolUse", "toolResult"]);
      });
    }
  }

  it("thinks by a budget with Claude, and takes the signature back", async () => {
    const model = uniqueOf(CLAUDE);
    const thinking = { type: "enabled", budget_tokens: 1_024 } as const;
    const ask = (messages: Anthropic.MessageParam[]) =>
      anthropic.messages.stream({ model, max_tokens: 4_000, thinking, messages }).finalMessage();
    const first = await ask([QUESTION]);
    const [thought] = first.content;
    assert.ok(thought?.type === "thinking" && thought.signature !== "");
    await ask([QUESTION, { role: "assistant", content: first.content }, { role: "user", content: "And in Bergen?" }]);
    const [, second] = requestsOf(model);
    assert.deepEqual(contentOf(second)[1], {
      reasoningContent: { reasoningText: { text: thought.thinking, signature: thought.signature } },
    });
    assert.deepEqual(fieldsOf(second), { thinking });
  });

  it("says which stop sequence ended an answer", async () => {
    const model = script(CLAUDE, {
      kind: "message",
      content: [{ text: "One, two" }],
      stopReason: "stop_sequence",
    });
    const stop_sequences = ["three"];
    const answer = await anthropic.messages.create({ model, max_tokens: 9, messages: [QUESTION], stop_sequences });
    assert.deepEqual([answer.stop_reason, answer.stop_sequence], ["stop_sequence", "three"]);
    assert.deepEqual(Object(requestsOf(model)[0]?.json).additionalModelResponseFieldPaths, ["/stop_sequence"]);
  });

  it("sends only the betas that Bedrock knows, and only to Claude", async () => {
    const betas = ["context-1m-2025-08-07", "context-management-2025-06-27"];
    for (const [base, expected] of [
      [CLAUDE, { anthropic_beta: ["context-1m-2025-08-07"] }],
      [NOVA, undefined],
    ] as const) {
      const model = script(base, says("Yes."));
      await anthropic.beta.messages.create({
        model,
        max_tokens: 9,
        messages: [{ role: "user", content: "Hi" }],
        betas,
        context_management: { edits: [] },
      });
      assert.deepEqual(fieldsOf(requestsOf(model)[0]), expected);
    }
  });

  it("parses an answer in a JSON schema's form", async () => {
    const model = script(CLAUDE, says('{"celsius":4}'));
    const schema = {
      type: "object",
      properties: { celsius: { type: "integer" } },
      required: ["celsius"],
      additionalProperties: false,
    };
    const answer = await anthropic.messages.create({
      model,
      max_tokens: 100,
      messages: [QUESTION],
      output_config: { format: { type: "json_schema", schema } },
    });
    assert.deepEqual(answer.content, [{ type: "text", text: '{"celsius":4}', citations: null }]);
  });

  it("counts tokens with Bedrock, without a call in the ledger", async () => {
    const model = CLAUDE;
    const { data, response } = await anthropic.messages.countTokens({ model, messages: [QUESTION] }).withResponse();
    assert.deepEqual(data, { input_tokens: 6 });
    assert.equal(response.headers.get("x-gateway-warning"), null);
    assert.equal(gateway.simulator.requests.filter(({ path }) => path.endsWith("/count-tokens")).length > 0, true);
    const call = await gateway.store.calls.get(response.headers.get("request-id") ?? "");
    assert.equal(call, undefined);
  });

  it("estimates tokens that Bedrock does not count, and says so", async () => {
    const model = uniqueModel();
    gateway.simulator.scriptModel(model, [
      fails("ValidationException", { message: "The provided model doesn't support counting tokens." }),
    ]);
    const { data, response } = await anthropic.messages.countTokens({ model, messages: [QUESTION] }).withResponse();
    assert.ok(data.input_tokens > 0);
    assert.match(response.headers.get("x-gateway-warning") ?? "", /is an estimate/);
  });

  it("lists models in pages and gets one", async () => {
    const ids: string[] = [];
    for await (const model of anthropic.models.list({ limit: 7 })) ids.push(model.id);
    assert.ok(ids.includes(NOVA) && ids.length > 7 && new Set(ids).size === ids.length);
    const model = await anthropic.models.retrieve(NOVA);
    assert.deepEqual([model.type, model.id], ["model", NOVA]);
    await failure(NotFoundError, anthropic.models.retrieve("nobody.knows-v1:0"));
  });

  it("still lists models in OpenAI's shape for others", async () => {
    const reply = await fetch(`${gateway.url}/v1/models`, { headers: { "x-api-key": gateway.key } });
    assert.equal(Object(await reply.json()).object, "list");
  });

  it("takes the key as a bearer token too", async () => {
    const bearer = new Anthropic({ baseURL: gateway.url, authToken: gateway.key, apiKey: null, maxRetries: 0 });
    const answer = await bearer.messages.create({
      model: script(NOVA, says("Yes.")),
      max_tokens: 9,
      messages: [QUESTION],
    });
    assert.equal(answer.content.length, 1);
  });

  it("throws AuthenticationError for a wrong key, on every path", async () => {
    const wrong = client({ apiKey: `sk-${"x".repeat(43)}` });
    for (const call of [
      () => wrong.messages.create({ model: "m", max_tokens: 9, messages: [QUESTION] }),
      () => wrong.messages.countTokens({ model: "m", messages: [QUESTION] }),
      () => wrong.models.retrieve("m"),
    ]) {
      const error = await failure(AuthenticationError, call());
      assert.deepEqual([error.status, error.type], [401, "authentication_error"]);
      assert.match(error.requestID ?? "", /^[0-9a-f-]{36}$/);
    }
  });

  it("throws BadRequestError for a request without max_tokens", async () => {
    const body = { model: "m", messages: [QUESTION] };
    const error = await failure(BadRequestError, anthropic.post("/v1/messages", { body }));
    assert.match(error.message, /max_tokens: Field required/);
    assert.equal(error.type, "invalid_request_error");
  });

  it("throws PermissionDeniedError for a model outside the key's list", async () => {
    const { secret } = await gateway.keys.create({ name: "only nova", models: ["amazon.nova-*"] });
    const create = client({ apiKey: secret }).messages.create({
      model: "meta.x-v1:0",
      max_tokens: 9,
      messages: [QUESTION],
    });
    assert.equal((await failure(PermissionDeniedError, create)).type, "permission_error");
  });

  it("throws NotFoundError for a model and for a path that nobody knows", async () => {
    const model = script(NOVA, fails("ValidationException", { message: "The provided model identifier is invalid." }));
    const create = anthropic.messages.create({ model, max_tokens: 9, messages: [QUESTION] });
    assert.equal((await failure(NotFoundError, create)).type, "not_found_error");
    assert.equal((await failure(NotFoundError, anthropic.get("/v1/messages/batches"))).type, "not_found_error");
  });

  it("throws RateLimitError when Bedrock goes on throttling", async () => {
    const model = script(NOVA, fails("ThrottlingException", { message: "Too many requests.", times: 3 }));
    const create = anthropic.messages.create({ model, max_tokens: 9, messages: [QUESTION] });
    const error = await failure(RateLimitError, create);
    assert.deepEqual([error.type, error.headers.get("retry-after")], ["rate_limit_error", "1"]);
  });

  it("is told 529 when Bedrock is not available, as the ledger is", async () => {
    const model = script(NOVA, fails("ServiceUnavailableException", { times: 3 }));
    const create = anthropic.messages.create({ model, max_tokens: 9, messages: [QUESTION] });
    const error = await failure(InternalServerError, create);
    assert.deepEqual([error.status, error.type], [529, "overloaded_error"]);
    assert.equal((await gateway.closedCall(error.requestID ?? "")).closing?.httpStatus, 529);
  });

  it("repeats by itself what a moment later works", async () => {
    const model = script(NOVA, fails("ModelTimeoutException"), says("Back again."));
    const answer = await client({ maxRetries: 1 }).messages.create({ model, max_tokens: 9, messages: [QUESTION] });
    assert.deepEqual(answer.content, [{ type: "text", text: "Back again.", citations: null }]);
  });

  it("throws APIError for an exception inside a stream, after the text that came before", async () => {
    const stream = anthropic.messages.stream({ model: script(CLAUDE, BREAKS), max_tokens: 9, messages: [QUESTION] });
    let text = "";
    stream.on("text", (delta) => {
      text += delta;
    });
    const error = await failure(APIError, stream.finalMessage());
    assert.match(error.message, /The model failed\./);
    assert.equal(text, "Four");
  });
});

function client(options: ConstructorParameters<typeof Anthropic>[0] = {}): Anthropic {
  return new Anthropic({ baseURL: gateway.url, apiKey: gateway.key, maxRetries: 0, ...options });
}

/** A model of the same family that no other test uses. */
function uniqueOf(base: string): string {
  return `${base}.${uniqueModel()}`;
}

function script(base: string, ...answers: Answer[]): string {
  const model = uniqueOf(base);
  gateway.simulator.scriptModel(model, answers);
  return model;
}

function complete(model: string, messages: Anthropic.MessageParam[], streamed: boolean): Promise<Anthropic.Message> {
  const body = { model, max_tokens: 100, messages, tools: TOOLS };
  return streamed ? anthropic.messages.stream(body).finalMessage() : anthropic.messages.create(body);
}

async function failure<E extends Error>(
  kind: abstract new (...args: never[]) => E,
  call: PromiseLike<unknown>,
): Promise<E> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof kind, String(error));
    return error;
  }
  throw new Error("nothing was thrown");
}

function requestsOf(model: string): RecordedRequest[] {
  return gateway.simulator.requests.filter(({ modelId }) => modelId === model);
}

function contentOf(request: RecordedRequest | undefined): JsonObject[] {
  const messages = isJsonObject(request?.json) && Array.isArray(request.json.messages) ? request.json.messages : [];
  return messages.flatMap(({ content }) => content);
}

function fieldsOf(request: RecordedRequest | undefined): unknown {
  return Object(request?.json).additionalModelRequestFields;
}
