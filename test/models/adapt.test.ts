import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type {
  ContentBlock,
  ConverseEvent,
  ConverseRequest,
  ConverseResponse,
  Message,
} from "../../src/bedrock/converse.ts";
import type { Intent } from "../../src/bedrock/intent.ts";
import { adaptTo, QUESTION, refusal, tool, toolTurns } from "./adapting.ts";

const CLAUDE_4 = "anthropic.claude-sonnet-4-20250514-v1:0";
const CLAUDE_4_5 = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const OPUS_5 = "anthropic.claude-opus-5";
const OPUS_5_5 = "anthropic.claude-opus-5-5";
const NOVA = "amazon.nova-pro-v1:0";
const LLAMA = "meta.llama3-3-70b-instruct-v1:0";
const MISTRAL = "mistral.mistral-large-2407-v1:0";
const PIXTRAL = "mistral.pixtral-large-2502-v1:0";
const TITAN = "amazon.titan-text-express-v1";
const R1 = "deepseek.r1-v1:0";
const GPT = "openai.gpt-6.1-sol";
const GPT_OSS = "openai.gpt-oss-120b-1:0";

const IMAGE: ContentBlock = { image: { format: "png", source: { bytes: "iVBORw0KGgo=" } } };
const PDF: ContentBlock = { document: { format: "pdf", name: "a", source: { bytes: "JVBERg==" } } };
const NOTES: ContentBlock = { document: { format: "md", name: "n", source: { bytes: "IyBhCg==" } } };

function ask(...content: ContentBlock[]): { messages: Message[] } {
  return { messages: [{ role: "user", content: [{ text: "See" }, ...content] }] };
}

describe("a request that a model takes as it is", () => {
  it("gets a token limit and nothing else", () => {
    const request = { messages: [QUESTION], system: [{ text: "Be brief." }] };
    const adapted = adaptTo(NOVA, { request, stream: true });
    assert.deepEqual(adapted.request, { ...request, inferenceConfig: { maxTokens: 10_000 } });
    assert.deepEqual([adapted.warnings, adapted.stream], [[], true]);
  });

  it("asks Claude for the count of its thinking while it thinks, and nobody else", () => {
    const paths = (model: string, effort: "high" | "none") =>
      adaptTo(model, { request: { messages: [QUESTION] }, intent: { effort } }).request
        .additionalModelResponseFieldPaths;
    assert.deepEqual(paths(CLAUDE_4_5, "high"), ["/usage/output_tokens_details"]);
    assert.deepEqual(paths(OPUS_5, "high"), ["/usage/output_tokens_details"]);
    assert.equal(paths(CLAUDE_4_5, "none"), undefined);
    assert.equal(paths(GPT_OSS, "high"), undefined);
  });

  it("asks Claude for the stop sequence that ended its answer, where the client wants to know", () => {
    const paths = (model: string, stream: boolean, intent: Intent = { namesStopSequence: true }) =>
      adaptTo(model, { request: { inferenceConfig: { stopSequences: ["END"] } }, intent, stream }).request
        .additionalModelResponseFieldPaths;
    assert.deepEqual(paths(CLAUDE_4_5, false), ["/stop_sequence"]);
    assert.deepEqual(paths(CLAUDE_4_5, true), ["/delta/stop_sequence"]);
    assert.deepEqual(paths(CLAUDE_4_5, true, { namesStopSequence: true, effort: "low" }), [
      "/usage/output_tokens_details",
      "/delta/stop_sequence",
    ]);
    assert.equal(paths(CLAUDE_4_5, true, {}), undefined);
    assert.equal(paths(NOVA, true), undefined);
    assert.equal(
      adaptTo(CLAUDE_4_5, { intent: { namesStopSequence: true } }).request.additionalModelResponseFieldPaths,
      undefined,
    );
  });

  it("tells Claude how to show its thinking, while it thinks", () => {
    const thinking = (model: string, intent: Intent) =>
      adaptTo(model, { intent: { ...intent, thinkingDisplay: "summarized" } }).request.additionalModelRequestFields;
    const budget: Intent = { thinking: { type: "enabled", budgetTokens: 2_048 } };
    assert.deepEqual(thinking(CLAUDE_4_5, budget)?.thinking, {
      type: "enabled",
      budget_tokens: 2_048,
      display: "summarized",
    });
    assert.deepEqual(thinking(OPUS_5, { effort: "high" })?.thinking, { type: "adaptive", display: "summarized" });
    assert.deepEqual(thinking(OPUS_5, { effort: "none" })?.thinking, { type: "disabled" });
    assert.equal(thinking(CLAUDE_4_5, {}), undefined);
    assert.deepEqual(thinking(GPT_OSS, budget), { reasoning_effort: "low" });
  });

  it("sends Anthropic's betas to Claude alone, and a client's own field before them", () => {
    const fields = (model: string, intent: Intent) => adaptTo(model, { intent }).request.additionalModelRequestFields;
    assert.deepEqual(fields(CLAUDE_4_5, { betas: ["a"] }), { anthropic_beta: ["a"] });
    assert.deepEqual(fields(CLAUDE_4_5, { betas: ["a"], modelFields: { anthropic_beta: ["b"] } }), {
      anthropic_beta: ["b"],
    });
    assert.equal(fields(NOVA, { betas: ["a"] }), undefined);
  });

  it("keeps the fields that no model decides about", () => {
    const others = { requestMetadata: { a: "b" }, serviceTier: { type: "flex" } };
    const { request } = adaptTo(CLAUDE_4, { request: others });
    assert.deepEqual(request.requestMetadata, others.requestMetadata);
    assert.deepEqual(request.serviceTier, others.serviceTier);
  });

  it("has its answer and its events passed on untouched", () => {
    const { answer, events } = adaptTo(NOVA);
    const response: ConverseResponse = {
      output: { message: { role: "assistant", content: [{ text: "Hi" }] } },
      stopReason: "end_turn",
      usage: { inputTokens: 1, outputTokens: 1 },
    };
    const event: ConverseEvent = { type: "contentBlockDelta", index: 0, delta: { text: "Hi" } };
    assert.equal(answer(response), response);
    assert.deepEqual([...events().push(event)], [event]);
  });
});

describe("search results", () => {
  const searchResult = {
    source: "https://example.com",
    title: "A page",
    content: [{ text: "One." }, { text: "Two." }],
  };
  const inResult = toolTurns({ result: [{ searchResult }] });

  it("stay what they are with Claude, in a tool's result too", () => {
    assert.deepEqual(
      adaptTo(CLAUDE_4_5, { request: ask({ searchResult }) }).request.messages,
      ask({ searchResult }).messages,
    );
    assert.deepEqual(adaptTo(CLAUDE_4_5, { request: inResult }).request.messages, inResult.messages);
  });

  it("become text elsewhere", () => {
    const text = "A page (https://example.com)\n\nOne.\n\nTwo.";
    assert.deepEqual(adaptTo(NOVA, { request: ask({ searchResult }) }).request.messages, ask({ text }).messages);
    const [, , results] = adaptTo(NOVA, { request: inResult }).request.messages;
    assert.partialDeepStrictEqual(results?.content[0], { toolResult: { content: [{ text }] } });
  });
});

describe("the system prompt", () => {
  it("becomes the beginning of the user's first words where there is none", () => {
    const { request } = adaptTo(TITAN, { request: { system: [{ text: "Be brief." }, { text: "Be kind." }] } });
    assert.deepEqual(request.messages, [
      { role: "user", content: [{ text: "Be brief.\n\nBe kind." }, { text: "Hi" }] },
    ]);
    assert.equal(request.system, undefined);
  });
});

describe("media", () => {
  it("are refused by their place when the model can't read them", () => {
    assert.match(refusal(LLAMA, { request: ask(IMAGE) }), /^messages: .*can't read images/);
    assert.match(refusal("amazon.nova-micro-v1:0", { request: ask(PDF) }), /^messages: .*can't read documents/);
    assert.match(refusal(CLAUDE_4, { request: ask({ audio: { format: "mp3", source: { bytes: "AA==" } } }) }), /audio/);
    assert.match(refusal(CLAUDE_4, { request: ask({ video: { format: "mp4", source: { bytes: "AA==" } } }) }), /video/);
  });

  it("are refused inside a tool's result too", () => {
    const image = { format: "png", source: { bytes: "iVBORw0KGgo=" } } as const;
    assert.match(refusal(LLAMA, { request: toolTurns({ result: [{ image }] }) }), /^messages: .*images/);
  });

  it("are sent to models that read them", () => {
    assert.deepEqual(adaptTo(NOVA, { request: ask(IMAGE, PDF) }).request.messages, ask(IMAGE, PDF).messages);
  });

  it("become text where they are text and the model reads no documents", () => {
    const { request } = adaptTo("amazon.nova-micro-v1:0", { request: ask(NOTES) });
    assert.deepEqual(request.messages[0]?.content[1], { text: 'Document "n":\n\n# a\n' });
  });

  it("of a tool's result go beside it, in the same order, where results hold text only", () => {
    const image = { format: "png", source: { bytes: "iVBORw0KGgo=" } } as const;
    const { request } = adaptTo(GPT, {
      request: toolTurns({ result: [{ image }], after: [{ text: "And now?" }] }),
    });
    assert.deepEqual(request.messages[2]?.content, [
      { toolResult: { toolUseId: "c1", content: [{ text: "(attached below)" }] } },
      { text: "From the result of tool call c1:" },
      { image },
      { text: "And now?" },
    ]);
  });
});

describe("tool results", () => {
  it("keep status and JSON for Claude", () => {
    const { request } = adaptTo(CLAUDE_4, { request: toolTurns({ result: [{ json: { a: 1 } }] }) });
    assert.deepEqual(request.messages[2]?.content, [
      { toolResult: { toolUseId: "c1", content: [{ json: { a: 1 } }], status: "error" } },
    ]);
  });

  it("give Nova JSON as text", () => {
    const { request } = adaptTo(NOVA, { request: toolTurns({ result: [{ json: { a: 1 } }] }) });
    assert.deepEqual(request.messages[2]?.content, [
      { toolResult: { toolUseId: "c1", content: [{ text: '{"a":1}' }], status: "error" } },
    ]);
  });

  it("lose their status elsewhere", () => {
    const { request } = adaptTo(GPT_OSS, { request: toolTurns() });
    assert.deepEqual(request.messages[2]?.content, [{ toolResult: { toolUseId: "c1", content: [{ text: "done" }] } }]);
  });

  it("get a turn of their own in Mistral's templates", () => {
    const { request } = adaptTo(MISTRAL, { request: toolTurns({ id: "abcdefghi", after: [{ text: "And now?" }] }) });
    assert.deepEqual(request.messages.slice(2), [
      { role: "user", content: [{ toolResult: { toolUseId: "abcdefghi", content: [{ text: "done" }] } }] },
      { role: "assistant", content: [{ text: "Tool result received." }] },
      { role: "user", content: [{ text: "And now?" }] },
    ]);
  });

  it("and their calls get the same nine letters and digits for Mistral, whatever the conversation", () => {
    const short = adaptTo(MISTRAL, { request: toolTurns({ id: "tooluse_AbCdEfGhIjK" }) }).request.messages;
    const long = adaptTo(MISTRAL, {
      request: {
        ...toolTurns({ id: "tooluse_AbCdEfGhIjK" }),
        messages: [
          ...toolTurns({ id: "tooluse_AbCdEfGhIjK" }).messages,
          { role: "assistant", content: [{ text: "k" }] },
          QUESTION,
        ],
      },
    }).request.messages;
    assert.deepEqual(long.slice(0, 3), short);
    assert.notDeepEqual(
      adaptTo(MISTRAL, { request: toolTurns({ id: "tooluse_AbCdEfGhIjL" }) }).request.messages,
      short,
    );
  });
});

describe("tools", () => {
  const forced = { toolConfig: { tools: [tool("read"), tool("write")], toolChoice: { tool: { name: "read" } } } };
  const anyTool = { toolConfig: { tools: [tool("read"), tool("write")], toolChoice: { any: {} } } };

  it("are refused where the model has none and one is asked for, else left out with a warning", () => {
    assert.match(refusal(R1, { request: forced }), /^tools: /);
    const { request, warnings } = adaptTo(R1, { request: { toolConfig: { tools: [tool("read")] } } });
    assert.equal(request.toolConfig, undefined);
    assert.match(warnings.join(), /tools were left out/);
  });

  it("of earlier turns become text where the model has none", () => {
    const { request } = adaptTo(R1, { request: toolTurns() });
    assert.deepEqual(request.messages.slice(1), [
      { role: "assistant", content: [{ text: 'Tool call: read({"a":1})' }] },
      { role: "user", content: [{ text: "Tool result: done" }] },
    ]);
  });

  it("turn a stream into a whole answer where the model can't stream them", () => {
    const request = { toolConfig: { tools: [tool("read")] } };
    assert.equal(adaptTo(LLAMA, { request, stream: true }).stream, false);
    assert.equal(adaptTo(LLAMA, { stream: true }).stream, true);
    assert.equal(adaptTo(MISTRAL, { request, stream: true }).stream, false);
    assert.equal(adaptTo(NOVA, { request, stream: true }).stream, true);
    assert.equal(adaptTo("ai21.j2-mid-v1", { stream: true }).stream, false);
  });

  it("keep a choice that the model knows", () => {
    assert.deepEqual(adaptTo(NOVA, { request: forced }).request.toolConfig, forced.toolConfig);
    assert.deepEqual(adaptTo(PIXTRAL, { request: anyTool }).request.toolConfig, anyTool.toolConfig);
  });

  it("are chosen by any where the only one is forced and the model can't be told its name", () => {
    const single = { toolConfig: { tools: [tool("read")], toolChoice: { tool: { name: "read" } } } };
    const { request, warnings } = adaptTo(PIXTRAL, { request: single });
    assert.deepEqual(request.toolConfig?.toolChoice, { any: {} });
    assert.deepEqual(warnings, []);
  });

  for (const [model, request, told] of [
    [PIXTRAL, forced, /the tool read/],
    [LLAMA, forced, /the tool read/],
    [OPUS_5_5, anyTool, /one of the tools/],
  ] as const) {
    it(`are asked for in words where a choice can't be forced: ${model}`, () => {
      const adapted = adaptTo(model, { request: { ...request, system: [{ text: "Be brief." }] } });
      assert.equal(adapted.request.toolConfig?.toolChoice, undefined);
      const [first, last] = adapted.request.system ?? [];
      assert.deepEqual(first, { text: "Be brief." });
      assert.match(JSON.stringify(last), told);
      assert.match(adapted.warnings.join(), /can't be forced/);
    });
  }

  it("can't be forced while Claude 4.5 thinks, but can while Opus 5 does", () => {
    const intent = { effort: "high" } as const;
    assert.equal(adaptTo(CLAUDE_4_5, { request: anyTool, intent }).request.toolConfig?.toolChoice, undefined);
    assert.deepEqual(adaptTo(OPUS_5, { request: anyTool, intent }).request.toolConfig?.toolChoice, { any: {} });
  });

  it("are strict where the model holds to it, with their schemas in the subset that it takes", () => {
    const schema = { type: "object", properties: { a: { type: "string", maxLength: 3 } } } as const;
    const request = {
      toolConfig: { tools: [{ toolSpec: { name: "read", inputSchema: { json: schema }, strict: true } }] },
    };
    assert.deepEqual(adaptTo(CLAUDE_4_5, { request }).request.toolConfig?.tools[0], {
      toolSpec: {
        name: "read",
        strict: true,
        inputSchema: {
          json: {
            type: "object",
            properties: { a: { type: "string", description: "maxLength: 3" } },
            additionalProperties: false,
          },
        },
      },
    });
    const { request: loose, warnings } = adaptTo(NOVA, { request });
    assert.deepEqual(loose.toolConfig?.tools, [{ toolSpec: { name: "read", inputSchema: { json: schema } } }]);
    assert.match(warnings.join(), /strict/);
  });

  it("are called one at a time on Claude, which must not be told the choice twice", () => {
    const intent = { parallelToolCalls: false };
    const auto = adaptTo(CLAUDE_4_5, { request: { toolConfig: { tools: [tool("read")] } }, intent }).request;
    assert.deepEqual(auto.additionalModelRequestFields, {
      tool_choice: { type: "auto", disable_parallel_tool_use: true },
    });
    const any = adaptTo(CLAUDE_4_5, { request: anyTool, intent }).request;
    assert.deepEqual(any.additionalModelRequestFields, { tool_choice: { disable_parallel_tool_use: true } });
    assert.equal(adaptTo(CLAUDE_4_5, { intent }).request.additionalModelRequestFields, undefined);
    assert.match(adaptTo(NOVA, { request: anyTool, intent }).warnings.join(), /several tools/);
  });
});

describe("the beginning of an answer", () => {
  const prefilled = { messages: [QUESTION, { role: "assistant", content: [{ text: "{" }] }] } satisfies {
    messages: Message[];
  };

  it("stays for models that go on with it", () => {
    assert.deepEqual(adaptTo(CLAUDE_4_5, { request: prefilled }).request.messages, prefilled.messages);
  });

  for (const [why, model, intent] of [
    ["for models that don't", OPUS_5, {}],
    ["while the model thinks", CLAUDE_4_5, { effort: "low" }],
    ["when the answer has a form of its own", CLAUDE_4_5, { format: { type: "json_object" } }],
  ] as const) {
    it(`is followed by a request to continue ${why}`, () => {
      const { request, warnings } = adaptTo(model, { request: prefilled, intent });
      assert.deepEqual(request.messages.at(-1), { role: "user", content: [{ text: "Continue." }] });
      assert.match(warnings.join(), /continue/);
    });
  }
});

describe("an answer that ends the conversation with nothing but dropped reasoning", () => {
  it("is no beginning to go on with", () => {
    const unsigned: ContentBlock = { reasoningContent: { reasoningText: { text: "hm" } } };
    const messages: Message[] = [QUESTION, { role: "assistant", content: [unsigned] }];
    const { request } = adaptTo(CLAUDE_4_5, { request: { messages } });
    assert.deepEqual(request.messages.at(-1), { role: "user", content: [{ text: "Continue." }] });
  });
});

describe("reasoning of earlier turns", () => {
  const signed: ContentBlock = { reasoningContent: { reasoningText: { text: "hm", signature: "c2ln" } } };
  const unsigned: ContentBlock = { reasoningContent: { reasoningText: { text: "hm" } } };
  const redacted: ContentBlock = { reasoningContent: { redactedContent: "eA==" } };
  const sent = (model: string): ContentBlock[] => {
    const request = toolTurns({ reasoning: [signed, unsigned, redacted] });
    const { content = [] } = adaptTo(model, { request }).request.messages[1] ?? {};
    return content.filter((block) => "reasoningContent" in block);
  };

  it("goes back to Claude when it is signed or redacted", () => assert.deepEqual(sent(CLAUDE_4), [signed, redacted]));
  it("goes back to gpt-oss as plain text", () => assert.deepEqual(sent(GPT_OSS), [unsigned, unsigned]));
  it("goes back to no other model", () => assert.deepEqual(sent(NOVA), []));

  it("leaves a turn that had nothing else with a filler", () => {
    const messages: Message[] = [QUESTION, { role: "assistant", content: [signed] }, QUESTION];
    assert.deepEqual(adaptTo(NOVA, { request: { messages } }).request.messages[1]?.content, [{ text: "." }]);
  });
});

describe("cache points", () => {
  const long = { cachePoint: { type: "default", ttl: "1h" } } as const;
  const request = {
    messages: [{ role: "user", content: [{ text: "Hi" }, long] }],
    system: [{ text: "Be brief." }, long],
    toolConfig: { tools: [tool("read"), long] },
  } satisfies Partial<ConverseRequest>;
  const found = (model: string) => {
    const { request: sent } = adaptTo(model, { request });
    const points = [sent.toolConfig?.tools, sent.system, sent.messages[0]?.content].map((blocks) => {
      const point = (blocks ?? []).find((block) => "cachePoint" in block);
      return point === undefined || !("cachePoint" in point) ? "-" : (point.cachePoint.ttl ?? "short");
    });
    return points.join(" ");
  };

  it("stay where and as long as the model caches", () => {
    assert.equal(found(CLAUDE_4_5), "1h 1h 1h");
    assert.equal(found(CLAUDE_4), "short short short");
    assert.equal(found(NOVA), "- short short");
    assert.equal(found(GPT), "- - -");
  });

  it("are counted against an operator's limit, the latest kept", () => {
    const { request: sent } = adaptTo(CLAUDE_4, { request, overrides: { maxCachePoints: 1 } });
    assert.equal(JSON.stringify(sent).split("cachePoint").length, 2);
    assert.deepEqual(sent.messages[0]?.content[1], { cachePoint: { type: "default" } });
  });
});

describe("fields of a model's own", () => {
  it("from the client are sent, next to ours", () => {
    const { request } = adaptTo(NOVA, {
      intent: { modelFields: { inferenceConfig: { seed: 1 }, anthropic_beta: ["x"] }, topK: 5 },
    });
    assert.deepEqual(request.additionalModelRequestFields, {
      inferenceConfig: { seed: 1, topK: 5 },
      anthropic_beta: ["x"],
    });
  });
});

describe("how a guardrail looks at a stream", () => {
  const guardrailConfig = { guardrailIdentifier: "abc", guardrailVersion: "1", streamProcessingMode: "async" } as const;
  it("is said only where the answer really comes as one", () => {
    const asked = { request: { guardrailConfig, toolConfig: { tools: [tool("f")] } }, stream: true };
    assert.deepEqual(adaptTo(NOVA, asked).request.guardrailConfig, guardrailConfig);
    const whole = adaptTo(LLAMA, asked);
    assert.equal(whole.stream, false);
    assert.deepEqual(whole.request.guardrailConfig, { guardrailIdentifier: "abc", guardrailVersion: "1" });
  });
});
