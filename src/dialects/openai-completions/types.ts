/**
 * What Completions answers look like: https://platform.openai.com/docs/api-reference/completions/object. A stream's
 * chunks are the same object. Requests have no type: they are outside data and are read field by field.
 */
import type { Usage } from "../openai-usage.ts";

export type FinishReason = "stop" | "length" | "content_filter";

export interface TextCompletion {
  id: string;
  object: "text_completion";
  created: number;
  model: string;
  choices: CompletionChoice[];
  /** In a stream only when the client asked for usage: null on every chunk but the last. */
  usage?: Usage | null;
  service_tier?: string;
}

export interface CompletionChoice {
  index: number;
  text: string;
  logprobs: null;
  /** Null on the chunks before the end; OpenAI's own SDKs type it as if it always were there. */
  finish_reason: FinishReason | null;
}
