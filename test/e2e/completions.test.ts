/** Completions against the whole gateway: the official SDKs, LangChain's batches and what editors send. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import OpenAI, { BadRequestError } from "openai";
import { isJsonObject, type JsonObject } from "../../src/json.ts";
import { type Answer, type RecordedRequest, says } from "../../src/simulator/simulator.ts";
import { startTestGateway, type TestGateway, uniqueModel } from "./harness.ts";
import { findPythonPackages, type PythonClients, startPythonClients } from "./python-clients.ts";

const packages = await findPythonPackages();
const withPython = { concurrency: true, skip: "missing" in packages && packages.missing };
const USAGE = { inputTokens: 11, outputTokens: 5, totalTokens: 16 };
const OPENAI_USAGE = { prompt_tokens: 11, completion_tokens: 5, total_tokens: 16 };
let gateway: TestGateway;
let openai: OpenAI;
let python: PythonClients | undefined;

before(async () => {
  gateway = await startTestGateway();
  openai = new OpenAI({ apiKey: gateway.key, baseURL: `${gateway.url}/v1`, maxRetries: 0 });
  if ("folder" in packages) python = await startPythonClients(gateway, packages.folder);
});
after(async () => {
  await python?.stop();
  await gateway.stop();
});

describe("the OpenAI SDK's completions", { concurrency: true }, () => {
  it("give text and usage", async () => {
    const model = script(says("Four degrees.", { usage: USAGE }));
    const answer = await openai.completions.create({ model, prompt: "How warm is it?", max_tokens: 9 });
    assert.deepEqual(answer.choices, [{ index: 0, text: "Four degrees.", logprobs: null, finish_reason: "stop" }]);
    assert.deepEqual([answer.object, answer.model, answer.id.startsWith("cmpl-")], ["text_completion", model, true]);
    const { prompt_tokens, completion_tokens, total_tokens } = answer.usage ?? assert.fail("no usage");
    assert.deepEqual({ prompt_tokens, completion_tokens, total_tokens }, OPENAI_USAGE);
    const [request] = requestsOf(model);
    assert.deepEqual(bodyOf(request).inferenceConfig, { maxTokens: 9 });
  });

  it("stream, with usage when asked", async () => {
    const model = script(says("Four degrees and rain.", { usage: USAGE }));
    const options = { stream: true, stream_options: { include_usage: true } } as const;
    const chunks = await Array.fromAsync(await openai.completions.create({ model, prompt: "Hi", ...options }));
    assert.equal(textOf(chunks), "Four degrees and rain.");
    assert.equal(chunks.at(-1)?.usage?.total_tokens, 16);
    assert.deepEqual(chunks.at(-1)?.choices, []);
  });

  it("answer each prompt of several in its place, each a call of its own", async () => {
    const model = uniqueModel();
    const prompt = ["one", "two", "three"];
    const { choices, usage } = await openai.completions.create({ model, prompt, n: 2 });
    assert.deepEqual(
      choices.map(({ index, text }) => [index, text]),
      ["one", "one", "two", "two", "three", "three"].map((text, index) => [index, `You said: ${text}`]),
    );
    assert.equal(requestsOf(model).length, 6);
    assert.equal(usage?.total_tokens, (usage?.prompt_tokens ?? 0) + (usage?.completion_tokens ?? 0));

    const chunks = await Array.fromAsync(await openai.completions.create({ model, prompt, stream: true }));
    const text = (index: number) =>
      textOf(chunks.map((chunk) => ({ choices: chunk.choices.filter((choice) => choice.index === index) })));
    assert.deepEqual(
      [0, 1, 2].map(text),
      prompt.map((said) => `You said: ${said}`),
    );
  });

  it("fill the middle between a prompt and its suffix", async () => {
    const model = script(says("<middle>\n    return a + b\n</middle>", { times: 2 }));
    const body = { model, prompt: "def add(a, b):\n    ", suffix: "\n\nprint(add(1, 2))\n" };
    const answer = await openai.completions.create(body);
    assert.equal(answer.choices[0]?.text, "return a + b");
    const stream = await openai.completions.create({ ...body, stream: true });
    assert.equal(textOf(await Array.fromAsync(stream)), "return a + b");
    const sent = JSON.stringify(bodyOf(requestsOf(model)[0]).messages);
    assert.match(sent, /def add\(a, b\):\\n {4}<\|cursor\|>\\n\\nprint/);
  });

  it("end at a line break, also where Claude takes no such stop sequence", async () => {
    const model = `anthropic.claude-sonnet-4-5-${uniqueModel()}`;
    gateway.simulator.scriptModel(model, [says("Paris\nQ: What next?")]);
    const body = { model, prompt: "Q: Capital of France?\nA:", stop: ["\n"] };
    const { data, response } = await openai.completions.create(body).withResponse();
    assert.deepEqual([data.choices[0]?.text, data.choices[0]?.finish_reason], ["Paris", "stop"]);
    assert.doesNotMatch(JSON.stringify(bodyOf(requestsOf(model)[0])), /stopSequences/);
    assert.equal(response.headers.get("x-gateway-warning"), null);
  });

  it("refuse what can't be done, and name it", async () => {
    const create = openai.completions.create({ model: uniqueModel(), prompt: [1, 2, 3] });
    await assert.rejects(create, (error) => error instanceof BadRequestError && error.param === "prompt");
  });

  it("write a row for every prompt in the ledger", async () => {
    const { secret, key } = await gateway.keys.create({ name: "completions" });
    await openai.withOptions({ apiKey: secret }).completions.create({ model: uniqueModel(), prompt: ["one", "two"] });
    const rows = (await gateway.usage()).filter(({ keyId }) => keyId === key.id);
    assert.deepEqual(
      rows.map(({ dialect }) => dialect),
      ["openai-completions", "openai-completions"],
    );
  });
});

describe("an editor's autocompletion", { concurrency: true }, () => {
  it("is streamed for a prompt with the tokens of a code model", async () => {
    const model = script(says("<middle>return a + b</middle>"));
    const response = await fetch(`${gateway.url}/v1/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${gateway.key}`, "content-type": "application/json" },
      body: JSON.stringify({
        model,
        prompt: "<|fim_prefix|>def add(a, b):\n    <|fim_suffix|>\n<|fim_middle|>",
        max_tokens: 4096,
        temperature: 0.01,
        stop: [
          "<|endoftext|>",
          "<|fim_prefix|>",
          "<|fim_middle|>",
          "<|fim_suffix|>",
          "/src/",
          "#- coding: utf-8",
          "```",
        ],
        stream: true,
      }),
    });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    assert.match(text, /data: \[DONE\]\n\n$/);
    const chunks = text
      .split("\n\n")
      .filter((line) => line.startsWith("data: {"))
      .map((line) => JSON.parse(line.slice(6)));
    assert.equal(textOf(chunks), "return a + b");
  });
});

describe("Python's completions", withPython, () => {
  it("give text and usage by the OpenAI SDK", async () => {
    const model = script(says("Four degrees.", { usage: USAGE }));
    const saw = await play("openai_completion", { model, more: { prompt: "Hi", echo: true } });
    assert.deepEqual(saw, { texts: ["HiFour degrees."], finish_reasons: ["stop"], usage: OPENAI_USAGE });
  });

  it("stream by the OpenAI SDK", async () => {
    const model = script(says("Four degrees.", { usage: USAGE }));
    const more = { prompt: "Hi", stream_options: { include_usage: true } };
    const saw = await play("openai_completion_stream", { model, more });
    assert.deepEqual(saw, { text: "Four degrees.", finish_reasons: ["stop"], usages: [OPENAI_USAGE] });
  });

  it("come in batches and in streams by LangChain's OpenAI", async () => {
    const prompts = Array.from({ length: 20 }, (_, n) => `prompt ${n}`);
    const saw = await play("langchain_completions", { model: uniqueModel(), prompts });
    assert.deepEqual(
      saw.texts,
      prompts.map((prompt) => `You said: ${prompt}`),
    );
    assert.equal(saw.streamed, "You said: prompt 0");
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

function bodyOf(request: RecordedRequest | undefined): JsonObject {
  return isJsonObject(request?.json) ? request.json : assert.fail("no request");
}

function textOf(chunks: readonly { choices: readonly { text: string }[] }[]): string {
  return chunks.flatMap(({ choices }) => choices.map(({ text }) => text)).join("");
}

async function play(scenario: string, args: Record<string, unknown>): Promise<JsonObject> {
  const played = await python?.play(scenario, args);
  assert.equal(played?.raised, undefined);
  return played?.saw ?? {};
}
