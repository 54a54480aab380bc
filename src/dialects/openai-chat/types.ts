/**
 * What Chat Completions answers look like: https://platform.openai.com/docs/api-reference/chat/object and
 * /chat/streaming. Requests have no type: they are outside data and are read field by field.
 *
 * Beyond OpenAI's own members, as clients know them from other servers: `reasoning_content`, `thinking_blocks` (signed
 * reasoning, to be sent back with the next turn), `images`, `cache_write_tokens` and `native_finish_reason`;
 * Bedrock's `trace`; and
 * `document_citation` among the annotations, which OpenAI has for web pages only.
 */
import type { JsonObject, JsonValue } from "../../json.ts";
import type { Usage } from "../openai-usage.ts";

export type FinishReason = "stop" | "length" | "tool_calls" | "function_call" | "content_filter";

export interface ChatCompletion {
  id: string;
  object: "chat.completion";
  created: number;
  model: string;
  choices: Choice[];
  usage: Usage;
  service_tier?: string;
}

export interface Choice {
  index: number;
  message: AnswerMessage;
  logprobs: null;
  finish_reason: FinishReason;
  /** Bedrock's own reason, where none of OpenAI's says the same. */
  native_finish_reason?: string;
  /** What a guardrail found, when the request asked for its trace. Bedrock's own. */
  trace?: JsonValue;
}

export interface AnswerMessage {
  role: "assistant";
  content: string | null;
  refusal: null;
  tool_calls?: ToolCall[];
  /** Instead of `tool_calls`, for clients that offered `functions`. */
  function_call?: ToolCall["function"];
  reasoning_content?: string;
  thinking_blocks?: ThinkingBlock[];
  annotations?: Annotation[];
  images?: { type: "image_url"; image_url: { url: string } }[];
}

export interface ToolCall {
  id: string;
  type: "function";
  function: { name: string; arguments: string };
}

export type ThinkingBlock =
  | { type: "thinking"; thinking: string; signature: string }
  | { type: "redacted_thinking"; data: string };

export type Annotation =
  | { type: "url_citation"; url_citation: { start_index: number; end_index: number; title: string; url: string } }
  | { type: "document_citation"; document_citation: DocumentCitation };

/** Where in a document of the request something was said. `location` is Bedrock's own. */
export interface DocumentCitation {
  start_index: number;
  end_index: number;
  title: string;
  cited_text: string;
  location: JsonObject;
}

export interface Chunk {
  id: string;
  object: "chat.completion.chunk";
  created: number;
  model: string;
  choices: ChunkChoice[];
  /** Present only when the client asked for usage: null on every chunk but the last. */
  usage?: Usage | null;
  service_tier?: string;
}

export interface ChunkChoice {
  index: number;
  delta: Delta;
  logprobs: null;
  finish_reason: FinishReason | null;
  native_finish_reason?: string;
  trace?: JsonValue;
}

/** Objects in a delta's lists carry an `index`: SDKs merge them by it. */
export interface Delta {
  role?: "assistant";
  content?: string;
  reasoning_content?: string;
  tool_calls?: ToolCallDelta[];
  function_call?: { name?: string; arguments: string };
  thinking_blocks?: (ThinkingBlock & { index: number })[];
  annotations?: (Annotation & { index: number })[];
}

export interface ToolCallDelta {
  index: number;
  id?: string;
  type?: "function";
  function: { name?: string; arguments: string };
}
