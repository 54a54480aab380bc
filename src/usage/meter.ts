/**
 * Watches an answer go by and knows what it used: Bedrock's own numbers, or an estimate when they never came.
 */
import type { TokenUsage as BedrockUsage, ConverseEvent, ConverseResponse } from "../bedrock/converse.ts";
import { reasoningTokens } from "../bedrock/reasoning-tokens.ts";
import type { TokenUsage } from "../store/store.ts";
import type { Transform } from "../transform.ts";
import { bytesOf, estimateTokens } from "./estimate.ts";

export interface Meter {
  /** Unix milliseconds of the first piece of the answer. */
  readonly firstTokenAt: number | undefined;
  /** What Bedrock says that it served, which may be less than was asked for. */
  readonly served: Served;
  /** Whether Bedrock has given any token or any count. */
  readonly begun: boolean;
  /** What the call used: `estimated` where Bedrock never said. */
  total(estimatedInputTokens: number): { usage: TokenUsage; estimated: boolean };
  /** A stage of the stream: passes every event on unchanged. */
  readonly stage: Transform<ConverseEvent, ConverseEvent>;
  /** A whole answer. */
  read(response: ConverseResponse): void;
  /** What was seen of an answer that passes unread. */
  note(sighting: Sighting): void;
}

/** A part of an answer, as far as it tells of usage. */
export type Sighting =
  | ConverseEvent
  /** Something of the answer, so many bytes long. */
  | { readonly type: "text"; readonly bytes: number }
  /** What the prompt took, before the answer has ended. */
  | { readonly type: "prompt"; readonly usage: BedrockUsage };

export interface Served {
  readonly serviceTier?: string | undefined;
  /** `standard` or `optimized`. */
  readonly latency?: string | undefined;
}

export const NO_USAGE: TokenUsage = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };

export function createMeter(now: () => number): Meter {
  let usage: TokenUsage | undefined;
  let prompt: TokenUsage | undefined;
  let reasoning: number | undefined;
  let bytes = 0;
  let firstTokenAt: number | undefined;
  let served: Served = {};

  function watch(event: Sighting): void {
    if (event.type === "text") {
      firstTokenAt ??= now();
      bytes += event.bytes;
    } else if (event.type === "prompt") {
      prompt = toLedger(event.usage, undefined);
    } else if (event.type === "metadata") {
      usage = toLedger(event.usage, reasoning);
      served = { serviceTier: event.serviceTier, latency: event.performance };
    } else if (event.type === "messageStop") {
      reasoning = reasoningTokens(event.additionalModelResponseFields);
    } else if (event.type === "contentBlockDelta") {
      firstTokenAt ??= now();
      const { text, toolUse, reasoningContent } = event.delta;
      bytes += bytesOf(text) + bytesOf(toolUse?.input) + bytesOf(reasoningContent?.text);
    }
  }

  return {
    get firstTokenAt() {
      return firstTokenAt;
    },
    get served() {
      return served;
    },
    get begun() {
      return firstTokenAt !== undefined || (usage ?? prompt) !== undefined;
    },
    total(estimatedInputTokens) {
      if (usage !== undefined) return { usage, estimated: false };
      const outputTokens = estimateTokens(bytes);
      const read = prompt ?? { ...NO_USAGE, inputTokens: estimatedInputTokens };
      return { usage: { ...read, outputTokens }, estimated: true };
    },
    stage: {
      push(event) {
        watch(event);
        return [event];
      },
      end: () => [],
    },
    read(response) {
      firstTokenAt ??= now();
      usage = toLedger(response.usage, reasoningTokens(response.additionalModelResponseFields));
      served = { serviceTier: response.serviceTier?.type, latency: response.performanceConfig?.latency };
    },
    note: watch,
  };
}

/** `metadata` comes after `messageStop`, which has what the model says itself. */
function toLedger(usage: BedrockUsage, reasoning: number | undefined): TokenUsage {
  const oneHour = usage.cacheDetails?.filter((detail) => detail.ttl === "1h") ?? [];
  const written = usage.cacheWriteInputTokens ?? 0;
  return {
    inputTokens: usage.inputTokens,
    outputTokens: usage.outputTokens,
    cacheReadTokens: usage.cacheReadInputTokens ?? 0,
    cacheWriteTokens: written,
    // A part of them, whatever the details add up to: as in the invocation log.
    cacheWrite1hTokens: Math.min(
      written,
      oneHour.reduce((sum, detail) => sum + detail.inputTokens, 0),
    ),
    ...(reasoning !== undefined && { reasoningTokens: Math.min(reasoning, usage.outputTokens) }),
  };
}
