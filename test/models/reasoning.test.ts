import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ContentBlock, ConverseRequest, Message } from "../../src/bedrock/converse.ts";
import { EFFORTS, type Effort, type Intent, type Thinking } from "../../src/bedrock/intent.ts";
import { CAPABILITY_TABLE } from "../../src/models/capability-table.ts";
import { adaptTo, toolTurns } from "./adapting.ts";

const CLAUDE_3_7 = "anthropic.claude-3-7-sonnet-20250219-v1:0";
const CLAUDE_4_5 = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const SONNET_4_6 = "anthropic.claude-sonnet-4-6";
const OPUS_5 = "anthropic.claude-opus-5";
const SONNET_5_5 = "anthropic.claude-sonnet-5-5";
const OPUS_5_5 = "anthropic.claude-opus-5-5";
const HAIKU_5_5 = "anthropic.claude-haiku-5-5";
const NOVA_2 = "amazon.nova-2-lite-v1:0";

interface Sent {
  readonly fields: ConverseRequest["additionalModelRequestFields"];
  readonly effort: string | undefined;
  readonly max: number | undefined;
  readonly warnings: string;
}

function send(model: string, intent: Intent, inferenceConfig: ConverseRequest["inferenceConfig"] = {}): Sent {
  const { request, warnings } = adaptTo(model, { intent, request: { inferenceConfig } });
  return {
    fields: request.additionalModelRequestFields,
    effort: request.outputConfig?.effort,
    max: request.inferenceConfig?.maxTokens,
    warnings: warnings.join("; "),
  };
}

function budget(model: string, intent: Intent, maxTokens?: number): { budget: unknown; max: number | undefined } {
  const { fields, max } = send(model, intent, maxTokens === undefined ? {} : { maxTokens });
  const thinking = fields?.thinking;
  return {
    budget:
      typeof thinking === "object" && thinking !== null && "budget_tokens" in thinking
        ? thinking.budget_tokens
        : undefined,
    max,
  };
}

function enabled(budgetTokens: number): Intent {
  return { thinking: { type: "enabled", budgetTokens } };
}

describe("reasoning_effort", () => {
  for (const [model, effort, fields, sentEffort] of [
    [SONNET_4_6, "low", { thinking: { type: "adaptive" } }, "low"],
    [SONNET_4_6, "xhigh", { thinking: { type: "adaptive" } }, "high"],
    [SONNET_4_6, "max", { thinking: { type: "adaptive" } }, "max"],
    [SONNET_4_6, "none", { thinking: { type: "disabled" } }, undefined],
    [OPUS_5, "xhigh", { thinking: { type: "adaptive" } }, "xhigh"],
    [OPUS_5, "minimal", { thinking: { type: "adaptive" } }, "low"],
    [HAIKU_5_5, "max", { thinking: { type: "adaptive" } }, "high"],
    [OPUS_5_5, "high", undefined, "high"],
    [OPUS_5_5, "none", undefined, "low"],
    [SONNET_5_5, "none", { thinking: { type: "between_tools" } }, undefined],
    [CLAUDE_4_5, "none", undefined, undefined],
    [NOVA_2, "low", { reasoningConfig: { type: "enabled", maxReasoningEffort: "low" } }, undefined],
    [NOVA_2, "none", undefined, undefined],
    ["openai.gpt-oss-20b-1:0", "max", { reasoning_effort: "high" }, undefined],
    ["openai.gpt-oss-20b-1:0", "none", { reasoning_effort: "low" }, undefined],
    ["deepseek.v3.2", "high", { reasoning_effort: "high" }, undefined],
    ["deepseek.v3.2", "none", undefined, undefined],
    ["moonshotai.kimi-k3", "medium", { reasoning_effort: "low" }, undefined],
    ["openai.gpt-5.6-sol", "none", { reasoning: { effort: "none" } }, undefined],
    ["openai.gpt-6.1-sol", "none", { reasoning: { effort: "low" } }, undefined],
    ["openai.gpt-6.1-sol", "xhigh", { reasoning: { effort: "xhigh" } }, undefined],
    ["minimax.minimax-m2", "high", undefined, undefined],
    ["meta.llama3-3-70b-instruct-v1:0", "high", undefined, undefined],
  ] as const) {
    it(`${effort} becomes what ${model} takes`, () => {
      const sent = send(model, { effort });
      assert.deepEqual([sent.fields, sent.effort], [fields, sentEffort]);
    });
  }

  it("that is not asked for changes nothing", () => {
    for (const { ids } of CAPABILITY_TABLE) {
      const { fields, effort, warnings } = send(ids[0] ?? "", {});
      assert.deepEqual([fields, effort, warnings], [undefined, undefined, ""]);
    }
  });

  it("warns where it is changed or has no effect", () => {
    assert.match(send(OPUS_5_5, { effort: "none" }).warnings, /can't stop thinking/);
    assert.match(send(HAIKU_5_5, { effort: "max" }).warnings, /max is unknown.*high was sent/);
    assert.match(send("meta.llama4-scout-17b-instruct-v1:0", { effort: "low" }).warnings, /does not think/);
    assert.match(send("deepseek.r1-v1:0", { effort: "low" }).warnings, /as it likes/);
    assert.equal(send("meta.llama4-scout-17b-instruct-v1:0", { effort: "none" }).warnings, "");
  });

  it("high takes all inference settings from Nova 2", () => {
    const { request, warnings } = adaptTo(NOVA_2, {
      intent: { effort: "high", topK: 3 },
      request: { inferenceConfig: { maxTokens: 100, temperature: 0.5, stopSequences: ["x"] } },
    });
    assert.deepEqual(request.inferenceConfig, { stopSequences: ["x"] });
    assert.match(warnings.join(), /no token limit/);
  });
});

describe("a thinking budget", () => {
  it("comes on top of the default limit, and shrinks where the model's longest answer is short", () => {
    assert.deepEqual(budget(CLAUDE_4_5, { effort: "high" }), { budget: 16_384, max: 32_768 });
    assert.deepEqual(budget(CLAUDE_4_5, { effort: "low" }), { budget: 2_048, max: 18_432 });
    assert.deepEqual(budget(CLAUDE_4_5, { effort: "max" }), { budget: 32_000, max: 64_000 });
    assert.deepEqual(budget(CLAUDE_3_7, { effort: "high" }), { budget: 4_096, max: 8_192 });
  });

  it("is at most half of the client's limit when an effort asked for it", () => {
    assert.deepEqual(budget(CLAUDE_4_5, { effort: "low" }, 10_000), { budget: 2_048, max: 10_000 });
    assert.deepEqual(budget(CLAUDE_4_5, { effort: "high" }, 10_000), { budget: 5_000, max: 10_000 });
    assert.deepEqual(budget(CLAUDE_4_5, { effort: "high" }, 2_048), { budget: 1_024, max: 2_048 });
  });

  it("raises a limit that leaves no room for the smallest", () => {
    assert.deepEqual(budget(CLAUDE_4_5, { effort: "high" }, 500), { budget: 1_024, max: 1_524 });
    assert.deepEqual(budget(CLAUDE_4_5, enabled(8_000), 2_047), { budget: 1_024, max: 3_071 });
    assert.match(send(CLAUDE_4_5, { effort: "high" }, { maxTokens: 500 }).warnings, /raised to 1524/);
  });

  it("is kept to the token when the client named it, as far as it fits", () => {
    assert.deepEqual(budget(CLAUDE_4_5, enabled(9_999), 10_000), { budget: 9_999, max: 10_000 });
    assert.deepEqual(budget(CLAUDE_4_5, enabled(10_000), 10_000), { budget: 5_000, max: 10_000 });
    assert.deepEqual(budget(CLAUDE_4_5, enabled(10), 10_000), { budget: 1_024, max: 10_000 });
    assert.deepEqual(budget(CLAUDE_4_5, enabled(10_000)), { budget: 10_000, max: 26_384 });
  });

  it("is given up where the longest answer is shorter than the smallest", () => {
    for (const inferenceConfig of [{}, { maxTokens: 500 }]) {
      const { request, warnings } = adaptTo(CLAUDE_4_5, {
        intent: { effort: "low" },
        request: { inferenceConfig },
        overrides: { maxTokens: 1_000, defaultTokens: 1_000 },
      });
      assert.equal(request.additionalModelRequestFields, undefined);
      assert.match(warnings.join(), /too short to think/);
    }
  });

  it("stays one where Claude takes budgets and adaptive thinking, and becomes an effort where only that", () => {
    assert.deepEqual(budget(SONNET_4_6, enabled(3_000), 10_000), { budget: 3_000, max: 10_000 });
    const sent = send(OPUS_5, enabled(9_000), { maxTokens: 10_000 });
    assert.deepEqual([sent.fields, sent.effort], [{ thinking: { type: "adaptive" } }, "medium"]);
  });
});

describe("Anthropic's thinking", () => {
  for (const [model, thinking, fields, effort] of [
    [CLAUDE_4_5, { type: "disabled" }, undefined, undefined],
    [SONNET_4_6, { type: "adaptive" }, { thinking: { type: "adaptive" } }, undefined],
    [SONNET_4_6, { type: "adaptive", effort: "max" }, { thinking: { type: "adaptive" } }, "max"],
    [OPUS_5_5, { type: "adaptive" }, undefined, undefined],
    [OPUS_5_5, { type: "disabled" }, undefined, "low"],
    [NOVA_2, { type: "adaptive" }, { reasoningConfig: { type: "enabled", maxReasoningEffort: "medium" } }, undefined],
    ["openai.gpt-6-sol", { type: "enabled", budgetTokens: 20_000 }, { reasoning: { effort: "high" } }, undefined],
  ] as const satisfies readonly (readonly [string, Thinking, unknown, Effort | undefined])[]) {
    it(`${JSON.stringify(thinking)} becomes what ${model} takes`, () => {
      const sent = send(model, { thinking });
      assert.deepEqual([sent.fields, sent.effort], [fields, effort]);
    });
  }

  it("wins over an effort, which then says how much", () => {
    const off = send(OPUS_5, { thinking: { type: "disabled" }, effort: "max" });
    assert.deepEqual([off.fields, off.effort], [{ thinking: { type: "disabled" } }, "high"]);
    const on = send(OPUS_5, { thinking: { type: "adaptive" }, effort: "max" });
    assert.deepEqual([on.fields, on.effort], [{ thinking: { type: "adaptive" } }, "max"]);
  });
});

describe("Anthropic's effort without a word of thinking", () => {
  for (const [model, outputEffort, fields, effort] of [
    [SONNET_4_6, "medium", undefined, "medium"],
    // More is refused without thinking.
    [SONNET_4_6, "max", undefined, "high"],
    [OPUS_5_5, "max", undefined, "max"],
    [CLAUDE_4_5, "high", undefined, undefined],
    [NOVA_2, "low", { reasoningConfig: { type: "enabled", maxReasoningEffort: "low" } }, undefined],
    ["openai.gpt-oss-120b-1:0", "high", { reasoning_effort: "high" }, undefined],
    ["deepseek.r1-v1:0", "high", undefined, undefined],
    ["amazon.nova-lite-v1:0", "high", undefined, undefined],
  ] as const) {
    it(`${outputEffort} starts no thinking in Claude, and is the only way to say it elsewhere: ${model}`, () => {
      const sent = send(model, { outputEffort });
      assert.deepEqual([sent.fields, sent.effort, sent.warnings], [fields, effort, ""]);
    });
  }
});

describe("a turn that goes on with tool results", () => {
  const signed: ContentBlock = { reasoningContent: { reasoningText: { text: "hm", signature: "c2ln" } } };
  const thinkingOf = (model: string, reasoning: ContentBlock[]) => {
    const { request, warnings } = adaptTo(model, { request: toolTurns({ reasoning }), intent: { effort: "low" } });
    return [request.additionalModelRequestFields?.thinking, warnings.length];
  };

  it("thinks by a budget when it began with signed reasoning", () => {
    assert.deepEqual(thinkingOf(CLAUDE_4_5, [signed]), [{ type: "enabled", budget_tokens: 2_048 }, 0]);
  });

  it("goes on without when the reasoning is gone or unsigned", () => {
    assert.deepEqual(thinkingOf(CLAUDE_4_5, []), [undefined, 1]);
    assert.deepEqual(thinkingOf(CLAUDE_4_5, [{ reasoningContent: { reasoningText: { text: "hm" } } }]), [undefined, 1]);
  });

  it("is judged from its first call on, not by what lies before", () => {
    const earlier = toolTurns();
    const turn = toolTurns({ id: "c2", reasoning: [signed] });
    const ok: Message = { role: "assistant", content: [{ text: "ok" }] };
    const messages = [...earlier.messages, ok, ...turn.messages];
    const { request } = adaptTo(CLAUDE_4_5, { request: { ...turn, messages }, intent: { effort: "low" } });
    assert.deepEqual(request.additionalModelRequestFields?.thinking, { type: "enabled", budget_tokens: 2_048 });
  });

  it("thinks adaptively all the same, also when a budget was asked for", () => {
    assert.deepEqual(thinkingOf(OPUS_5, []), [{ type: "adaptive" }, 0]);
    const { request } = adaptTo(SONNET_4_6, { request: toolTurns(), intent: enabled(2_048) });
    assert.deepEqual(request.additionalModelRequestFields?.thinking, { type: "adaptive" });
    assert.equal(request.outputConfig?.effort, "low");
  });
});

describe("every family", () => {
  const THINKING: readonly (Thinking | undefined)[] = [
    undefined,
    { type: "disabled" },
    { type: "adaptive" },
    ...[0, 1_024, 5_000, 1_000_000].map((budgetTokens) => ({ type: "enabled", budgetTokens }) as const),
  ];
  const LIMITS = [undefined, 1, 16, 1_023, 1_024, 1_025, 2_047, 2_048, 8_192, 64_000, 10_000_000];

  for (const { family, ids } of CAPABILITY_TABLE) {
    it(`gets a valid request of every effort, thinking and limit: ${family}`, () => {
      for (const effort of [undefined, ...EFFORTS]) {
        for (const thinking of THINKING) {
          for (const maxTokens of LIMITS) {
            // adaptTo fails for a request that the family does not take.
            adaptTo(ids[0] ?? "", {
              intent: { ...(effort && { effort }), ...(thinking && { thinking }), topK: 5 },
              request: { inferenceConfig: { temperature: 0.2, topP: 0.9, ...(maxTokens && { maxTokens }) } },
            });
          }
        }
      }
    });
  }
});
