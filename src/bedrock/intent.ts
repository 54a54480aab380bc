/**
 * What a client wants beyond Converse's common fields, before it is known what the model can do.
 *
 * A dialect reads these from its request; models/adapt.ts turns them into what the model takes, emulates them, or says in
 * a warning or an error that it can't be done.
 */
import type { JsonObject } from "../json.ts";

export interface Intent {
  /** How hard to think: OpenAI's `reasoning_effort`, `none` to not think at all. */
  readonly effort?: Effort;
  /** How much of everything to do, thinking or not: Anthropic's `effort`, where the client says nothing of thinking. */
  readonly outputEffort?: Exclude<Effort, "none">;
  /** Anthropic's `thinking`, as the client wrote it. */
  readonly thinking?: Thinking;
  /** Anthropic's word for how its thinking is shown. */
  readonly thinkingDisplay?: "summarized" | "omitted";
  /** The answer's form. Absent: text. */
  readonly format?: AnswerFormat;
  /** False: at most one tool call in a turn. */
  readonly parallelToolCalls?: boolean;
  readonly topK?: number;
  /** Anthropic's names for features in preview; already allow-listed. Only Claude knows them. */
  readonly betas?: readonly string[];
  /** The answer is to say which stop sequence ended it. */
  readonly namesStopSequence?: boolean;
  /** Fields of the model's own that the client gave by an extension; already allow-listed. */
  readonly modelFields?: JsonObject;
}

export const EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh", "max"] as const;
export type Effort = (typeof EFFORTS)[number];

export type Thinking =
  | { readonly type: "disabled" }
  | { readonly type: "adaptive"; readonly effort?: Effort }
  | { readonly type: "enabled"; readonly budgetTokens: number };

export type AnswerFormat =
  | { readonly type: "json_object" }
  | {
      readonly type: "json_schema";
      readonly schema: JsonObject;
      readonly name?: string;
      readonly description?: string;
      readonly strict?: boolean;
    };
