/**
 * A Converse answer as a Messages object: https://docs.anthropic.com/en/api/messages.
 */
import type { AnswerBlock, ConverseResponse, TokenUsage } from "../../bedrock/converse.ts";
import type { ToolNames } from "../../bedrock/tool-names.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../../json.ts";
import type { CallMeta } from "../dialect.ts";
import type { Block, Citation, InDocument, Message, StopDelta, StopReason } from "./types.ts";
import { usageOf } from "./usage.ts";

/** What an answer takes from its request. */
export interface Rendering {
  readonly id: string;
  readonly model: string;
  readonly names: ToolNames;
  readonly stopSequences: readonly string[];
}

export function messageId({ id }: CallMeta): string {
  return `msg_${id}`;
}

export function message(response: ConverseResponse, rendering: Rendering): Message {
  const { output, stopReason, usage, additionalModelResponseFields, serviceTier } = response;
  const content = output.message.content.flatMap((block) => blocksOf(block, rendering.names));
  const hasCalls = content.some(({ type }) => type === "tool_use");
  return {
    ...emptyMessage(rendering, usage),
    content,
    ...stop(stopReason, hasCalls, additionalModelResponseFields, rendering),
    usage: usageOf(usage, additionalModelResponseFields, serviceTier?.type),
  };
}

/** The message before anything has been said, as a stream begins with it. */
export function emptyMessage({ id, model }: Rendering, known: TokenUsage): Message {
  return {
    id,
    type: "message",
    role: "assistant",
    model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    stop_details: null,
    container: null,
    diagnostics: null,
    usage: usageOf(known, undefined, undefined),
  };
}

/** Why an answer ended. Where Anthropic has no word for it, such as a malformed call, the turn has ended. */
export function stop(
  stopReason: string,
  hasCalls: boolean,
  fields: JsonValue | undefined,
  { stopSequences }: Rendering,
): StopDelta {
  const reason = reasonOf(stopReason, hasCalls);
  return {
    container: null,
    stop_reason: reason,
    stop_sequence: reason === "stop_sequence" ? stopSequence(fields, stopSequences) : null,
    stop_details:
      reason === "refusal" ? { type: "refusal", category: null, explanation: EXPLANATIONS[stopReason] ?? null } : null,
  };
}

const EXPLANATIONS: Readonly<Record<string, string>> = {
  guardrail_intervened: "A guardrail of Amazon Bedrock intervened.",
  content_filtered: "Amazon Bedrock's content filter intervened.",
};

function reasonOf(stopReason: string, hasCalls: boolean): StopReason {
  switch (stopReason) {
    case "max_tokens":
    case "stop_sequence":
    case "model_context_window_exceeded":
      return stopReason;
    case "guardrail_intervened":
    case "content_filtered":
      return "refusal";
    default:
      return hasCalls ? "tool_use" : "end_turn";
  }
}

/** Claude tells it, under the last part of the path that was asked for or under all of it. */
function stopSequence(fields: JsonValue | undefined, asked: readonly string[]): string | null {
  const holders = [fields, isJsonObject(fields) ? fields.delta : undefined];
  for (const holder of holders)
    if (isJsonObject(holder) && typeof holder.stop_sequence === "string") return holder.stop_sequence;
  return asked.length === 1 ? (asked[0] ?? null) : null;
}

/** Images have no place in a Messages answer. */
function blocksOf(block: AnswerBlock, names: ToolNames): Block[] {
  const { text, toolUse, reasoningContent, citationsContent } = block;
  const blocks: Block[] = [];
  const { text: thinking = "", signature } = reasoningContent?.reasoningText ?? {};
  if (thinking !== "" || signature !== undefined)
    blocks.push({ type: "thinking", thinking, signature: signature ?? "" });
  else if (reasoningContent?.redactedContent !== undefined)
    blocks.push({ type: "redacted_thinking", data: reasoningContent.redactedContent });
  // An empty text is refused when it comes back as history.
  if (text) blocks.push({ type: "text", text, citations: null });
  if (citationsContent !== undefined) {
    const cited = (citationsContent.content ?? []).map((part) => part.text ?? "").join("");
    const citations = (citationsContent.citations ?? []).flatMap(citationOf);
    if (cited !== "") blocks.push({ type: "text", text: cited, citations: citations.length > 0 ? citations : null });
  }
  if (toolUse !== undefined) blocks.push(toolUseBlock(toolUse.toolUseId, names.decode(toolUse.name), toolUse.input));
  return blocks;
}

export function toolUseBlock(id: string, name: string, input: JsonValue): Extract<Block, { type: "tool_use" }> {
  return { type: "tool_use", id, caller: { type: "direct" }, name, input };
}

/** None where Bedrock says less than Anthropic's clients insist on. */
export function citationOf(citation: JsonValue): Citation[] {
  if (!isJsonObject(citation) || !isJsonObject(citation.location)) return [];
  const { location, sourceContent } = citation;
  const cited_text = Array.isArray(sourceContent) ? sourceContent.map(textOf).join("") : "";
  const title = typeof citation.title === "string" ? citation.title : null;
  const inDocument = (place: JsonObject): InDocument => ({
    cited_text,
    document_index: index(place.documentIndex),
    document_title: title,
    file_id: null,
  });
  const { documentChar, documentPage, documentChunk, searchResultLocation, web } = location;
  if (isJsonObject(documentChar)) {
    const range = { start_char_index: index(documentChar.start), end_char_index: index(documentChar.end) };
    return [{ type: "char_location", ...inDocument(documentChar), ...range }];
  }
  if (isJsonObject(documentPage)) {
    const range = { start_page_number: index(documentPage.start), end_page_number: index(documentPage.end) };
    return [{ type: "page_location", ...inDocument(documentPage), ...range }];
  }
  if (isJsonObject(documentChunk)) {
    const range = { start_block_index: index(documentChunk.start), end_block_index: index(documentChunk.end) };
    return [{ type: "content_block_location", ...inDocument(documentChunk), ...range }];
  }
  if (isJsonObject(searchResultLocation)) {
    return [
      {
        type: "search_result_location",
        cited_text,
        source: typeof citation.source === "string" ? citation.source : "",
        title,
        search_result_index: index(searchResultLocation.searchResultIndex),
        start_block_index: index(searchResultLocation.start),
        end_block_index: index(searchResultLocation.end),
      },
    ];
  }
  if (!isJsonObject(web) || typeof web.url !== "string") return [];
  return [{ type: "web_search_result_location", cited_text, url: web.url, title, encrypted_index: "" }];
}

function textOf(part: JsonValue): string {
  return isJsonObject(part) && typeof part.text === "string" ? part.text : "";
}

function index(value: JsonValue | undefined): number {
  return typeof value === "number" ? value : 0;
}
