import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  ConverseCommand,
  ConverseStreamCommand,
  type Message,
  type ToolConfiguration,
  ValidationException,
} from "@aws-sdk/client-bedrock-runtime";
import { type Simulator, startSimulator } from "../../src/simulator/simulator.ts";
import { collect, HELLO, MODEL, sdkClient, signedFetch, textOf } from "./aws-client.ts";

const weather: ToolConfiguration = {
  tools: [
    {
      toolSpec: {
        name: "get_weather",
        description: "The weather of a city",
        inputSchema: {
          json: {
            type: "object",
            properties: {
              city: { type: "string" },
              unit: { type: "string", enum: ["celsius", "fahrenheit"] },
              days: { type: "integer", minimum: 3 },
            },
          },
        },
      },
    },
    { toolSpec: { name: "now", inputSchema: { json: { type: "object" } } } },
  ],
};

describe("the simulated Converse, as AWS's SDK sees it", () => {
  let simulator: Simulator;
  let client: ReturnType<typeof sdkClient>;
  before(async () => {
    simulator = await startSimulator();
    client = sdkClient(simulator);
  });
  after(async () => {
    client.destroy();
    await simulator.close();
  });

  function ask(text: string, more: object = {}) {
    return client.send(
      new ConverseCommand({ modelId: MODEL, messages: [{ role: "user", content: [{ text }] }], ...more }),
    );
  }

  it("repeats the user's text with believable numbers", async () => {
    const reply = await ask("What is the capital of France?");
    assert.deepEqual(reply.output?.message, {
      role: "assistant",
      content: [{ text: "You said: What is the capital of France?" }],
    });
    assert.equal(reply.stopReason, "end_turn");
    const { inputTokens = 0, outputTokens = 0, totalTokens } = reply.usage ?? {};
    assert.ok(inputTokens > 0 && outputTokens > inputTokens);
    assert.equal(totalTokens, inputTokens + outputTokens);
    assert.match(reply.$metadata.requestId ?? "", /^[0-9a-f-]{36}$/);
  });

  it("streams the same text in several deltas, and usage last", async () => {
    const { stream } = await client.send(new ConverseStreamCommand({ modelId: MODEL, messages: HELLO }));
    const events = await collect(stream);
    assert.equal(textOf(events), "You said: hello there");
    assert.ok(events.filter((event) => event.contentBlockDelta).length > 1);
    assert.deepEqual(events[0], { messageStart: { role: "assistant" } });
    assert.equal(events.at(-2)?.messageStop?.stopReason, "end_turn");
    assert.ok(events.at(-1)?.metadata?.usage?.totalTokens);
    assert.equal(events.filter((event) => event.contentBlockStart).length, 0, "text has no contentBlockStart");
  });

  it("answers an application profile's ARN", async () => {
    const modelId = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/k3f9a2b7c1d4";
    const reply = await client.send(new ConverseCommand({ modelId, messages: HELLO }));
    assert.equal(reply.stopReason, "end_turn");
    assert.equal(simulator.requests.at(-1)?.modelId, modelId);
  });

  it("calls the tool that the text names, with arguments of the schema", async () => {
    const reply = await ask("Please use the tool get_weather.", { toolConfig: weather });
    const toolUse = reply.output?.message?.content?.[0]?.toolUse;
    assert.equal(reply.stopReason, "tool_use");
    assert.equal(toolUse?.name, "get_weather");
    assert.deepEqual(toolUse?.input, { city: "Paris", unit: "celsius", days: 3 });
    assert.match(toolUse?.toolUseId ?? "", /^[a-zA-Z0-9_.:-]{1,64}$/);
  });

  it("calls no tool that nobody asked for, and the forced one always", async () => {
    assert.equal((await ask("hello", { toolConfig: weather })).stopReason, "end_turn");
    for (const toolChoice of [{ any: {} }, { tool: { name: "get_weather" } }]) {
      const reply = await ask("hello", { toolConfig: { ...weather, toolChoice } });
      assert.equal(reply.output?.message?.content?.[0]?.toolUse?.name, "get_weather");
    }
  });

  it("streams tool calls as fragments of JSON, an empty one for no arguments", async () => {
    const messages: Message[] = [{ role: "user", content: [{ text: "call get_weather and now" }] }];
    const { stream } = await client.send(new ConverseStreamCommand({ modelId: MODEL, messages, toolConfig: weather }));
    const events = await collect(stream);
    const starts = events.flatMap((event) => event.contentBlockStart?.start?.toolUse?.name ?? []);
    assert.deepEqual(starts, ["get_weather", "now"]);
    const fragments = (index: number) =>
      events
        .map((event) => event.contentBlockDelta)
        .filter((delta) => delta?.contentBlockIndex === index)
        .map((delta) => delta?.delta?.toolUse?.input);
    assert.ok(fragments(0).length > 1);
    assert.deepEqual(JSON.parse(fragments(0).join("")), { city: "Paris", unit: "celsius", days: 3 });
    assert.deepEqual(fragments(1), [""]);
    assert.equal(events.at(-2)?.messageStop?.stopReason, "tool_use");
  });

  it("talks about the result of a tool", async () => {
    const messages: Message[] = [
      { role: "user", content: [{ text: "use get_weather" }] },
      { role: "assistant", content: [{ toolUse: { toolUseId: "t1", name: "get_weather", input: {} } }] },
      { role: "user", content: [{ toolResult: { toolUseId: "t1", content: [{ text: "21 °C and sunny" }] } }] },
    ];
    const reply = await client.send(new ConverseCommand({ modelId: MODEL, messages, toolConfig: weather }));
    assert.equal(reply.output?.message?.content?.[0]?.text, "The tool answered: 21 °C and sunny");
  });

  it("fills a JSON schema that the answer has to follow", async () => {
    const schema = { type: "object", properties: { ok: { type: "boolean" } }, additionalProperties: false };
    const jsonSchema = { name: "answer", schema: JSON.stringify(schema) };
    const reply = await ask("hello", {
      outputConfig: { textFormat: { type: "json_schema", structure: { jsonSchema } } },
    });
    assert.equal(reply.output?.message?.content?.[0]?.text, '{"ok":true}');
  });

  it("signs its reasoning when thinking is on", async () => {
    const fields = { thinking: { type: "enabled", budget_tokens: 1024 } };
    const reply = await ask("hello", { additionalModelRequestFields: fields });
    const reasoning = reply.output?.message?.content?.[0]?.reasoningContent?.reasoningText;
    assert.ok(reasoning?.text && reasoning.signature);
    const { stream } = await client.send(
      new ConverseStreamCommand({ modelId: MODEL, messages: HELLO, additionalModelRequestFields: fields }),
    );
    const deltas = (await collect(stream)).map((event) => event.contentBlockDelta?.delta?.reasoningContent);
    assert.equal(deltas.map((delta) => delta?.text ?? "").join(""), reasoning.text);
    assert.equal(deltas.filter((delta) => delta?.signature).length, 1);
  });

  it("writes the prompt cache at first, and reads it for the same beginning", async () => {
    const system = [{ text: "You are a patient teacher. ".repeat(20) }, { cachePoint: { type: "default", ttl: "1h" } }];
    const first = (await ask("one", { system })).usage;
    const second = (await ask("two", { system })).usage;
    assert.equal(first?.cacheReadInputTokens, 0);
    assert.ok((first?.cacheWriteInputTokens ?? 0) > 100);
    assert.deepEqual(first?.cacheDetails, [{ ttl: "1h", inputTokens: first?.cacheWriteInputTokens }]);
    assert.equal(second?.cacheReadInputTokens, first?.cacheWriteInputTokens);
    assert.equal(second?.cacheWriteInputTokens, 0);
    assert.equal(second?.inputTokens, 1, "what was cached is not counted again");
  });

  it("refuses what Bedrock refuses, as a ValidationException", async () => {
    const user = (text: string): Message => ({ role: "user", content: [{ text }] });
    const bad: [Message[], RegExp][] = [
      [[], /messages field is empty/],
      [[{ role: "assistant", content: [{ text: "hi" }] }], /must start with a user message/],
      [[user(" ")], /messages\.0\.content\.0 is blank/],
      [[{ role: "user", content: [] }], /content field at messages\.0 is empty/],
      [
        [
          user("x"),
          { role: "assistant", content: [{ toolUse: { toolUseId: "t1", name: "now", input: {} } }] },
          user("y"),
        ],
        /toolConfig field must be defined/,
      ],
    ];
    for (const [messages, message] of bad)
      await assert.rejects(client.send(new ConverseCommand({ modelId: MODEL, messages })), (error) => {
        assert.ok(error instanceof ValidationException);
        assert.match(error.message, message);
        return true;
      });
    await assert.rejects(ask("x", { inferenceConfig: { temperature: 1.5 } }), /inferenceConfig\.temperature/);
    await assert.rejects(ask("x", { toolConfig: { tools: [] } }), /at least one tool/);
  });

  it("wants every toolUse answered in the next message", async () => {
    const messages: Message[] = [
      { role: "user", content: [{ text: "x" }] },
      { role: "assistant", content: [{ toolUse: { toolUseId: "t1", name: "now", input: {} } }] },
      { role: "user", content: [{ text: "y" }] },
    ];
    await assert.rejects(
      client.send(new ConverseCommand({ modelId: MODEL, messages, toolConfig: weather })),
      /Expected toolResult blocks at messages\.2\.content for the following Ids: t1/,
    );
  });

  it("refuses to chat with an embedding model", async () => {
    const command = new ConverseCommand({ modelId: "amazon.titan-embed-text-v2:0", messages: HELLO });
    await assert.rejects(client.send(command), /This action doesn't support the model/);
  });

  it("refuses unknown fields, broken JSON and unknown paths", async () => {
    const path = `/model/${encodeURIComponent(MODEL)}/converse`;
    const post = (target: string, body: string) => signedFetch(simulator, target, { method: "POST", body });
    const extra = await post(path, JSON.stringify({ messages: HELLO, stream: true }));
    assert.equal(extra.status, 400);
    assert.match(await extra.text(), /extraneous key \[stream\]/);
    const broken = await post(path, "{");
    assert.equal(broken.status, 400);
    assert.match(broken.headers.get("x-amzn-errortype") ?? "", /^SerializationException/);
    for (const target of ["/model/a/b/converse", "/v1/chat/completions", "/"]) {
      const unknown = await post(target, "{}");
      assert.equal(unknown.status, 404);
      assert.match(await unknown.text(), /UnknownOperationException/);
      assert.ok(unknown.headers.get("x-amzn-requestid"));
    }
  });
});
