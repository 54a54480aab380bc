/**
 * What Messages answers look like: https://docs.anthropic.com/en/api/messages and /messages-streaming. Requests have no
 * type: they are outside data and are read field by field.
 *
 * Members of features that Bedrock's Converse does not have (containers, server tools, diagnostics) are there and null, as
 * Anthropic's SDKs declare them.
 */
import type { JsonValue } from "../../json.ts";

export type StopReason =
  | "end_turn"
  | "max_tokens"
  | "stop_sequence"
  | "tool_use"
  | "refusal"
  | "model_context_window_exceeded";

export interface Message {
  id: string;
  type: "message";
  role: "assistant";
  model: string;
  content: Block[];
  stop_reason: StopReason | null;
  stop_sequence: string | null;
  stop_details: StopDetails | null;
  container: null;
  diagnostics: null;
  usage: Usage;
}

export type Block = TextBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock;

export interface TextBlock {
  type: "text";
  text: string;
  citations: Citation[] | null;
}

export interface ThinkingBlock {
  type: "thinking";
  thinking: string;
  /** Empty where the model does not sign what it thinks. */
  signature: string;
}

export interface RedactedThinkingBlock {
  type: "redacted_thinking";
  data: string;
}

export interface ToolUseBlock {
  type: "tool_use";
  id: string;
  caller: { type: "direct" };
  name: string;
  input: JsonValue;
}

/** Where in the request something was said; indexes as Bedrock counts them. */
export type Citation =
  | (InDocument & { type: "char_location"; start_char_index: number; end_char_index: number })
  | (InDocument & { type: "page_location"; start_page_number: number; end_page_number: number })
  | (InDocument & { type: "content_block_location"; start_block_index: number; end_block_index: number })
  | {
      type: "search_result_location";
      cited_text: string;
      source: string;
      title: string | null;
      search_result_index: number;
      start_block_index: number;
      end_block_index: number;
    }
  | {
      type: "web_search_result_location";
      cited_text: string;
      url: string;
      title: string | null;
      encrypted_index: string;
    };

export interface InDocument {
  cited_text: string;
  document_index: number;
  document_title: string | null;
  file_id: null;
}

export interface StopDetails {
  type: "refusal";
  category: null;
  explanation: string | null;
}

/** `input_tokens` is without what was read from or written to the prompt cache, as Bedrock's own. */
export interface Usage {
  input_tokens: number;
  cache_creation_input_tokens: number;
  cache_read_input_tokens: number;
  cache_creation: { ephemeral_5m_input_tokens: number; ephemeral_1h_input_tokens: number };
  output_tokens: number;
  /** A part of `output_tokens`, where the model tells it. */
  output_tokens_details: { thinking_tokens: number } | null;
  server_tool_use: null;
  service_tier: "standard" | "priority" | null;
  inference_geo: null;
  speed: null;
}

/** Counts up to now, not since the last event. */
export type DeltaUsage = Pick<
  Usage,
  | "input_tokens"
  | "cache_creation_input_tokens"
  | "cache_read_input_tokens"
  | "output_tokens"
  | "output_tokens_details"
  | "server_tool_use"
>;

export interface StopDelta {
  container: null;
  stop_reason: StopReason;
  stop_sequence: string | null;
  stop_details: StopDetails | null;
}

export type BlockDelta =
  | { type: "text_delta"; text: string }
  | { type: "input_json_delta"; partial_json: string }
  | { type: "thinking_delta"; thinking: string }
  | { type: "signature_delta"; signature: string }
  | { type: "citations_delta"; citation: Citation };

export type StreamEvent =
  | { type: "message_start"; message: Message }
  | { type: "content_block_start"; index: number; content_block: Block }
  | { type: "ping" }
  | { type: "content_block_delta"; index: number; delta: BlockDelta }
  | { type: "content_block_stop"; index: number }
  | { type: "message_delta"; delta: StopDelta; usage: DeltaUsage }
  | { type: "message_stop" };

export type ErrorType =
  | "invalid_request_error"
  | "authentication_error"
  | "permission_error"
  | "not_found_error"
  | "request_too_large"
  | "rate_limit_error"
  | "api_error"
  | "timeout_error"
  | "overloaded_error";

export interface ErrorBody {
  type: "error";
  error: { type: ErrorType; message: string };
  request_id: string | null;
}
