/**
 * A Converse answer as a `chat.completion` object.
 *
 * https://platform.openai.com/docs/api-reference/chat/object. Text blocks are joined as a stream's deltas would be.
 */
import type { AnswerBlock, ConverseResponse } from "../../bedrock/converse.ts";
import type { ToolNames } from "../../bedrock/tool-names.ts";
import { isJsonObject, type JsonValue, stringifyJson } from "../../json.ts";
import type { CallMeta } from "../dialect.ts";
import type {
  Annotation,
  AnswerMessage,
  ChatCompletion,
  Choice,
  FinishReason,
  ThinkingBlock,
  ToolCall,
} from "./types.ts";
import { UsageTotal } from "./usage.ts";

/** What every object of an answer repeats. */
export interface Envelope {
  id: string;
  created: number;
  model: string;
}

export function envelope(model: string, meta: CallMeta): Envelope {
  return { id: `chatcmpl-${meta.id}`, created: meta.created, model };
}

/** One response for each choice, in their order. */
export function chatCompletion(
  responses: readonly ConverseResponse[],
  head: Envelope,
  names: ToolNames,
): ChatCompletion {
  const total = new UsageTotal();
  for (const { usage, additionalModelResponseFields, serviceTier } of responses)
    total.add(usage, additionalModelResponseFields, serviceTier?.type);
  return {
    id: head.id,
    object: "chat.completion",
    created: head.created,
    model: head.model,
    choices: responses.map((response, index) => choice(response, index, names)),
    ...total.members(),
  };
}

function choice(response: ConverseResponse, index: number, names: ToolNames): Choice {
  const message = answerMessage(response.output.message.content, names);
  const hasCalls = message.tool_calls !== undefined;
  return { index, message, logprobs: null, finish_reason: finishReason(response.stopReason, hasCalls) };
}

/** Unknown reasons are "stop", as are malformed outputs: the text shows what is wrong with them. */
export function finishReason(stopReason: string, hasCalls: boolean): FinishReason {
  switch (stopReason) {
    case "tool_use":
      return "tool_calls";
    case "end_turn":
      return hasCalls ? "tool_calls" : "stop";
    case "max_tokens":
    case "model_context_window_exceeded":
      return "length";
    case "guardrail_intervened":
    case "content_filtered":
      return "content_filter";
    default:
      return "stop";
  }
}

/** A citation of a web page, for the text from `start` to `end`; documents have no form in this API. */
export function annotation(citation: JsonValue, start: number, end: number): Annotation[] {
  if (!isJsonObject(citation) || !isJsonObject(citation.location)) return [];
  const { web } = citation.location;
  if (!isJsonObject(web) || typeof web.url !== "string") return [];
  const title = typeof citation.title === "string" ? citation.title : "";
  return [{ type: "url_citation", url_citation: { start_index: start, end_index: end, title, url: web.url } }];
}

function answerMessage(blocks: readonly AnswerBlock[], names: ToolNames): AnswerMessage {
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
    ...(calls.length > 0 && { tool_calls: calls }),
    ...(reasoning !== "" && { reasoning_content: reasoning }),
    ...(thinking.length > 0 && { thinking_blocks: thinking }),
    ...(annotations.length > 0 && { annotations }),
    ...(images.length > 0 && { images }),
  };
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
