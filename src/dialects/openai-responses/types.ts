/**
 * What Responses answers look like: https://platform.openai.com/docs/api-reference/responses/object and
 * /responses-streaming. Requests have no type: they are outside data and are read field by field.
 *
 * Beyond OpenAI's own members: `native_finish_reason`, Bedrock's `trace`, and what a `file_citation` says of a document.
 */
import type { JsonObject, JsonValue } from "../../json.ts";

export type Status = "in_progress" | "completed" | "incomplete";

/** What a request says that its answer repeats. */
export interface Echo {
  background: false;
  conversation: null;
  instructions: JsonValue;
  max_output_tokens: number | null;
  max_tool_calls: number | null;
  metadata: JsonObject;
  model: string;
  parallel_tool_calls: boolean;
  previous_response_id: string | null;
  prompt_cache_key: string | null;
  reasoning: { effort: string | null; summary: string | null };
  safety_identifier: string | null;
  service_tier: string;
  store: boolean;
  temperature: number | null;
  text: JsonObject;
  tool_choice: JsonValue;
  tools: readonly JsonValue[];
  top_logprobs: number;
  top_p: number | null;
  truncation: "auto" | "disabled";
  user: string | null;
}

export interface Response extends Echo {
  id: string;
  object: "response";
  created_at: number;
  status: Status | "failed";
  error: { code: string; message: string } | null;
  incomplete_details: { reason: "max_output_tokens" | "content_filter" } | null;
  output: OutputItem[];
  usage: Usage | null;
  /** Bedrock's own reason, where none of OpenAI's says the same. */
  native_finish_reason?: string;
  /** What a guardrail found, when the request asked for its trace. Bedrock's own. */
  trace?: JsonValue;
}

export type OutputItem = MessageItem | ReasoningItem | FunctionCallItem | CustomCallItem | ImageItem;

export interface MessageItem {
  id: string;
  type: "message";
  status: Status;
  role: "assistant";
  content: TextPart[];
}

export interface TextPart {
  type: "output_text";
  text: string;
  annotations: Annotation[];
  logprobs: never[];
}

export type Annotation =
  | { type: "url_citation"; start_index: number; end_index: number; title: string; url: string }
  | {
      type: "file_citation";
      file_id: string;
      filename: string;
      index: number;
      start_index: number;
      end_index: number;
      cited_text: string;
      location: JsonObject;
    };

export interface ReasoningItem {
  id: string;
  type: "reasoning";
  status: Status;
  summary: SummaryPart[];
  /** What a client sends back so that the model can go on with it. */
  encrypted_content: string | null;
}

export interface SummaryPart {
  type: "summary_text";
  text: string;
}

export interface FunctionCallItem {
  id: string;
  type: "function_call";
  status: Status;
  call_id: string;
  name: string;
  namespace?: string;
  arguments: string;
}

export interface CustomCallItem {
  id: string;
  type: "custom_tool_call";
  status: Status;
  call_id: string;
  name: string;
  namespace?: string;
  input: string;
}

export interface ImageItem {
  id: string;
  type: "image_generation_call";
  status: "completed";
  /** Base64. */
  result: string;
}

/** `input_tokens` holds everything that went in, cached or not, so that total = input + output. */
export interface Usage {
  input_tokens: number;
  input_tokens_details: { cached_tokens: number; cache_write_tokens: number };
  output_tokens: number;
  /** 0 also where the model does not tell. */
  output_tokens_details: { reasoning_tokens: number };
  total_tokens: number;
}

/** The events of a stream without their `sequence_number`. */
export type StreamEvent =
  | {
      type:
        | "response.created"
        | "response.in_progress"
        | "response.completed"
        | "response.incomplete"
        | "response.failed";
      response: Response;
    }
  | { type: "response.output_item.added" | "response.output_item.done"; output_index: number; item: OutputItem }
  | ({ type: "response.content_part.added" | "response.content_part.done"; part: TextPart } & PartPlace)
  | ({ type: "response.output_text.delta"; delta: string; logprobs: never[] } & PartPlace)
  | ({ type: "response.output_text.done"; text: string; logprobs: never[] } & PartPlace)
  | ({
      type: "response.output_text.annotation.added";
      annotation_index: number;
      annotation: Annotation;
    } & PartPlace)
  | ({
      type: "response.reasoning_summary_part.added" | "response.reasoning_summary_part.done";
      part: SummaryPart;
    } & SummaryPlace)
  | ({ type: "response.reasoning_summary_text.delta"; delta: string } & SummaryPlace)
  | ({ type: "response.reasoning_summary_text.done"; text: string } & SummaryPlace)
  | ({ type: "response.function_call_arguments.delta"; delta: string } & ItemPlace)
  | ({ type: "response.function_call_arguments.done"; name: string; arguments: string } & ItemPlace)
  | ({ type: "response.custom_tool_call_input.delta"; delta: string } & ItemPlace)
  | ({ type: "response.custom_tool_call_input.done"; input: string } & ItemPlace)
  | { type: "error"; error: { type: string; code: string | null; message: string; param: string | null } };

export interface ItemPlace {
  item_id: string;
  output_index: number;
}

export interface PartPlace extends ItemPlace {
  content_index: number;
}

export interface SummaryPlace extends ItemPlace {
  summary_index: number;
}
