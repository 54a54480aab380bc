/**
 * A Converse answer as a `chat.completion` object.
 *
 * https://platform.openai.com/docs/api-reference/chat/object. Text blocks are joined as a stream's deltas would be.
 */
import type { AnswerBlock, ConverseResponse } from "../../bedrock/converse.ts";
import type { ToolNames } from "../../bedrock/tool-names.ts";
import { type JsonValue, stringifyJson } from "../../json.ts";
import { readCitation } from "../citations.ts";
import type { CallMeta } from "../dialect.ts";
import { UsageTotal } from "../openai-usage.ts";
import type {
  Annotation,
  AnswerMessage,
  ChatCompletion,
  Choice,
  FinishReason,
  ThinkingBlock,
  ToolCall,
} from "./types.ts";

/** What every object of an answer repeats. */
export interface Envelope {
  id: string;
  created: number;
  model: string;
}

export function envelope(model: string, meta: CallMeta): Envelope {
  return { id: `chatcmpl-${meta.id}`, created: meta.created, model };
}

/** How the client wants its answer, beyond the envelope. */
export interface Rendering {
  readonly names: ToolNames;
  /** Calls go out as a retired `function_call`, which holds one: a second one the client could not answer. */
  readonly asFunctions: boolean;
  /** The request asked for its guardrail's trace. A prompt router's trace comes unasked, and stays here. */
  readonly withTrace: boolean;
}

/** One response for each choice, in their order. */
export function chatCompletion(
  responses: readonly ConverseResponse[],
  head: Envelope,
  rendering: Rendering,
): ChatCompletion {
  const total = new UsageTotal();
  for (const { usage, additionalModelResponseFields, serviceTier } of responses)
    total.add(usage, additionalModelResponseFields, serviceTier?.type);
  return {
    id: head.id,
    object: "chat.completion",
    created: head.created,
    model: head.model,
    choices: responses.map((response, index) => choice(response, index, rendering)),
    ...total.members(),
  };
}

function choice({ output, stopReason, trace }: ConverseResponse, index: number, rendering: Rendering): Choice {
  const message = answerMessage(output.message.content, rendering);
  const hasCalls = message.tool_calls !== undefined || message.function_call !== undefined;
  const end = finish(stopReason, hasCalls, rendering);
  return { index, message, logprobs: null, ...end, ...(rendering.withTrace && trace !== undefined && { trace }) };
}

/** Why an answer ended. Where OpenAI has no word for it, such as a malformed call, it is "stop" and Bedrock's word. */
export function finish(
  stopReason: string,
  hasCalls: boolean,
  { asFunctions }: Rendering,
): { finish_reason: FinishReason; native_finish_reason?: string } {
  const reason = finishReason(stopReason, hasCalls);
  if (reason === undefined)
    return { finish_reason: "stop", ...(stopReason !== "" && { native_finish_reason: stopReason }) };
  return { finish_reason: reason === "tool_calls" && asFunctions ? "function_call" : reason };
}

function finishReason(stopReason: string, hasCalls: boolean): FinishReason | undefined {
  switch (stopReason) {
    case "tool_use":
    case "end_turn":
      return hasCalls ? "tool_calls" : "stop";
    case "stop_sequence":
      return "stop";
    case "max_tokens":
    case "model_context_window_exceeded":
      return "length";
    case "guardrail_intervened":
    case "content_filtered":
      return "content_filter";
    default:
      return undefined;
  }
}

/** A citation of a web page or of a document of the request, for the text from `start` to `end`. */
export function annotation(value: JsonValue, start: number, end: number): Annotation[] {
  const citation = readCitation(value);
  if (citation === undefined) return [];
  const range = { start_index: start, end_index: end, title: citation.title };
  if (citation.kind === "web") return [{ type: "url_citation", url_citation: { ...range, url: citation.url } }];
  const { citedText, location } = citation;
  return [{ type: "document_citation", document_citation: { ...range, cited_text: citedText, location } }];
}

function answerMessage(blocks: readonly AnswerBlock[], { names, asFunctions }: Rendering): AnswerMessage {
  let content = "";
  const calls: ToolCall[] = [];
  const annotations: Annotation[] = [];
  const images: NonNullable<AnswerMessage["images"]> = [];
  for (const block of blocks) {
    const start = content.length;
    content += block.text ?? "";
    for (const part of block.citationsContent?.content ?? []) content += part.text ?? "";
    for (const citation of block.citationsContent?.citations ?? [])
      annotations.push(...annotation(citation, start, content.length));
    if (block.toolUse !== undefined) calls.push(toolCall(block.toolUse, names));
    if (block.image !== undefined && "bytes" in block.image.source)
      images.push({
        type: "image_url",
        image_url: { url: `data:image/${block.image.format};base64,${block.image.source.bytes}` },
      });
  }
  const reasoning = blocks.map((block) => block.reasoningContent?.reasoningText?.text ?? "").join("");
  const thinking = blocks.flatMap(thinkingBlock);
  return {
    role: "assistant",
    content: content === "" && calls.length > 0 ? null : content,
    refusal: null,
    ...calledTools(calls, asFunctions),
    ...(reasoning !== "" && { reasoning_content: reasoning }),
    ...(thinking.length > 0 && { thinking_blocks: thinking }),
    ...(annotations.length > 0 && { annotations }),
    ...(images.length > 0 && { images }),
  };
}

function calledTools(calls: ToolCall[], asFunctions: boolean): Pick<AnswerMessage, "tool_calls" | "function_call"> {
  const [first] = calls;
  if (first === undefined) return {};
  return asFunctions ? { function_call: first.function } : { tool_calls: calls };
}

function toolCall({ toolUseId, name, input }: NonNullable<AnswerBlock["toolUse"]>, names: ToolNames): ToolCall {
  return {
    id: toolUseId,
    type: "function",
    function: { name: names.decode(name), arguments: stringifyJson(input ?? {}) },
  };
}

function thinkingBlock({ reasoningContent }: AnswerBlock): ThinkingBlock[] {
  const { text = "", signature } = reasoningContent?.reasoningText ?? {};
  if (signature !== undefined) return [{ type: "thinking", thinking: text, signature }];
  const data = reasoningContent?.redactedContent;
  return data === undefined ? [] : [{ type: "redacted_thinking", data }];
}
