/**
 * One request, many models: what reaches Bedrock for each family, and that the client's answer has the same form from all.
 *
 * Ids begin as real ones do and end as no real one does, so that each test scripts its own.
 */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, describe, it } from "node:test";
import { isJsonObject, type JsonObject } from "../../src/json.ts";
import { fails, type RecordedRequest, type ScriptedAnswer, says } from "../../src/simulator/simulator.ts";
import { ask, readError, readSse, startTestGateway } from "./harness.ts";

const gateway = await startTestGateway({
  operator: `
models:
  aliases: { quick: amazon.nova-micro-v1:0, far: { model: test.far, region: us-west-2 } }
  capabilities:
    - { match: "test.no-stop-*", stopSequences: none }
regions: { allowed: [us-east-1, us-west-2] }
images: { fetch: { enabled: true } }
`,
  simulator: { region: ["us-east-1", "us-west-2"] },
});
after(() => gateway.stop());

const LOOK = {
  type: "function",
  function: { name: "look", parameters: { type: "object", properties: { at: { type: "string" } } } },
};
const CALL = { toolUse: { toolUseId: "t1", name: "look", input: { at: "the moon" } } };
const SCHEMA: JsonObject = {
  type: "object",
  properties: { city: { type: "string" }, sights: { type: "array", items: { type: "string" } } },
  required: ["city", "sights"],
  additionalProperties: false,
};
const CITY = { city: "Köln", sights: ["dom", "bridge", "museum of chocolate"] };
const FORMAT = {
  response_format: { type: "json_schema", json_schema: { name: "place", strict: true, schema: SCHEMA } },
};

describe("tools of a model that can't stream them", { concurrency: true }, () => {
  it("are sent to Converse, and the stream is made of its answer", async () => {
    const model = "us.meta.llama3-3-70b-test";
    const { request, response } = await chat(
      model,
      { tools: [LOOK], stream: true, stream_options: { include_usage: true } },
      {
        kind: "message",
        content: [{ text: "I will look." }, CALL],
        usage: { inputTokens: 9, outputTokens: 8, totalTokens: 17 },
      },
    );
    assert.equal(request.operation, "Converse");
    assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
    const { deltas, finish, raw, data } = await readDeltas(response);
    assert.equal(deltas.map(({ content }) => content ?? "").join(""), "I will look.");
    const calls = deltas.flatMap(({ tool_calls }) =>
      Array.isArray(tool_calls) ? tool_calls.filter(isJsonObject) : [],
    );
    assert.deepEqual([calls[0]?.id, calls[0]?.index], ["t1", 0]);
    const fragments = calls.map((call) => (isJsonObject(call.function) ? String(call.function.arguments) : ""));
    assert.deepEqual(JSON.parse(fragments.join("")), { at: "the moon" });
    assert.deepEqual([finish, data.at(-1)], ["tool_calls", "[DONE]"], raw);
    const usage = data.at(-2);
    assert.ok(isJsonObject(usage) && isJsonObject(usage.usage));
    assert.deepEqual([usage.usage.prompt_tokens, usage.usage.completion_tokens], [9, 8]);
    const row = await gateway.closedCall(response.headers.get("x-request-id"));
    assert.deepEqual(
      [row.stream, row.closing?.status, row.closing?.usage.outputTokens, row.closing?.estimated],
      [true, "ok", 8, false],
    );
  });

  it("leave streams without tools alone", async () => {
    const { request, response } = await chat("us.meta.llama3-3-70b-text", { stream: true }, says("Hello!"));
    assert.equal(request.operation, "ConverseStream");
    assert.match((await readDeltas(response)).raw, /\[DONE\]/);
  });

  it("have errors of Converse as the status of the stream", async () => {
    const model = "us.meta.llama3-3-70b-error";
    gateway.simulator.scriptModel(model, fails("ModelErrorException", { message: "Broken." }));
    const error = await readError(await gateway.chat(ask(model, { tools: [LOOK], stream: true })));
    assert.deepEqual([error.status, error.message], [502, "Broken."]);
  });

  it("are learned from a refusal where nobody knew", async () => {
    const model = "test.new-model-without-streamed-tools";
    const message = "This model doesn't support tool use in streaming mode.";
    gateway.simulator.scriptModel(model, [
      fails("ValidationException", { message }),
      { kind: "message", content: [CALL] },
      { kind: "message", content: [CALL] },
    ]);
    for (const attempts of ["2", null]) {
      const response = await gateway.chat(ask(model, { tools: [LOOK], stream: true }));
      assert.equal(response.headers.get("x-gateway-attempts"), attempts);
      assert.equal((await readDeltas(response)).finish, "tool_calls");
    }
    assert.deepEqual(
      gateway.simulator.requests.filter(({ modelId }) => modelId === model).map(({ operation }) => operation),
      ["ConverseStream", "Converse", "Converse"],
    );
  });
});

describe("an answer in JSON by a schema", { concurrency: true }, () => {
  for (const stream of [false, true]) {
    const form = stream ? "streamed" : "whole";

    it(`is a hidden tool's arguments where the model has nothing of its own (${form})`, async () => {
      const { request, response } = await chat(`amazon.nova-pro-${form}`, { ...FORMAT, stream }, (asked) => ({
        kind: "message",
        content: [{ toolUse: { toolUseId: "t1", name: toolOf(asked), input: CITY } }],
      }));
      assert.equal(at(request, "outputConfig"), undefined);
      assert.deepEqual(at(request, "toolConfig", "toolChoice"), { tool: { name: toolOf(request) } });
      await assertCity(response, stream);
    });

    it(`is Bedrock's own structured output where the model has it (${form})`, async () => {
      const model = `us.anthropic.claude-sonnet-4-5-${form}`;
      const { request, response } = await chat(model, { ...FORMAT, stream }, says(JSON.stringify(CITY)));
      assert.equal(at(request, "toolConfig"), undefined);
      assert.equal(at(request, "outputConfig", "textFormat", "type"), "json_schema");
      const schema = at(request, "outputConfig", "textFormat", "structure", "jsonSchema", "schema");
      assert.deepEqual(JSON.parse(String(schema)), SCHEMA);
      await assertCity(response, stream);
    });

    it(`is picked out of the text where the model can't be forced to anything (${form})`, async () => {
      const model = `us.meta.llama3-3-70b-${form}`;
      const text = `Here you are:\n\`\`\`json\n${JSON.stringify(CITY)}\n\`\`\`\nEnjoy!`;
      const { request, response } = await chat(model, { ...FORMAT, stream }, says(text));
      assert.match(JSON.stringify(at(request, "system")), /JSON Schema/);
      await assertCity(response, stream);
    });
  }
});

describe("reasoning_effort", { concurrency: true }, () => {
  const effort = (model: string, more = {}) =>
    chat(
      model,
      { reasoning_effort: "high", max_completion_tokens: 40_000, ...more },
      {
        kind: "message",
        content: [{ reasoningContent: { reasoningText: { text: "Hmm.", signature: "s" } } }, { text: "Yes." }],
      },
    );

  it("is adaptive thinking on newer Claude models", async () => {
    const { request, response } = await effort("us.anthropic.claude-opus-4-8-test");
    assert.deepEqual(at(request, "additionalModelRequestFields", "thinking"), { type: "adaptive" });
    assert.equal(at(request, "outputConfig", "effort"), "high");
    const { choices } = JSON.parse(await response.text());
    assert.deepEqual([choices[0].message.reasoning_content, choices[0].message.content], ["Hmm.", "Yes."]);
  });

  it("is a budget on older ones, which take no temperature with it", async () => {
    const { request, response } = await effort("us.anthropic.claude-haiku-4-5-test", {
      temperature: 0.2,
      stream: true,
    });
    const thinking = at(request, "additionalModelRequestFields", "thinking");
    assert.ok(isJsonObject(thinking) && typeof thinking.budget_tokens === "number");
    assert.equal(thinking.type, "enabled");
    assert.ok(thinking.budget_tokens >= 1024 && thinking.budget_tokens < 40_000);
    assert.equal(at(request, "inferenceConfig", "temperature"), undefined);
    assert.match(response.headers.get("x-gateway-warning") ?? "", /sampling/);
    const { deltas } = await readDeltas(response);
    assert.equal(deltas.map(({ reasoning_content }) => reasoning_content ?? "").join(""), "Hmm.");
  });

  it("is Nova's own setting, without the limits that it does not take with it", async () => {
    const { request } = await effort("us.amazon.nova-2-lite-test");
    assert.deepEqual(at(request, "additionalModelRequestFields", "reasoningConfig"), {
      type: "enabled",
      maxReasoningEffort: "high",
    });
    assert.equal(at(request, "inferenceConfig"), undefined);
  });

  it("is left out, with a warning, where a model does not think", async () => {
    const { request, response } = await effort("us.meta.llama3-3-70b-thoughtless");
    assert.equal(at(request, "additionalModelRequestFields"), undefined);
    assert.match(response.headers.get("x-gateway-warning") ?? "", /does not think/);
  });
});

describe("sampling", { concurrency: true }, () => {
  const both = { temperature: 0.3, top_p: 0.9 };

  it("is the temperature alone on Claude 4.5, with a warning", async () => {
    const { request, response } = await chat("us.anthropic.claude-sonnet-4-5-sampled", both);
    const { temperature, topP } = Object(at(request, "inferenceConfig"));
    assert.deepEqual([temperature, topP], [0.3, undefined]);
    assert.match(response.headers.get("x-gateway-warning") ?? "", /top_p was left out/);
  });

  it("is both on Nova, none on newer Claude models", async () => {
    const nova = await chat("amazon.nova-pro-sampled", both);
    const { temperature, topP } = Object(at(nova.request, "inferenceConfig"));
    assert.deepEqual([temperature, topP, nova.response.headers.get("x-gateway-warning")], [0.3, 0.9, null]);
    const claude = await chat("us.anthropic.claude-opus-4-8-sampled", both);
    const config = Object(at(claude.request, "inferenceConfig"));
    assert.deepEqual([config.temperature, config.topP], [undefined, undefined]);
  });
});

describe("an operator's word about a model", () => {
  it("goes over what is known", async () => {
    const { request, response } = await chat("test.no-stop-1", { stop: ["."] });
    assert.equal(Object(at(request, "inferenceConfig")).stopSequences, undefined);
    assert.match(response.headers.get("x-gateway-warning") ?? "", /stop sequences/);
  });
});

describe("an image by its link", { concurrency: true }, () => {
  const link = (url: string) => ({
    messages: [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }],
  });

  it("is refused in words of the field, as long as the operator has not turned fetching on", async () => {
    await using plain = await startTestGateway();
    const error = await readError(await plain.chat({ ...ask("test.image"), ...link("https://example.com/a.png") }));
    assert.deepEqual([error.status, error.param], [400, "messages[0].content[0].image_url.url"]);
    assert.match(error.message, /images\.fetch/);
    assert.equal(plain.simulator.requests.length, 0);
  });

  it("is not fetched from the gateway's own machine, whatever it is called", async () => {
    let asked = 0;
    const server = createServer((_request, response) => {
      asked += 1;
      response.end();
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    for (const url of [
      `http://127.0.0.1:${address.port}/a.png`,
      "http://127.0.0.1/a.png",
      "http://localhost/a.png",
      "http://[::1]/a.png",
      "http://2130706433/a.png",
      "http://169.254.169.254/latest/meta-data/",
    ]) {
      const error = await readError(await gateway.chat({ ...ask("test.linked-image"), ...link(url) }));
      assert.deepEqual([error.status, error.param], [400, "messages[0].content[0].image_url.url"], url);
      assert.doesNotMatch(error.message, /127\.0\.0\.1|169\.254/);
    }
    server.close();
    assert.equal(asked, 0);
    assert.deepEqual(
      gateway.simulator.requests.filter(({ modelId }) => modelId === "test.linked-image"),
      [],
    );
  });
});

describe("an alias", { concurrency: true }, () => {
  const models = async (key: string) => {
    const response = await fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
    const list: { data: { id: string }[] } = JSON.parse(await response.text());
    return list.data.map(({ id }) => id);
  };

  it("is listed with the models, can be asked for by itself, and is answered under its own name", async () => {
    const listed = await models(gateway.key);
    assert.ok(listed.includes("quick") && listed.includes("far"));
    const one = await fetch(`${gateway.url}/v1/models/quick`, { headers: { authorization: `Bearer ${gateway.key}` } });
    assert.equal(JSON.parse(await one.text()).id, "quick");
    const response = await gateway.chat(ask("quick"));
    assert.equal(JSON.parse(await response.text()).model, "quick");
    assert.equal(response.headers.get("x-gateway-model"), "amazon.nova-micro-v1:0");
    const row = await gateway.closedCall(response.headers.get("x-request-id"));
    assert.deepEqual([row.modelRequested, row.modelInvoked], ["quick", "amazon.nova-micro-v1:0"]);
  });

  it("may be one of another region", async () => {
    const response = await gateway.chat(ask("far"));
    assert.equal(response.status, 200, await response.text());
    const request = gateway.simulator.requests.find(({ modelId }) => modelId === "test.far");
    assert.match(request?.headers.authorization ?? "", /\/us-west-2\/bedrock\//);
  });

  it("is allowed by its own name, which does not open its model, or by the model's", async () => {
    const model = "amazon.nova-micro-v1:0";
    const byAlias = (await gateway.keys.create({ name: "by alias", models: ["quick"] })).secret;
    assert.deepEqual(await models(byAlias), ["quick"]);
    assert.equal((await gateway.chat(ask("quick"), { key: byAlias })).status, 200);
    const error = await readError(await gateway.chat(ask(model), { key: byAlias }));
    assert.deepEqual([error.status, error.code], [403, "model_not_allowed"]);

    const byModel = (await gateway.keys.create({ name: "by model", models: [model] })).secret;
    assert.deepEqual(await models(byModel), ["quick", model]);
    for (const name of ["quick", model]) {
      assert.equal((await gateway.chat(ask(name), { key: byModel })).status, 200, name);
    }
  });
});

/** One chat with a model, and what arrived at Bedrock. */
async function chat(
  model: string,
  more: Readonly<Record<string, unknown>>,
  answer: ScriptedAnswer = says("Fine."),
): Promise<{ request: RecordedRequest; response: Response }> {
  gateway.simulator.scriptModel(model, answer);
  const response = await gateway.chat(ask(model, more));
  assert.equal(response.status, 200, response.ok ? "" : await response.text());
  const [request, ...others] = gateway.simulator.requests.filter(({ modelId }) => modelId === model);
  assert.ok(request);
  assert.deepEqual(others, []);
  return { request, response };
}

/** A member of the body that arrived. */
function at(request: RecordedRequest, ...path: string[]): unknown {
  return path.reduce<unknown>((value, name) => (isJsonObject(value) ? value[name] : undefined), request.json);
}

function toolOf(request: RecordedRequest): string {
  return String(at(request, "toolConfig", "toolChoice", "tool", "name"));
}

async function readDeltas(response: Response) {
  const { raw, data } = await readSse(response);
  const choices = data.flatMap((chunk) =>
    isJsonObject(chunk) && Array.isArray(chunk.choices) ? chunk.choices.filter(isJsonObject) : [],
  );
  const deltas = choices.map(({ delta }) => (isJsonObject(delta) ? delta : {}));
  const finish = choices.map(({ finish_reason }) => finish_reason).find((reason) => typeof reason === "string");
  return { raw, data, deltas, finish };
}

/** The JSON and nothing else, with no sign of how it came about. */
async function assertCity(response: Response, stream: boolean): Promise<void> {
  if (stream) {
    const { raw, data, deltas, finish } = await readDeltas(response);
    assert.deepEqual(JSON.parse(deltas.map(({ content }) => content ?? "").join("")), CITY);
    assert.ok(
      deltas.every(({ tool_calls }) => tool_calls === undefined),
      raw,
    );
    assert.deepEqual([finish, data.at(-1)], ["stop", "[DONE]"]);
    return;
  }
  const [{ message, finish_reason }] = JSON.parse(await response.text()).choices;
  assert.deepEqual(JSON.parse(message.content), CITY);
  assert.deepEqual([message.tool_calls, finish_reason], [undefined, "stop"]);
}
