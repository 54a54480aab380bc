/**
 * Tokens by rule of thumb, for calls whose usage never arrived. Nothing exact rests on these.
 */
import type { ContentBlock, ConverseRequest, ToolResultContent } from "../bedrock/converse.ts";
import { isJsonObject, type JsonValue, stringifyJson } from "../json.ts";

/** Good to about a third for English and code, worse elsewhere: every row that rests on it says so. */
const CHARACTERS_PER_TOKEN = 4;

/** About what Claude counts for an image of a megapixel; pixels are not looked at. */
const TOKENS_PER_IMAGE = 1_500;

/** Of a document's bytes about one in this many becomes a character of text. */
const DOCUMENT_BYTES_PER_CHARACTER = 10;

export function estimateTokens(characters: number): number {
  return Math.ceil(characters / CHARACTERS_PER_TOKEN);
}

export function estimateInputTokens({ messages, system, toolConfig }: ConverseRequest): number {
  const texts = [...(system ?? []), ...messages.flatMap((message) => message.content)];
  const tools = toolConfig === undefined ? 0 : stringifyJson(toolConfig.tools).length;
  return estimateTokens(tools + texts.reduce((sum, block) => sum + characters(block), 0));
}

function characters(block: ContentBlock | ToolResultContent): number {
  if ("text" in block) return block.text.length;
  if ("image" in block) return TOKENS_PER_IMAGE * CHARACTERS_PER_TOKEN;
  if ("document" in block)
    return "bytes" in block.document.source ? block.document.source.bytes.length / DOCUMENT_BYTES_PER_CHARACTER : 0;
  if ("searchResult" in block) return textLength({ ...block.searchResult });
  if ("toolUse" in block) return stringifyJson(block.toolUse.input).length;
  if ("toolResult" in block) return block.toolResult.content.reduce((sum, part) => sum + characters(part), 0);
  if ("json" in block) return stringifyJson(block.json).length;
  if ("reasoningContent" in block)
    return "reasoningText" in block.reasoningContent ? block.reasoningContent.reasoningText.text.length : 0;
  return 0;
}

/** A longer string without a space is no text: base64 of an image, most likely. */
const LONGEST_WORD = 4_096;

/**
 * Characters of all texts in some JSON whose fields nobody knows. A long string without a space counts as an image, whatever
 * its length.
 */
export function textLength(value: JsonValue | undefined): number {
  if (typeof value === "string") {
    const isText = value.length <= LONGEST_WORD || /\s/.test(value.slice(0, LONGEST_WORD));
    return isText ? value.length : TOKENS_PER_IMAGE * CHARACTERS_PER_TOKEN;
  }
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + textLength(item), 0);
  if (!isJsonObject(value)) return 0;
  return Object.values(value).reduce((sum: number, item) => sum + textLength(item), 0);
}
