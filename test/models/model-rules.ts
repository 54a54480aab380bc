/** What a model refuses, told from its row alone: the judge of adapted requests. */
import type { ContentBlock, ConverseRequest } from "../../src/bedrock/converse.ts";
import { isJsonObject } from "../../src/json.ts";
import type { Capabilities } from "../../src/models/capabilities.ts";

/** Every way in which the request goes beyond the capabilities; empty when none. */
export function brokenCapabilities(request: ConverseRequest, model: Capabilities, stream: boolean): string[] {
  return [
    ...contentProblems(request, model),
    ...toolProblems(request, model, stream),
    ...inferenceProblems(request, model),
    ...thinkingProblems(request, model),
    ...cacheProblems(request, model),
  ];
}

type Rule = readonly [broken: boolean, what: string];

function broken(...rules: Rule[]): string[] {
  return rules.filter(([isBroken]) => isBroken).map(([, what]) => what);
}

function contentProblems(request: ConverseRequest, model: Capabilities): string[] {
  const blocks = request.messages.flatMap((message) => message.content);
  const results = blocks.flatMap((block) => ("toolResult" in block ? [block.toolResult] : []));
  const parts = results.flatMap((result) => result.content);
  const ids = blocks.flatMap((block) => ("toolUse" in block ? [block.toolUse.toolUseId] : []));
  const reasoning = blocks.flatMap((block) => ("reasoningContent" in block ? [block.reasoningContent] : []));
  const unsigned = reasoning.filter((block) => "reasoningText" in block && block.reasoningText.signature === undefined);
  const mixed = request.messages.some(({ content }) => {
    const solid = content.filter((block) => !("cachePoint" in block));
    return has(solid, "toolResult") && solid.some((block) => !("toolResult" in block));
  });
  const lastTurn = request.messages.at(-1);
  return broken(
    [!model.system && request.system !== undefined, "a system prompt"],
    [!model.images && (has(blocks, "image") || has(parts, "image")), "an image"],
    [!model.documents && (has(blocks, "document") || has(parts, "document")), "a document"],
    [!model.searchResults && (has(blocks, "searchResult") || has(parts, "searchResult")), "a search result"],
    [!model.tools && (has(blocks, "toolUse") || results.length > 0), "tool blocks"],
    [!model.toolResultMedia && (has(parts, "image") || has(parts, "document")), "media in a tool's result"],
    [!model.toolResultJson && has(parts, "json"), "JSON in a tool's result"],
    [!model.toolResultStatus && results.some((result) => result.status !== undefined), "a result's status"],
    [!model.toolResultsWithContent && mixed, "results and content in one turn"],
    [
      model.toolUseIds === "nine-alphanumeric" && ids.some((id) => !/^[a-zA-Z0-9]{9}$/.test(id)),
      "a call id that is not nine letters and digits",
    ],
    [model.reasoningReplay === "none" && reasoning.length > 0, "reasoning"],
    [model.reasoningReplay === "signed" && unsigned.length > 0, "unsigned reasoning"],
    [model.reasoningReplay === "unsigned" && unsigned.length < reasoning.length, "signed or redacted reasoning"],
    [lastTurn?.role === "assistant" && (!model.prefill || thinks(request)), "prefill"],
  );
}

function toolProblems({ toolConfig, outputConfig, ...request }: ConverseRequest, model: Capabilities, stream: boolean) {
  const choice = toolConfig?.toolChoice;
  const specs = (toolConfig?.tools ?? []).flatMap((tool) => ("toolSpec" in tool ? [tool.toolSpec] : []));
  const forced = choice !== undefined && !("auto" in choice);
  const own = request.additionalModelRequestFields?.tool_choice;
  return broken(
    [!model.tools && toolConfig !== undefined, "tools"],
    [forced && "any" in choice && !model.forcedTools.includes("any"), "the choice any"],
    [forced && "tool" in choice && !model.forcedTools.includes("tool"), "the choice tool"],
    [forced && thinks(request) && !model.forcedToolsWhileThinking, "a forced tool while it thinks"],
    [!model.strictTools && specs.some((spec) => spec.strict !== undefined), "strict"],
    [!model.jsonSchema && outputConfig?.textFormat !== undefined, "textFormat"],
    [own !== undefined && (!model.singleToolCalls || toolConfig === undefined), "tool_choice of the model's own"],
    [isJsonObject(own) && own.type !== undefined && choice !== undefined, "two tool choices"],
    [stream && (model.streaming === "never" || (model.streaming === "without-tools" && specs.length > 0)), "a stream"],
  );
}

function inferenceProblems(request: ConverseRequest, model: Capabilities): string[] {
  const { maxTokens, temperature, topP, stopSequences = [] } = request.inferenceConfig ?? {};
  const fields = request.additionalModelRequestFields ?? {};
  const topK = fields.top_k ?? (isJsonObject(fields.inferenceConfig) ? fields.inferenceConfig.topK : undefined);
  const sampled = temperature !== undefined || topP !== undefined || topK !== undefined;
  const bare = isBare(request, model);
  return broken(
    [!bare && maxTokens === undefined, "no maxTokens"],
    [bare && (sampled || maxTokens !== undefined), "inference settings with the highest effort"],
    [maxTokens !== undefined && maxTokens < model.minTokens, "maxTokens below the least"],
    [maxTokens !== undefined && maxTokens > (model.maxTokens ?? maxTokens), "maxTokens above the most"],
    [model.sampling === "none" && sampled, "sampling"],
    [model.sampling === "one" && temperature !== undefined && topP !== undefined, "temperature and topP together"],
    [isClaude(model) && thinks(request) && sampled, "sampling while it thinks"],
    [model.topK !== "top_k" && fields.top_k !== undefined, "top_k"],
    [model.topK !== "inferenceConfig.topK" && fields.inferenceConfig !== undefined, "inferenceConfig.topK"],
    [model.stopSequences === "none" && stopSequences.length > 0, "stop sequences"],
    [model.stopSequences === "non-blank" && stopSequences.some((text) => text.trim() === ""), "a blank stop sequence"],
  );
}

function thinkingProblems(request: ConverseRequest, { reasoning }: Capabilities): string[] {
  const { thinking, reasoningConfig, reasoning_effort, reasoning: openai } = request.additionalModelRequestFields ?? {};
  const type = isJsonObject(thinking) ? thinking.type : undefined;
  const budget = isJsonObject(thinking) ? thinking.budget_tokens : undefined;
  const effort = request.outputConfig?.effort;
  const efforts: readonly string[] = "efforts" in reasoning ? reasoning.efforts : [];
  const named = isJsonObject(reasoningConfig)
    ? reasoningConfig.maxReasoningEffort
    : isJsonObject(openai)
      ? openai.effort
      : (reasoning_effort ?? effort);
  const min = "minBudget" in reasoning ? reasoning.minBudget : undefined;
  const types: Record<string, boolean> = {
    enabled: min !== undefined,
    adaptive: reasoning.style === "adaptive" && !reasoning.always,
    disabled: reasoning.style === "adaptive" && reasoning.off === "disabled",
    between_tools: reasoning.style === "adaptive" && reasoning.off === "between_tools",
  };
  return broken(
    [typeof type === "string" && types[type] !== true, `thinking ${type}`],
    [(type === "enabled") !== (budget !== undefined), "a budget without thinking, or the other way round"],
    [typeof budget === "number" && budget < (min ?? 0), "a budget below the least"],
    [typeof budget === "number" && budget >= (request.inferenceConfig?.maxTokens ?? 0), "a budget without room"],
    [effort !== undefined && reasoning.style !== "adaptive", "outputConfig.effort"],
    [type === "disabled" && (effort === "xhigh" || effort === "max"), "a high effort without thinking"],
    [reasoningConfig !== undefined && reasoning.style !== "nova", "reasoningConfig"],
    [reasoning_effort !== undefined && reasoning.style !== "reasoning_effort", "reasoning_effort"],
    [openai !== undefined && reasoning.style !== "reasoning.effort", "reasoning.effort"],
    [named !== undefined && !(typeof named === "string" && efforts.includes(named)), `effort ${named}`],
    [type === "enabled" && !toolTurnStartsWithReasoning(request), "thinking in a turn that began without"],
  );
}

function cacheProblems({ toolConfig, system, messages }: ConverseRequest, model: Capabilities): string[] {
  const points = {
    tools: (toolConfig?.tools ?? []).flatMap((tool) => ("cachePoint" in tool ? [tool.cachePoint] : [])),
    system: (system ?? []).flatMap((block) => ("cachePoint" in block ? [block.cachePoint] : [])),
    messages: messages.flatMap(({ content }) =>
      content.flatMap((block) => ("cachePoint" in block ? [block.cachePoint] : [])),
    ),
  };
  const all = Object.values(points).flat();
  return broken(
    [points.tools.length > 0 && !model.cacheSections.includes("tools"), "a cache point after tools"],
    [points.system.length > 0 && !model.cacheSections.includes("system"), "a cache point after the system prompt"],
    [points.messages.length > 0 && !model.cacheSections.includes("messages"), "a cache point in messages"],
    [all.length > model.maxCachePoints, "too many cache points"],
    [all.some(({ ttl }) => ttl !== undefined && !model.cacheTtls.includes("1h")), "a ttl"],
  );
}

function has(blocks: readonly object[], kind: string): boolean {
  return blocks.some((block) => kind in block);
}

function isClaude({ reasoning }: Capabilities): boolean {
  return reasoning.style === "budget" || reasoning.style === "adaptive";
}

/** By the request's own words; a model that thinks unasked takes no prefill anyway. */
function thinks({ additionalModelRequestFields: fields }: Pick<ConverseRequest, "additionalModelRequestFields">) {
  const thinking = fields?.thinking;
  return isJsonObject(thinking) && (thinking.type === "enabled" || thinking.type === "adaptive");
}

function isBare({ additionalModelRequestFields: fields }: ConverseRequest, { reasoning }: Capabilities): boolean {
  const config = fields?.reasoningConfig;
  return reasoning.style === "nova" && isJsonObject(config) && config.maxReasoningEffort === reasoning.bareEffort;
}

function toolTurnStartsWithReasoning({ messages }: ConverseRequest): boolean {
  const isResults = (content: readonly ContentBlock[]): boolean => has(content, "toolResult");
  if (!isResults(messages.at(-1)?.content ?? [])) return true;
  let first = messages.length - 1;
  while (first > 0 && (messages[first]?.role === "assistant" || isResults(messages[first]?.content ?? []))) first -= 1;
  const block = messages[first + 1]?.content[0];
  return block !== undefined && "reasoningContent" in block;
}
