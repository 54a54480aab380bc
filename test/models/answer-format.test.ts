import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AnswerBlock, ConverseEvent, ConverseResponse } from "../../src/bedrock/converse.ts";
import type { AnswerFormat, Intent } from "../../src/bedrock/intent.ts";
import { synthesizeEvents } from "../../src/bedrock/synthesize-events.ts";
import type { Adapted } from "../../src/models/adapt.ts";
import { adaptTo, tool } from "./adapting.ts";

const CLAUDE_4 = "anthropic.claude-sonnet-4-20250514-v1:0";
const CLAUDE_4_5 = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const OPUS_5_5 = "anthropic.claude-opus-5-5";
const NOVA = "amazon.nova-pro-v1:0";
const LLAMA = "meta.llama3-3-70b-instruct-v1:0";
const PIXTRAL = "mistral.pixtral-large-2502-v1:0";
const TITAN = "amazon.titan-text-express-v1";

const SCHEMA = { type: "object", properties: { city: { type: "string" } }, required: ["city"] } as const;
const FORMAT: AnswerFormat = { type: "json_schema", schema: SCHEMA, name: "place", description: "Where it is." };
const RECURSIVE: AnswerFormat = {
  type: "json_schema",
  schema: { type: "object", properties: { n: { $ref: "#/$defs/n" } }, $defs: { n: { items: { $ref: "#/$defs/n" } } } },
};

function formatted(model: string, format: AnswerFormat = FORMAT, intent: Intent = {}, tools: string[] = []): Adapted {
  const toolConfig = { tools: tools.map((name) => tool(name)) };
  return adaptTo(model, {
    intent: { ...intent, format },
    request: tools.length > 0 ? { toolConfig } : {},
    stream: true,
  });
}

describe("an answer in JSON is asked for", () => {
  it("by Bedrock's structured output where the model has it", () => {
    const { request } = formatted(CLAUDE_4_5);
    const { schema, ...about } = request.outputConfig?.textFormat?.structure.jsonSchema ?? { schema: "" };
    assert.deepEqual(JSON.parse(schema), { ...SCHEMA, additionalProperties: false });
    assert.deepEqual(about, { name: "place", description: "Where it is." });
    assert.deepEqual([request.toolConfig, request.system], [undefined, undefined]);
  });

  it("by a hidden tool that is forced where it does not", () => {
    const { request } = formatted(NOVA);
    assert.deepEqual(request.toolConfig, {
      tools: [
        {
          toolSpec: {
            name: "json_response",
            description: "Gives the answer. Call it once, with the whole answer. The answer is place: Where it is.",
            inputSchema: { json: SCHEMA },
          },
        },
      ],
      toolChoice: { tool: { name: "json_response" } },
    });
  });

  it("by any tool where a single one can't be named", () => {
    const { request, stream } = formatted(PIXTRAL);
    assert.deepEqual(request.toolConfig?.toolChoice, { any: {} });
    assert.equal(stream, false, "this model can't stream tools");
  });

  it("by any tool beside the client's own, under a name that is free", () => {
    const { request } = formatted(NOVA, FORMAT, {}, ["read", "json_response"]);
    assert.deepEqual(request.toolConfig?.toolChoice, { any: {} });
    const names = request.toolConfig?.tools.map((item) => ("toolSpec" in item ? item.toolSpec.name : ""));
    assert.deepEqual(names, ["read", "json_response", "json_response_2"]);
  });

  it("by a hidden tool where structured output can't say the schema", () => {
    assert.equal(formatted(CLAUDE_4_5, RECURSIVE).request.outputConfig, undefined);
    assert.ok(formatted(CLAUDE_4_5, RECURSIVE).request.toolConfig);
  });

  for (const [why, model, format, intent] of [
    ["the model can't be forced", LLAMA, FORMAT, {}],
    ["the newest Claude can't be forced", OPUS_5_5, FORMAT, {}],
    ["Claude thinks and can't be forced then", CLAUDE_4, FORMAT, { effort: "low" }],
    ["the answer is no object", NOVA, { type: "json_schema", schema: { type: "array" } }, {}],
    ["there is no schema", CLAUDE_4_5, { type: "json_object" }, {}],
  ] as const satisfies readonly (readonly [string, string, AnswerFormat, Intent])[]) {
    it(`by an instruction where ${why}`, () => {
      const { request } = formatted(model, format, intent);
      assert.equal(request.toolConfig, undefined);
      assert.match(JSON.stringify(request.system), /Answer with .*JSON.* and nothing else/);
      if (format === FORMAT) assert.match(JSON.stringify(request.system), /city/);
    });
  }

  it("by an instruction to the user where there is no system prompt", () => {
    assert.match(JSON.stringify(formatted(TITAN).request.messages), /Answer with JSON/);
  });

  it("without a word against the client's tools", () => {
    assert.match(JSON.stringify(formatted(LLAMA, FORMAT, {}, ["read"]).request.system), /Call tools as you need/);
  });

  it("not at all when the client forces one of its own tools", () => {
    const toolConfig = { tools: [tool("read")], toolChoice: { any: {} } };
    for (const format of [FORMAT, { type: "json_object" } as const]) {
      const { request } = adaptTo(NOVA, { intent: { format }, request: { toolConfig } });
      assert.deepEqual([request.toolConfig, request.system], [toolConfig, undefined]);
    }
  });
});

const TEXT = (text: string): AnswerBlock => ({ text });
const CALL = (name: string, input: object = { city: "Rome" }): AnswerBlock => ({
  toolUse: { toolUseId: `id-${name}`, name, input: { ...input } },
});
const THOUGHT: AnswerBlock = { reasoningContent: { reasoningText: { text: "hm" } } };
const ROME = '{"city":"Rome"}';

function response(stopReason: string, ...content: AnswerBlock[]): ConverseResponse {
  return {
    output: { message: { role: "assistant", content } },
    stopReason,
    usage: { inputTokens: 1, outputTokens: 1 },
  };
}

/** What the client's dialect sees: blocks, and why it stopped. */
function read(adapted: Adapted, answer: ConverseResponse): [blocks: AnswerBlock[], stopReason: string] {
  const { output, stopReason } = adapted.answer(answer);
  return [output.message.content, stopReason];
}

describe("the answer of a hidden tool", () => {
  const own = formatted(NOVA);
  const beside = formatted(NOVA, FORMAT, {}, ["read"]);

  it("is text, and ends like text", () => {
    assert.deepEqual(read(own, response("tool_use", CALL("json_response"))), [[TEXT(ROME)], "end_turn"]);
  });

  it("stands alone: words around it go, reasoning stays", () => {
    const answer = response("tool_use", THOUGHT, TEXT("Here: "), CALL("json_response"), TEXT("Done."));
    assert.deepEqual(read(own, answer), [[THOUGHT, TEXT(ROME)], "end_turn"]);
  });

  it("is the first when there are several", () => {
    const answer = response("tool_use", CALL("json_response"), CALL("json_response", { city: "Oslo" }));
    assert.deepEqual(read(own, answer), [[TEXT(ROME)], "end_turn"]);
  });

  it("is an empty object when it has no input", () => {
    assert.deepEqual(read(own, response("tool_use", CALL("json_response", {})))[0], [TEXT("{}")]);
    const events = own.events();
    const start = { toolUse: { toolUseId: "t", name: "json_response" } };
    const seen = [
      ...events.push({ type: "contentBlockStart", index: 0, start }),
      ...events.push({ type: "contentBlockDelta", index: 0, delta: { toolUse: { input: "" } } }),
      ...events.push({ type: "contentBlockStop", index: 0 }),
    ];
    assert.deepEqual(seen[0], { type: "contentBlockDelta", index: 0, delta: { text: "{}" } });
  });

  it("that was cut off says so", () => {
    assert.equal(read(own, response("max_tokens", CALL("json_response")))[1], "max_tokens");
  });

  it("that was never given leaves the text, such as a refusal", () => {
    const answer = response("end_turn", TEXT("I can't."));
    assert.deepEqual(read(own, answer), [[TEXT("I can't.")], "end_turn"]);
  });

  it("leaves calls of the client's tools alone, and the words before them", () => {
    const answer = response("tool_use", TEXT("Let me see. "), CALL("read"));
    assert.deepEqual(read(beside, answer), [[TEXT("Let me see. "), CALL("read")], "tool_use"]);
  });

  it("next to a call of the client's still ends in a call", () => {
    const answer = response("tool_use", CALL("json_response"), CALL("read"));
    assert.deepEqual(read(beside, answer), [[TEXT(ROME), CALL("read")], "tool_use"]);
  });

  it("comes piece by piece in a stream", () => {
    const events = own.events();
    const push = (event: ConverseEvent): ConverseEvent[] => [...events.push(event)];
    const start = { toolUse: { toolUseId: "t", name: "json_response" } };
    assert.deepEqual(push({ type: "contentBlockStart", index: 0, start }), []);
    for (const piece of ['{"ci', 'ty":', '"Rome"}']) {
      assert.deepEqual(push({ type: "contentBlockDelta", index: 0, delta: { toolUse: { input: piece } } }), [
        { type: "contentBlockDelta", index: 0, delta: { text: piece } },
      ]);
    }
  });
});

describe("an answer that was told to be JSON", () => {
  const told = formatted(LLAMA);
  const json = (text: string, ...more: string[]) => {
    const [blocks] = read(told, response("end_turn", ...[text, ...more].map(TEXT)));
    return blocks.map((block) => block.text).join("");
  };

  it("loses the words and fences around it", () => {
    assert.equal(json(ROME), ROME);
    assert.equal(json(`\`\`\`json\n${ROME}\n\`\`\``), ROME);
    assert.equal(json(`Here it is:\n${ROME}\nAnything else?`), ROME);
    assert.equal(json("Here it is: ", ROME), ROME);
  });

  it("keeps braces, brackets and quotes inside its strings", () => {
    const tricky = String.raw`{"a":"}] \" \\","b":[{"c":"{"}]}`;
    assert.equal(json(`${tricky} }`), tricky);
  });

  it("stays text when there is no JSON in it", () => {
    assert.equal(json("I can't."), "I can't.");
    assert.equal(json("I ", "can't."), "I can't.");
  });

  it("that was cut off comes as far as it got", () => {
    assert.equal(json('Sure: {"city": "Ro'), '{"city": "Ro');
  });

  it("may be an array when the schema says so", () => {
    const list = formatted(NOVA, { type: "json_schema", schema: { type: "array" } });
    assert.deepEqual(read(list, response("end_turn", TEXT('So: [{"a":1}]')))[0], [TEXT('[{"a":1}]')]);
  });

  it("is passed on as it comes, wherever a stream is cut", () => {
    const text = `Well:\n\`\`\`json\n${String.raw`{"a":"x\"}","b":[1,{"c":2}]}`}\n\`\`\`\nDone.`;
    for (let size = 1; size <= text.length; size += 1) {
      const events = told.events();
      let seen = "";
      for (let at = 0; at < text.length; at += size) {
        const delta = { text: text.slice(at, at + size) };
        for (const event of events.push({ type: "contentBlockDelta", index: 0, delta }))
          if (event.type === "contentBlockDelta") seen += event.delta.text ?? "";
      }
      assert.equal(seen, String.raw`{"a":"x\"}","b":[1,{"c":2}]}`);
    }
  });
});

describe("a whole answer and the events of the same answer", () => {
  const BLOCKS = [TEXT("Hi {"), TEXT("x"), TEXT(`a ${ROME} b`), THOUGHT, CALL("read"), CALL("json_response"), {}];
  const ways = { tool: formatted(NOVA, FORMAT, {}, ["read"]), text: formatted(LLAMA, FORMAT, {}, ["read"]) };

  for (const [way, adapted] of Object.entries(ways)) {
    it(`agree in every order of blocks, and open and close each block once, by ${way}`, () => {
      for (const content of orders(BLOCKS, 3)) {
        const whole = response("tool_use", ...content);
        const events = [...run(adapted, synthesizeEvents(whole))];
        assert.deepEqual(collect(events, whole), read(adapted, whole), JSON.stringify(content));
        const stops = events.flatMap((event) => (event.type === "contentBlockStop" ? [event.index] : []));
        const seen = new Set(events.flatMap((event) => ("index" in event ? [event.index] : [])));
        assert.deepEqual(stops.toSorted(), [...seen].toSorted(), JSON.stringify(content));
      }
    });
  }
});

function* orders<T>(values: readonly T[], length: number): Iterable<T[]> {
  if (length === 0) yield [];
  else for (const rest of orders(values, length - 1)) for (const value of values) yield [value, ...rest];
}

function* run(adapted: Adapted, events: readonly ConverseEvent[]): Iterable<ConverseEvent> {
  const machine = adapted.events();
  for (const event of events) yield* machine.push(event);
  yield* machine.end();
}

/** The blocks that a reader of the events would put together; those without text as they were sent. */
function collect(events: readonly ConverseEvent[], sent: ConverseResponse): [AnswerBlock[], string] {
  const blocks = new Map<number, AnswerBlock>();
  let stopReason = "";
  for (const event of events) {
    if (event.type === "messageStop") stopReason = event.stopReason;
    if (event.type === "contentBlockStart") blocks.set(event.index, sent.output.message.content[event.index] ?? {});
    if (event.type !== "contentBlockDelta") continue;
    const { text } = event.delta;
    const before = blocks.get(event.index);
    if (text !== undefined) blocks.set(event.index, { text: (before?.text ?? "") + text });
    else if (before === undefined) blocks.set(event.index, sent.output.message.content[event.index] ?? {});
  }
  return [[...blocks.values()], stopReason];
}
