/** The Responses API with OpenAI's SDK for Python, and with LangChain's `use_responses_api`. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { isJsonObject, type JsonObject } from "../../src/json.ts";
import { type Answer, type RecordedRequest, says } from "../../src/simulator/simulator.ts";
import { startTestGateway, type TestGateway, uniqueModel } from "./harness.ts";
import { findPythonPackages, type Played, type PythonClients, startPythonClients } from "./python-clients.ts";

const packages = await findPythonPackages();
const options = { concurrency: true, skip: "missing" in packages && packages.missing };
let gateway: TestGateway;
let python: PythonClients;

const WEATHER = { city: "Oslo", celsius: 4 };
const USAGE = { inputTokens: 11, outputTokens: 5, totalTokens: 16 };
const THINKS_AND_CALLS = [
  { reasoningContent: { reasoningText: { text: "I should look.", signature: "c2lnbmVk" } } },
  { text: "Let me look." },
  { toolUse: { toolUseId: "tooluse_1", name: "get_weather", input: { city: "Oslo" } } },
];
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
  for (const stream of [false, true]) {
    const streamed = stream ? ", streamed" : "";

    it(`reads a response that has every member in its type${streamed}`, async () => {
      const { events, ...saw } = await sees("responses_answer", {
        model: script(says("Four.", { usage: USAGE })),
        stream,
      });
      assert.deepEqual([saw.text, saw.status], ["Four.", "completed"]);
      assert.partialDeepStrictEqual(saw.usage, { input_tokens: 11, output_tokens: 5, total_tokens: 16 });
      if (stream) assert.ok(Array.isArray(events) && events.at(-1) === "response.completed", String(events));
    });

    it(`goes on thinking when a tool's result comes back${streamed}`, async () => {
      const model = `anthropic.claude-sonnet-4-5-${uniqueModel()}`;
      gateway.simulator.scriptModel(model, [{ kind: "message", content: THINKS_AND_CALLS }, says("Four degrees.")]);
      const saw = await sees("responses_tools", { model, stream });
      assert.deepEqual(saw, { items: ["reasoning", "message", "function_call"], text: "Four degrees." });
      assert.deepEqual(turnsOf(requestsOf(model)[1])[1]?.content, THINKS_AND_CALLS);
    });
  }

  it("parses a response into a Pydantic model", async () => {
    const model = `qwen.qwen3-32b-${uniqueModel()}`;
    gateway.simulator.scriptModel(model, [says(JSON.stringify(WEATHER))]);
    assert.deepEqual(await sees("responses_parse", { model }), { kind: "Weather", parsed: WEATHER });
  });

  it("raises APIError for an exception inside a stream, after the text that came before", async () => {
    const { saw, raised } = await python.play("responses_stream", { model: script(BREAKS) });
    assert.equal(saw.text, "Four");
    assert.match(String(raised?.message), /The model failed\./);
    assert.equal(raised?.code, "model_error");
  });
});

describe("LangChain for Python with use_responses_api", options, () => {
  const responses = { use_responses_api: true };

  it("reads an answer with its usage", async () => {
    const model = script(says("Four.", { usage: USAGE }));
    const saw = await sees("langchain_answer", { model, options: responses });
    assert.deepEqual([saw.text, saw.usage], ["Four.", [11, 5, 16]]);
  });

  it("streams an answer with its usage", async () => {
    const saw = await sees("langchain_stream", {
      model: script(says("Four degrees and rain.", { usage: USAGE })),
      options: responses,
    });
    assert.deepEqual([saw.text, saw.usage], ["Four degrees and rain.", [11, 5, 16]]);
  });

  for (const stream of [false, true]) {
    it(`goes on thinking when a tool's result comes back${stream ? ", streamed" : ""}`, async () => {
      const model = `anthropic.claude-sonnet-4-5-${uniqueModel()}`;
      gateway.simulator.scriptModel(model, [{ kind: "message", content: THINKS_AND_CALLS }, says("Four degrees.")]);
      const saw = await sees("langchain_tools", {
        model,
        stream,
        tool_choice: "auto",
        options: { ...responses, reasoning: { effort: "low", summary: "auto" }, store: false },
      });
      assert.deepEqual(saw, {
        calls: [["tooluse_1", "get_weather", { city: "Oslo" }]],
        invalid_calls: 0,
        text: "Four degrees.",
      });
      assert.deepEqual(turnsOf(requestsOf(model)[1])[1]?.content, THINKS_AND_CALLS);
    });
  }

  it("raises an error inside a stream, after the text that came before", async () => {
    const { saw, raised } = await python.play("langchain_stream", { model: script(BREAKS), options: responses });
    assert.equal(saw.text, "Four");
    assert.match(String(raised?.message), /The model failed\./);
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

/** What Bedrock was sent of the conversation. */
function turnsOf(request: RecordedRequest | undefined): JsonObject[] {
  const messages = isJsonObject(request?.json) ? request.json.messages : undefined;
  return Array.isArray(messages) ? messages : [];
}

async function sees(scenario: string, args: Record<string, unknown>): Promise<Played["saw"]> {
  const { saw, raised } = await python.play(scenario, args);
  assert.equal(raised, undefined);
  return saw;
}
