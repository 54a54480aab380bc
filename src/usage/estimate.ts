/**
 * Tokens by rule of thumb, for calls whose usage never arrived. Nothing exact rests on these.
 */
import type { ContentBlock, ConverseRequest, ToolResultContent } from "../bedrock/converse.ts";
import { isJsonObject, type JsonValue, stringifyJson } from "../json.ts";

/**
 * Of UTF-8. Good to about a third for English and code, worse elsewhere: every row that rests on it says so. Scripts whose
 * letters take more bytes take about as many more tokens: by letters a text in Chinese would seem a quarter of what it is.
 */
const BYTES_PER_TOKEN = 4;

/** About what Claude counts for an image of a megapixel; pixels are not looked at. */
const TOKENS_PER_IMAGE = 1_500;

/** Of a document's bytes about one in this many becomes text. */
const DOCUMENT_BYTES_PER_BYTE = 10;

export function estimateTokens(bytes: number): number {
  return Math.ceil(bytes / BYTES_PER_TOKEN);
}

/** In UTF-8. */
export function bytesOf(text: string | undefined): number {
  return text === undefined ? 0 : Buffer.byteLength(text);
}

export function estimateInputTokens({ messages, system, toolConfig }: ConverseRequest): number {
  const texts = [...(system ?? []), ...messages.flatMap((message) => message.content)];
  const tools = toolConfig === undefined ? 0 : bytesOf(stringifyJson(toolConfig.tools));
  return estimateTokens(tools + texts.reduce((sum, block) => sum + blockBytes(block), 0));
}

function blockBytes(block: ContentBlock | ToolResultContent): number {
  if ("text" in block) return bytesOf(block.text);
  if ("image" in block) return TOKENS_PER_IMAGE * BYTES_PER_TOKEN;
  if ("document" in block)
    return "bytes" in block.document.source ? block.document.source.bytes.length / DOCUMENT_BYTES_PER_BYTE : 0;
  if ("searchResult" in block) return textBytes({ ...block.searchResult });
  if ("toolUse" in block) return bytesOf(stringifyJson(block.toolUse.input));
  if ("toolResult" in block) return block.toolResult.content.reduce((sum, part) => sum + blockBytes(part), 0);
  if ("json" in block) return bytesOf(stringifyJson(block.json));
  if ("reasoningContent" in block)
    return "reasoningText" in block.reasoningContent ? bytesOf(block.reasoningContent.reasoningText.text) : 0;
  return 0;
}

/** A longer one of ASCII without a space is no text: base64 of an image, most likely. */
const LONGEST_WORD = 4_096;

/**
 * Bytes of all texts in some JSON whose fields nobody knows. A long string without a space counts as an image, whatever
 * its length.
 */
export function textBytes(value: JsonValue | undefined): number {
  if (typeof value === "string") {
    const isText = value.length <= LONGEST_WORD || !/^[!-~]*$/.test(value.slice(0, LONGEST_WORD));
    return isText ? bytesOf(value) : TOKENS_PER_IMAGE * BYTES_PER_TOKEN;
  }
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + textBytes(item), 0);
  if (!isJsonObject(value)) return 0;
  return Object.values(value).reduce((sum: number, item) => sum + textBytes(item), 0);
}
