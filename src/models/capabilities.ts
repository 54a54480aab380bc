/**
 * What a model can do, as far as a Converse request has to know it.
 *
 * Bedrock's API does not tell these things; they are rows of data (capability-table.ts) that an operator can override.
 * A row is found by the beginning of a foundation model's id, the longest one wins: ids follow no scheme that could be
 * parsed. A model that no row knows gets what most models take and nothing that some refuse.
 */
import type { Effort } from "../bedrock/intent.ts";
import { matchesGlob } from "../glob.ts";
import { CAPABILITY_TABLE, UNKNOWN_MODEL } from "./capability-table.ts";

export interface Capabilities {
  /** A system prompt. */
  readonly system: boolean;
  /** `without-tools`: a streamed request with tools is refused. */
  readonly streaming: "always" | "without-tools" | "never";
  /** Stop sequences; `non-blank`: each must have more than white space. */
  readonly stopSequences: "all" | "non-blank" | "none";
  /** temperature and topP; `one`: not both at once. */
  readonly sampling: "both" | "one" | "none";
  /** Where top-k goes in additionalModelRequestFields. */
  readonly topK: "top_k" | "inferenceConfig.topK" | "none";
  /** A conversation may end with the beginning of the answer. */
  readonly prefill: boolean;

  readonly minTokens: number;
  /** Sent when the client names no limit: Bedrock reserves quota for what could be answered. */
  readonly defaultTokens: number;
  /** The longest answer; undefined where nobody says. */
  readonly maxTokens?: number;

  /** It knows Anthropic's own fields: `anthropic_beta` and `thinking.display` in a request, `stop_sequence` in an answer. */
  readonly anthropic: boolean;

  readonly images: boolean;
  readonly documents: boolean;
  readonly video: boolean;
  readonly audio: boolean;
  /** Search results that the client brings; text elsewhere. */
  readonly searchResults: boolean;

  readonly tools: boolean;
  /** Choices that force a call. A choice that is not sent is `auto`, which all models with tools know. */
  readonly forcedTools: readonly ("any" | "tool")[];
  readonly forcedToolsWhileThinking: boolean;
  /** A request can ask for at most one call in a turn. */
  readonly singleToolCalls: boolean;
  /** `strict` of a tool. */
  readonly strictTools: boolean;
  readonly toolUseIds: "any" | "nine-alphanumeric";
  readonly toolResultStatus: boolean;
  readonly toolResultJson: boolean;
  /** Images and documents inside a tool's result. */
  readonly toolResultMedia: boolean;
  /** A turn may hold tool results and other content side by side. */
  readonly toolResultsWithContent: boolean;

  /** `outputConfig.textFormat`. */
  readonly jsonSchema: boolean;

  readonly reasoning: Reasoning;
  /** Reasoning of earlier turns that may be sent back. */
  readonly reasoningReplay: "signed" | "unsigned" | "none";

  /** Where cache points may stand; nowhere: no caching on request. */
  readonly cacheSections: readonly CacheSection[];
  readonly cacheTtls: readonly ("5m" | "1h")[];
  readonly maxCachePoints: number;
}

export type CacheSection = "tools" | "system" | "messages";

/** How thinking is asked for. */
export type Reasoning =
  /** It does not think. */
  | { readonly style: "none" }
  /** It thinks as it likes; no field changes that. */
  | { readonly style: "fixed" }
  /** Claude's `thinking: {type: "enabled", budget_tokens}`. */
  | { readonly style: "budget"; readonly minBudget: number }
  /**
   * Claude's `thinking: {type: "adaptive"}` and `outputConfig.effort`. `always`: it thinks unasked. `off`: the type that
   * stops it; undefined where nothing does. `minBudget`: type `enabled` is taken too, from that budget on.
   */
  | {
      readonly style: "adaptive";
      readonly efforts: readonly Effort[];
      readonly always: boolean;
      readonly off?: "disabled" | "between_tools";
      readonly minBudget?: number;
    }
  /** Nova's `reasoningConfig`; with `bareEffort` the request must have no inference settings. */
  | { readonly style: "nova"; readonly efforts: readonly Effort[]; readonly bareEffort: Effort }
  /** `reasoning_effort`. `offByDefault`: without the field it does not think. */
  | { readonly style: "reasoning_effort"; readonly efforts: readonly Effort[]; readonly offByDefault: boolean }
  /** `reasoning: {effort}`. */
  | { readonly style: "reasoning.effort"; readonly efforts: readonly Effort[] };

export interface CapabilityRow {
  readonly family: string;
  /** Beginnings of foundation model ids. */
  readonly ids: readonly string[];
  readonly capabilities: Capabilities;
}

/** An operator's correction. `match`: a foundation model id in which `*` stands for any characters. */
export type CapabilityOverride = { readonly match: string } & {
  readonly [Column in keyof Capabilities]?: Capabilities[Column] | undefined;
};

/** Later overrides win over earlier ones, and all over the table. */
export function capabilitiesOf(foundationModelId: string, overrides: readonly CapabilityOverride[] = []): Capabilities {
  const known = capabilityRow(foundationModelId)?.capabilities ?? UNKNOWN_MODEL;
  const columns = overrides.flatMap(({ match, ...row }) => (matchesGlob(match, foundationModelId) ? [row] : []));
  return Object.assign({}, known, ...columns);
}

/** The row with the longest beginning of `foundationModelId`. */
export function capabilityRow(foundationModelId: string): CapabilityRow | undefined {
  let found: CapabilityRow | undefined;
  let length = 0;
  for (const row of CAPABILITY_TABLE) {
    for (const id of row.ids) {
      if (id.length <= length || !foundationModelId.startsWith(id)) continue;
      found = row;
      length = id.length;
    }
  }
  return found;
}
