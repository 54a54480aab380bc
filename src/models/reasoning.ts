/**
 * How hard to think, in the words of each family: OpenAI's efforts and Anthropic's budgets, turned into one another.
 *
 * https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html and the models' own pages.
 * What a model can't do comes as near as it gets, with a warning. Budgets become exact with the request's token limit
 * (inference.ts).
 */

import type { Message } from "../bedrock/converse.ts";
import { EFFORTS, type Effort, type Intent } from "../bedrock/intent.ts";
import { unreachable } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import type { Reasoning } from "./capabilities.ts";

export interface ThinkingPlan {
  /** It will think, as far as the request decides. */
  readonly on: boolean;
  /** Claude takes no sampling settings while it thinks. */
  readonly withoutSampling: boolean;
  /** The request must have no inference settings at all. */
  readonly bare: boolean;
  /** For additionalModelRequestFields. */
  readonly fields: JsonObject;
  /** For outputConfig.effort. */
  readonly effort?: Effort;
  readonly budget?: ThinkingBudget;
}

export interface ThinkingBudget {
  readonly wanted: number;
  readonly min: number;
  /** The client named the number itself. */
  readonly exact: boolean;
}

/** What a client asked for, whichever API it used. */
type Wish =
  | { readonly type: "unset"; readonly effort?: Effort }
  | { readonly type: "off"; readonly effort?: Effort }
  | { readonly type: "on"; readonly effort?: Effort; readonly budget?: number };

const BUDGETS: Readonly<Record<Exclude<Effort, "none">, number>> = {
  minimal: 1_024,
  low: 2_048,
  medium: 8_192,
  high: 16_384,
  xhigh: 32_768,
  max: 49_152,
};

const NOTHING: ThinkingPlan = { on: false, withoutSampling: false, bare: false, fields: {} };

/** `messages` as they are sent: Claude's budgets depend on the signed reasoning in them. */
export function planThinking(
  intent: Intent,
  reasoning: Reasoning,
  messages: readonly Message[],
  warn: (warning: string) => void,
): ThinkingPlan {
  const wish = wishOf(intent, reasoning);
  switch (reasoning.style) {
    case "none":
      if (wish.type === "on") warn("this model does not think; the reasoning settings were left out");
      return NOTHING;
    case "fixed":
      if (wish.type !== "unset") warn("this model thinks as it likes; the reasoning settings were left out");
      return { ...NOTHING, on: true };
    case "budget":
      return planBudget(wish, reasoning.minBudget, messages, warn);
    case "adaptive":
      return planAdaptive(wish, reasoning, messages, warn);
    case "nova": {
      if (wish.type !== "on") return NOTHING;
      const effort = nearest(effortOf(wish) ?? "medium", reasoning.efforts, warn);
      const reasoningConfig = { type: "enabled", maxReasoningEffort: effort };
      return { ...NOTHING, on: true, bare: effort === reasoning.bareEffort, fields: { reasoningConfig } };
    }
    case "reasoning_effort": {
      if (wish.type === "unset" || (wish.type === "off" && reasoning.offByDefault)) return NOTHING;
      return { ...NOTHING, on: true, fields: { reasoning_effort: namedEffort(wish, reasoning.efforts, warn) } };
    }
    case "reasoning.effort": {
      if (wish.type === "unset") return NOTHING;
      const effort = namedEffort(wish, reasoning.efforts, warn);
      return { ...NOTHING, on: effort !== "none", fields: { reasoning: { effort } } };
    }
    default:
      return unreachable(reasoning);
  }
}

function wishOf({ effort, outputEffort, thinking }: Intent, { style }: Reasoning): Wish {
  const named = effort === undefined || effort === "none" ? {} : { effort };
  switch (thinking?.type) {
    case "disabled":
      return { type: "off", ...named };
    case "enabled":
      return { type: "on", ...named, budget: thinking.budgetTokens };
    case "adaptive":
      if (thinking.effort === "none") return { type: "off" };
      return { type: "on", ...named, ...(thinking.effort !== undefined && { effort: thinking.effort }) };
    default:
      if (effort === undefined && outputEffort !== undefined) {
        // Elsewhere than with Claude, effort is nothing but how hard to think.
        const claude = style === "budget" || style === "adaptive";
        return { type: claude || style === "none" || style === "fixed" ? "unset" : "on", effort: outputEffort };
      }
      if (effort === undefined) return { type: "unset" };
      return effort === "none" ? { type: "off" } : { type: "on", ...named };
  }
}

function planBudget(
  wish: Wish,
  min: number,
  messages: readonly Message[],
  warn: (warning: string) => void,
): ThinkingPlan {
  if (wish.type !== "on") return NOTHING;
  if (!toolTurnIsSigned(messages)) {
    warn("the turn's tool calls came back without their signed reasoning; it goes on without thinking");
    return NOTHING;
  }
  return { ...NOTHING, on: true, withoutSampling: true, budget: budgetOf(wish, min, warn) };
}

function planAdaptive(
  wish: Wish,
  { efforts, always, off, minBudget }: Extract<Reasoning, { style: "adaptive" }>,
  messages: readonly Message[],
  warn: (warning: string) => void,
): ThinkingPlan {
  const on: ThinkingPlan = { ...NOTHING, on: true, withoutSampling: true };
  switch (wish.type) {
    case "unset": {
      const plan = always ? on : NOTHING;
      if (wish.effort === undefined) return plan;
      return { ...plan, effort: nearest(always ? wish.effort : lower(wish.effort, "high"), efforts, warn) };
    }
    case "off": {
      if (off === undefined) {
        const lowest = nearest("minimal", efforts, ignore);
        warn(`this model can't stop thinking; effort ${lowest} was sent`);
        return { ...on, effort: lowest };
      }
      const plan = { ...(always ? on : NOTHING), fields: { thinking: { type: off } } };
      if (wish.effort === undefined) return plan;
      // More than "high" is refused while thinking is disabled.
      return { ...plan, effort: nearest(lower(wish.effort, "high"), efforts, warn) };
    }
    case "on": {
      if (wish.budget !== undefined && minBudget !== undefined && toolTurnIsSigned(messages))
        return { ...on, budget: budgetOf(wish, minBudget, warn) };
      const asked = effortOf(wish);
      const effort = asked === undefined ? undefined : nearest(asked, efforts, warn);
      return {
        ...on,
        fields: always ? {} : { thinking: { type: "adaptive" } },
        ...(effort !== undefined && { effort }),
      };
    }
    default:
      return unreachable(wish);
  }
}

/**
 * "Expected `thinking` …, but found `tool_use`": a turn that goes on with tool results must have begun with reasoning when
 * it thinks by a budget. Adaptive thinking has no such rule.
 */
function toolTurnIsSigned(messages: readonly Message[]): boolean {
  const isResults = ({ content }: Message): boolean => content.some((block) => "toolResult" in block);
  const last = messages.at(-1);
  if (last === undefined || !isResults(last)) return true;
  const question = messages.findLastIndex((message) => message.role === "user" && !isResults(message));
  const first = messages[question + 1]?.content[0];
  return first !== undefined && "reasoningContent" in first;
}

function budgetOf(
  { effort = "medium", budget }: Extract<Wish, { type: "on" }>,
  min: number,
  warn: (warning: string) => void,
): ThinkingBudget {
  if (budget !== undefined && budget < min) warn(`the thinking budget was raised to ${min}, the least that is taken`);
  const wanted = budget ?? (effort === "none" ? min : BUDGETS[effort]);
  return { wanted: Math.max(wanted, min), min, exact: budget !== undefined };
}

/** The effort of a wish for models that take no budget. */
function effortOf({ effort, budget }: Extract<Wish, { type: "on" }>): Effort | undefined {
  if (effort !== undefined || budget === undefined) return effort;
  return EFFORTS.findLast((name) => name !== "none" && BUDGETS[name] <= budget) ?? "minimal";
}

function namedEffort(
  wish: Exclude<Wish, { type: "unset" }>,
  efforts: readonly Effort[],
  warn: (warning: string) => void,
): Effort {
  if (wish.type === "on") return nearest(effortOf(wish) ?? "medium", efforts, warn);
  if (efforts.includes("none")) return "none";
  const lowest = nearest("minimal", efforts, ignore);
  warn(`this model can't stop thinking; effort ${lowest} was sent`);
  return lowest;
}

/** The highest effort that is not above `effort`, else the lowest there is. */
function nearest(effort: Effort, efforts: readonly Effort[], warn: (warning: string) => void): Effort {
  const thinking = EFFORTS.filter((name) => name !== "none" && efforts.includes(name));
  const rank = EFFORTS.indexOf(effort);
  const found = thinking.findLast((name) => EFFORTS.indexOf(name) <= rank) ?? thinking[0] ?? effort;
  if (found !== effort) warn(`reasoning effort ${effort} is unknown to this model, ${found} was sent`);
  return found;
}

function lower(a: Effort, b: Effort): Effort {
  return EFFORTS.indexOf(a) < EFFORTS.indexOf(b) ? a : b;
}

function ignore(): void {}
