/** Responses of the OpenAI SDK and the AI SDK where the operator lets them be stored, and where not. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, describe, it } from "node:test";
import { createOpenAI } from "@ai-sdk/openai";
import { jsonSchema, stepCountIs, streamText, tool } from "ai";
import OpenAI, { BadRequestError, NotFoundError } from "openai";
import { isJsonObject } from "../../src/json.ts";
import { type Answer, fails, says } from "../../src/simulator/simulator.ts";
import { readError, startTestGateway, type TestGateway, uniqueModel, until } from "./harness.ts";

const gateway = await startTestGateway({ operator: "responses: { store: 1d }" });
after(() => gateway.stop());
const openai = clientOf(gateway, gateway.key);

const CALLS: Answer = {
  kind: "message",
  content: [
    { reasoningContent: { reasoningText: { text: "I should look.", signature: "c2lnbmVk" } } },
    { toolUse: { toolUseId: "tooluse_1", name: "get_weather", input: { city: "Oslo" } } },
  ],
};
const TOOLS: OpenAI.Responses.Tool[] = [
  {
    type: "function",
    name: "get_weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    strict: false,
  },
];

describe("stored responses", { concurrency: true }, () => {
  for (const stream of [false, true]) {
    it(`are gone on from, over a tool's call${stream ? ", streamed" : ""}`, async () => {
      const model = `anthropic.claude-sonnet-4-5-${uniqueModel()}`;
      gateway.simulator.scriptModel(model, [CALLS, says("Four degrees."), says("Take a coat.")]);
      const ask = (request: Omit<OpenAI.Responses.ResponseCreateParamsNonStreaming, "model" | "stream">) => {
        const whole = { model, tools: TOOLS, store: true, ...request };
        return stream ? openai.responses.stream(whole).finalResponse() : openai.responses.create(whole);
      };
      const first = await ask({
        input: "How warm is it in Oslo?",
        reasoning: { effort: "low" },
        instructions: "Be brief.",
      });
      const second = await ask({
        previous_response_id: first.id,
        input: [{ type: "function_call_output", call_id: "tooluse_1", output: "4" }],
        reasoning: { effort: "low" },
      });
      const third = await ask({ previous_response_id: second.id, input: "What should I wear?" });
      assert.partialDeepStrictEqual(third, {
        previous_response_id: second.id,
        output_text: "Take a coat.",
        store: true,
      });

      const sent = sentTo(gateway, model).at(-1);
      assert.ok(isJsonObject(sent));
      assert.deepEqual(sent.messages, [
        { role: "user", content: [{ text: "How warm is it in Oslo?" }] },
        { role: "assistant", content: contentOf(CALLS) },
        { role: "user", content: [{ toolResult: { toolUseId: "tooluse_1", content: [{ text: "4" }] } }] },
        { role: "assistant", content: [{ text: "Four degrees." }] },
        { role: "user", content: [{ text: "What should I wear?" }] },
      ]);
      // Instructions are of one request alone.
      assert.equal(sent.system, undefined);
      for (const answer of [first, second, third]) {
        const { output_text: _text, ...kept } = await openai.responses.retrieve(answer.id);
        assert.deepEqual(kept, withoutParsed(answer));
      }
    });
  }

  it("are there when the last byte is: asked at once, many times", async () => {
    const model = script(gateway, ...Array.from({ length: 20 }, () => says("Yes.")));
    let previous: string | undefined;
    for (let turn = 0; turn < 20; turn += 1) {
      const request = { model, input: `${turn}`, ...(previous && { previous_response_id: previous }) };
      previous = (await openai.responses.stream(request).finalResponse()).id;
    }
    const sent = sentTo(gateway, model).at(-1);
    assert.ok(isJsonObject(sent) && Array.isArray(sent.messages));
    assert.equal(sent.messages.length, 39);
  });

  it("have items that are referred to", async () => {
    const model = script(gateway, says("Four degrees."), says("Yes."));
    const { output } = await openai.responses.create({ model, input: "How warm is it?" });
    const input = [
      { role: "user" as const, content: "How warm is it?" },
      { type: "item_reference" as const, id: output[0]?.id ?? "" },
      { role: "user" as const, content: "Sure?" },
    ];
    await openai.responses.create({ model, input });
    const sent = sentTo(gateway, model).at(-1);
    assert.ok(isJsonObject(sent) && Array.isArray(sent.messages));
    assert.deepEqual(sent.messages[1], { role: "assistant", content: [{ text: "Four degrees." }] });
  });

  it("are what the AI SDK refers to by its defaults, thinking too", async () => {
    const model = `anthropic.claude-sonnet-4-5-${uniqueModel()}`;
    const first: Answer = {
      kind: "message",
      content: [...contentOf(CALLS).slice(0, 1), { text: "Let me look." }, ...contentOf(CALLS).slice(1)],
    };
    gateway.simulator.scriptModel(model, [first, says("It is four degrees."), says("Yes.")]);
    const provider = createOpenAI({ apiKey: gateway.key, baseURL: `${gateway.url}/v1` });
    const inputSchema = jsonSchema<{ city: string }>({ type: "object", properties: { city: { type: "string" } } });
    const options = {
      model: provider(model),
      tools: { get_weather: tool({ inputSchema, execute: async () => 4 }) },
      stopWhen: stepCountIs(3),
      providerOptions: { openai: { reasoningEffort: "low", reasoningSummary: "auto", forceReasoning: true } },
    } as const;
    const question = { role: "user" as const, content: "How warm is it in Oslo?" };
    const result = streamText({ ...options, messages: [question] });
    assert.match((await Array.fromAsync(result.textStream)).join(""), /It is four degrees\.$/);
    const { messages } = await result.response;
    const more = streamText({ ...options, messages: [question, ...messages, { role: "user", content: "Sure?" }] });
    assert.equal((await Array.fromAsync(more.textStream)).join(""), "Yes.");
    const sent = sentTo(gateway, model).at(-1);
    assert.ok(isJsonObject(sent) && Array.isArray(sent.messages));
    assert.deepEqual(
      sent.messages.map(({ content }) => content),
      [
        [{ text: "How warm is it in Oslo?" }],
        contentOf(first),
        [{ toolResult: { toolUseId: "tooluse_1", content: [{ text: "4" }] } }],
        [{ text: "It is four degrees." }],
        [{ text: "Sure?" }],
      ],
    );
  });

  it("are deleted, and are not found then", async () => {
    const model = script(gateway, says("Hi."));
    const { id } = await openai.responses.create({ model, input: "Hello" });
    const url = `${gateway.url}/v1/responses/${id}`;
    const headers = { authorization: `Bearer ${gateway.key}` };
    const deleted = await fetch(url, { method: "DELETE", headers });
    assert.deepEqual([deleted.status, await deleted.json()], [200, { id, object: "response", deleted: true }]);
    await assert.rejects(openai.responses.retrieve(id), NotFoundError);
    await assert.rejects(openai.responses.delete(id), NotFoundError);
    const { status, type, code, message } = await readError(await fetch(url, { headers }));
    assert.deepEqual([status, type, code], [404, "invalid_request_error", null]);
    assert.match(message, new RegExp(`'${id}' not found`));
    await assert.rejects(openai.responses.create({ model, input: "Go", previous_response_id: id }), (error) => {
      assert.ok(error instanceof BadRequestError);
      assert.equal(error.param, "previous_response_id");
      return true;
    });
  });

  it("are not counted as calls when they are read, and need a key", async () => {
    const model = script(gateway, says("Hi."));
    const { id } = await openai.responses.create({ model, input: "Hello" });
    const calls = (await gateway.usage()).filter((call) => call.modelRequested === model).length;
    await openai.responses.retrieve(id);
    assert.equal((await gateway.usage()).filter((call) => call.modelRequested === model).length, calls);
    const url = `${gateway.url}/v1/responses/${id}`;
    for (const method of ["GET", "DELETE"]) assert.equal((await fetch(url, { method })).status, 401);
    const posted = await fetch(url, {
      method: "POST",
      headers: { authorization: `Bearer ${gateway.key}` },
      body: "{}",
    });
    assert.deepEqual([posted.status, posted.headers.get("allow")], [405, "GET, HEAD, DELETE, OPTIONS"]);
    await assert.rejects(openai.responses.retrieve(id, { stream: true }), BadRequestError);
  });

  it("are another key's secret", async () => {
    const model = script(gateway, says("Hi."));
    const { id, output } = await openai.responses.create({ model, input: "Hello" });
    const other = clientOf(gateway, (await gateway.keys.create({ name: "other" })).secret);
    await assert.rejects(other.responses.retrieve(id), NotFoundError);
    await assert.rejects(other.responses.delete(id), NotFoundError);
    const more = { model, input: "Go", previous_response_id: id };
    await assert.rejects(other.responses.create(more), BadRequestError);
    const reference = { type: "item_reference" as const, id: output[0]?.id ?? "" };
    await assert.rejects(other.responses.create({ model, input: [reference] }), BadRequestError);
    assert.equal((await openai.responses.retrieve(id)).output_text, "Hi.");
  });

  it("are those of complete answers alone, and of clients that do not forbid it", async () => {
    const model = script(
      gateway,
      says("Private."),
      {
        kind: "events",
        steps: [{ event: "messageStart", payload: { role: "assistant" } }, textDelta("Half"), broken()],
      },
      fails("ValidationException", { message: "No." }),
    );
    const kept = await openai.responses.create({ model, input: "Hello", store: false });
    assert.partialDeepStrictEqual(kept, { store: false });
    await assert.rejects(openai.responses.retrieve(kept.id), NotFoundError);
    let id = "";
    await assert.rejects(async () => {
      for await (const event of await openai.responses.create({ model, input: "Go", stream: true }))
        if (event.type === "response.created") id = event.response.id;
    });
    assert.match(id, /^resp_/);
    await assert.rejects(openai.responses.retrieve(id), NotFoundError);
  });

  it("are left out where they are too large, and the client has its answer all the same", async () => {
    const model = script(gateway, says("Long."));
    const { data, response } = await openai.responses
      .create({ model, input: `${"x".repeat(4 * 1024 * 1024)}` })
      .withResponse();
    assert.equal(data.output_text, "Long.");
    await assert.rejects(openai.responses.retrieve(data.id), NotFoundError);
    const id = response.headers.get("x-request-id");
    await until("a line of the failure", () =>
      gateway.serviceLog().find((line) => line.request_id === id && /not stored/.test(JSON.stringify(line.err))),
    );
  });

  it("outlast the gateway", async (t) => {
    await using first = await startTestGateway({ operator: "responses: { store: 1d }" });
    const model = script(first, says("Hi."));
    const { id } = await clientOf(first, first.key).responses.create({ model, input: "Hello" });
    await first.standalone.stop(0);
    const second = await startTestGateway({
      operator: "responses: { store: 1d }",
      env: { DATABASE_URL: first.databaseUrl },
    });
    t.after(() => second.stop());
    assert.equal((await clientOf(second, first.key).responses.retrieve(id)).output_text, "Hi.");
  });
});

describe("responses by default", () => {
  it("are not stored: nothing of them is in the database, and who asks for it is told", async () => {
    await using plain = await startTestGateway();
    const client = clientOf(plain, plain.key);
    const model = script(plain, says("Nightingale answer."));
    const { id } = await client.responses.create({ model, input: "Nightingale question" });
    for (const more of [{ store: true }, { previous_response_id: id }]) {
      await assert.rejects(client.responses.create({ model, input: "Go", ...more }), (error) => {
        assert.ok(error instanceof BadRequestError);
        assert.match(error.message, /no answers are stored here/);
        return true;
      });
    }
    for (const read of [client.responses.retrieve(id), client.responses.delete(id)]) {
      await assert.rejects(read, (error) => {
        assert.ok(error instanceof NotFoundError);
        assert.match(error.message, /operator has not turned it on/);
        return true;
      });
    }
    assert.ok(!(await databaseText(plain)).includes("Nightingale"));
    // The same search finds what is stored.
    const stored = script(gateway, says("Nightingale answer."));
    await openai.responses.create({ model: stored, input: "Nightingale question" });
    assert.match(await databaseText(gateway), /Nightingale question.*Nightingale answer/s);
  });
});

function clientOf({ url }: TestGateway, apiKey: string): OpenAI {
  return new OpenAI({ apiKey, maxRetries: 0, baseURL: `${url}/v1` });
}

function script({ simulator }: TestGateway, ...answers: Answer[]): string {
  const model = uniqueModel();
  simulator.scriptModel(model, answers);
  return model;
}

function sentTo({ simulator }: TestGateway, model: string): unknown[] {
  return simulator.requests.filter(({ modelId }) => modelId === model).map(({ json }) => json);
}

function contentOf(answer: Answer) {
  return answer.kind === "message" ? answer.content : assert.fail("an answer of another kind");
}

function textDelta(text: string) {
  return { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text } } };
}

function broken() {
  return { exception: "modelStreamErrorException", payload: { message: "The model failed." } };
}

/** The file with its log: what has been written lately is there. */
async function databaseText({ databaseUrl }: TestGateway): Promise<string> {
  const path = databaseUrl.slice("sqlite:".length);
  const parts = await Promise.all([path, `${path}-wal`].map((file) => readFile(file, "latin1").catch(() => "")));
  return parts.join("");
}

/** What the SDK adds. */
function withoutParsed(response: OpenAI.Responses.Response): unknown {
  const text = JSON.stringify(response, (key, value: unknown) =>
    key === "output_text" || key.includes("parsed") ? undefined : value,
  );
  return JSON.parse(text);
}
