import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ConverseRequest } from "../../src/bedrock/converse.ts";
import { capabilitiesOf } from "../../src/models/capabilities.ts";
import { applyLessons, createLessons, type Lesson, lessonFrom, withoutParts } from "../../src/models/lessons.ts";

const MODEL_SAYS = "The model returned the following errors: ";
const field = (name: string) => `This model doesn't support the ${name} field. Remove ${name} and try again.`;

describe("a refusal", () => {
  const cases: readonly (readonly [text: string, lesson: Lesson])[] = [
    [field("toolConfig.toolChoice.tool"), { capabilities: { forcedTools: ["any"] } }],
    [field("toolConfig.toolChoice.any"), { capabilities: { forcedTools: [] } }],
    [field("toolConfig.toolChoice.any|tool"), { capabilities: { forcedTools: [] } }],
    [field("inferenceConfig.stopSequences"), { capabilities: { stopSequences: "none" } }],
    [field("temperature"), { capabilities: { sampling: "none" } }],
    [field("topP"), { capabilities: { sampling: "none" } }],
    [field("cachePoint"), { capabilities: { cacheSections: [] } }],
    [field("outputConfig"), { capabilities: { jsonSchema: false } }],
    [field("outputConfig.textFormat"), { capabilities: { jsonSchema: false } }],
    [field("outputConfig.effort"), { capabilities: { reasoning: { style: "none" } } }],
    [field("reasoning_effort"), { capabilities: { reasoning: { style: "none" } } }],
    [field("system"), { capabilities: { system: false } }],
    [field("toolConfig.tools[0].toolSpec.strict"), { capabilities: { strictTools: false } }],
    [field("toolResult.status"), { capabilities: { toolResultStatus: false } }],
    [field("toolConfig"), { capabilities: { tools: false } }],
    [field("performanceConfig"), { without: "performanceConfig" }],
    [field("serviceTier"), { without: "serviceTier" }],
    [field("requestMetadata"), { without: "requestMetadata" }],
    [field("additionalModelResponseFieldPaths"), { without: "additionalModelResponseFieldPaths" }],
    [
      "This model doesn’t support the reasoningContent content block that you provided. Remove it and try again.",
      { capabilities: { reasoningReplay: "none" } },
    ],
    [
      "This model doesn't support the searchResult content block that you provided. Remove it and try again.",
      { capabilities: { searchResults: false } },
    ],
    [
      `${MODEL_SAYS}thinking.adaptive.display: Extra inputs are not permitted`,
      { capabilities: { anthropic: false }, passing: true },
    ],
    ["invalid beta flag", { capabilities: { anthropic: false }, passing: true }],
    [
      `${MODEL_SAYS}Unexpected value(s) \`effort-2025-11-24\` for the \`anthropic-beta\` header.`,
      { capabilities: { anthropic: false }, passing: true },
    ],
    ["This model doesn't support tool use in streaming mode.", { capabilities: { streaming: "without-tools" } }],
    ["This model doesn't support tool use.", { capabilities: { tools: false } }],
    [
      `${MODEL_SAYS}\`temperature\` and \`top_p\` cannot both be specified for this model. Please use only one.`,
      { capabilities: { sampling: "one" } },
    ],
    [`${MODEL_SAYS}\`temperature\` is deprecated for this model.`, { capabilities: { sampling: "none" } }],
    [
      "This model does not support assistant message prefill. The conversation must end with a user message.",
      { capabilities: { prefill: false } },
    ],
    [
      "You invoked an unsupported model or your request did not allow prompt caching.",
      { capabilities: { cacheSections: [] } },
    ],
    [`${MODEL_SAYS}output_config.format: Extra inputs are not permitted`, { capabilities: { jsonSchema: false } }],
    [
      `${MODEL_SAYS}output_config.format.schema: Schema is too complex for compilation.`,
      { capabilities: { jsonSchema: false }, passing: true },
    ],
    [`${MODEL_SAYS}Schemas contains too many conditions.`, { capabilities: { jsonSchema: false }, passing: true }],
    [
      `${MODEL_SAYS}tool_choice: type "tool" and "any" are not supported for this model`,
      { capabilities: { forcedTools: [] } },
    ],
    [
      "Conversation blocks and tool result blocks cannot be provided in the same turn.",
      { capabilities: { toolResultsWithContent: false } },
    ],
    [
      "User messages cannot contain reasoning content. Please remove the reasoning content and try again.",
      { capabilities: { reasoningReplay: "none" } },
    ],
    [
      "The maximum tokens you requested exceeds the model limit of 4096. Try again with a lower value.",
      { capabilities: { maxTokens: 4096 } },
    ],
  ];
  for (const [text, lesson] of cases)
    it(`teaches: ${text.slice(0, 100)}`, () => assert.deepEqual(lessonFrom(text), lesson));

  for (const text of [
    "",
    "Input is too long for requested model.",
    "The model is overloaded.",
    field("guardrailConfig"),
    field("guardrailConfig.trace"),
    field("messages"),
    field("additionalModelRequestFields"),
    field("somethingNew"),
  ])
    it(`teaches nothing: ${text.slice(0, 100)}`, () => assert.equal(lessonFrom(text), undefined));

  it("teaches nothing by a text that it only quotes, because that may be a client's", () => {
    for (const [text] of cases) {
      for (const quoting of [
        `Value '${text}' at 'toolConfig.toolChoice.tool.name' failed to satisfy constraint`,
        `${MODEL_SAYS}messages.0: unknown tag ${text}`,
        `\n${text}`,
      ])
        assert.equal(lessonFrom(quoting), undefined, quoting);
    }
  });

  it("is read in no time, however long it is", () => {
    const started = performance.now();
    lessonFrom(`${MODEL_SAYS}tool_choice: type ${"is ".repeat(300_000)}`);
    lessonFrom(`This model doesn't support the ${"a.".repeat(300_000)}`);
    assert.ok(performance.now() - started < 1_000);
  });
});

describe("lessons", () => {
  const lesson: Lesson = { capabilities: { tools: false } };

  it("are remembered for each model by itself, each once, in their order", () => {
    const lessons = createLessons();
    const other: Lesson = { without: "serviceTier" };
    assert.deepEqual(lessons.of("a"), []);
    for (const next of [lesson, other, { capabilities: { tools: false } }]) lessons.learn("a", next);
    assert.deepEqual(lessons.of("a"), [lesson, other]);
    assert.deepEqual(lessons.of("b"), []);
  });

  it("are at most sixteen for a model", () => {
    const lessons = createLessons();
    for (let maxTokens = 1; maxTokens <= 50; maxTokens += 1) lessons.learn("a", { capabilities: { maxTokens } });
    assert.equal(lessons.of("a").length, 16);
  });

  it("are remembered for a thousand models, of which the one that was asked for the longest ago goes", () => {
    const lessons = createLessons();
    for (let index = 0; index < 1_000; index += 1) lessons.learn(`m${index}`, lesson);
    lessons.of("m0");
    lessons.learn("new", lesson);
    assert.deepEqual([lessons.of("m0").length, lessons.of("m1").length, lessons.of("new").length], [1, 0, 1]);
  });

  it("are forgotten after a day, so that a model that has improved is asked again", async (t) => {
    const lessons = createLessons();
    let now = 1_000;
    t.mock.method(performance, "now", () => now);
    lessons.learn("a", lesson);
    // The cache looks at the clock once in a millisecond.
    await sleep(5);
    now += 24 * 60 * 60_000 - 10;
    assert.equal(lessons.of("a").length, 1);
    await sleep(5);
    now += 20;
    assert.equal(lessons.of("a").length, 0);
  });
});

describe("what lessons say", () => {
  it("goes over the table's row, the later over the earlier", () => {
    const known = capabilitiesOf("amazon.nova-lite-v1:0");
    const learned: Lesson[] = [
      { capabilities: { forcedTools: ["any"], tools: false } },
      { without: "serviceTier" },
      { capabilities: { forcedTools: [] } },
    ];
    assert.deepEqual(applyLessons(known, learned), { ...known, forcedTools: [], tools: false });
    assert.deepEqual(applyLessons(known, []), known);
  });

  it("takes whole parts out of a request and leaves the others in their order", () => {
    const request: ConverseRequest = {
      messages: [],
      serviceTier: { type: "priority" },
      performanceConfig: { latency: "optimized" },
      guardrailConfig: { guardrailIdentifier: "g", guardrailVersion: "1" },
    };
    assert.equal(withoutParts(request, [{ capabilities: { tools: false } }]), request);
    const left = withoutParts(request, [{ without: "serviceTier" }, { without: "requestMetadata" }]);
    assert.deepEqual(Object.keys(left), ["messages", "performanceConfig", "guardrailConfig"]);
  });
});
