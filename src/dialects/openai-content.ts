/**
 * Message content, in: a string or parts, as Converse blocks.
 *
 * https://platform.openai.com/docs/api-reference/chat/create, and the part types that clients of other APIs put into
 * chat messages: `input_text`, `input_image`, `input_file` of Responses, `image`, `document`, `tool_use`, `tool_result` and
 * `thinking` of Anthropic. A `cache_control` on a part becomes a cache point behind it. Blank text is left to the repair.
 */
import type { ContentBlock, ToolUseBlock } from "../bedrock/converse.ts";
import type { ToolNames } from "../bedrock/tool-names.ts";
import { cachePointOf } from "./cache-control.ts";
import type { Field } from "./fields.ts";
import { readAudio, readDocument, readFile, readImageSource, readImageUrl, readVideo } from "./media-parts.ts";
import type { References } from "./references.ts";
import { readThinking } from "./thinking-blocks.ts";
import { toolResultBlocks, toolUseBlock } from "./tool-blocks.ts";

/** What is gathered while a request is read. */
export interface Reading {
  readonly names: ToolNames;
  readonly references: References;
  readonly warnings: Set<string>;
}

export type ContentRole = "system" | "user" | "assistant" | "tool";

const NO_IMAGE = 'is missing: stored files are not read, send the image itself as "data:image/png;base64,..."';
const TEXT_PARTS = ["text", "input_text", "output_text"];
const MEDIA_PARTS = ["image_url", "input_image", "image", "file", "input_file", "document", "video_url"];
const PARTS: Readonly<Record<ContentRole, readonly string[]>> = {
  system: TEXT_PARTS,
  user: [...TEXT_PARTS, ...MEDIA_PARTS, "input_audio", "tool_result"],
  assistant: [...TEXT_PARTS, "refusal", "tool_use", "thinking", "redacted_thinking"],
  tool: [...TEXT_PARTS, ...MEDIA_PARTS],
};

/** A message's content as blocks, cache points included. */
export function readContent(content: Field, role: ContentRole, reading: Reading): ContentBlock[] {
  if (content.absent) return [];
  if (typeof content.value === "string") return [{ text: content.value }];
  const parts = content.items("a string or an array of content parts");
  return parts.flatMap((part) => [...readPart(part, role, reading), ...cachePointOf(part)]);
}

/** The result of one tool call, and the cache points marked in it. */
export function readToolResult(content: Field, toolUseId: string, failed: boolean, reading: Reading): ContentBlock[] {
  return toolResultBlocks(readContent(content, "tool", reading), toolUseId, failed);
}

/** A call of a tool, whose arguments stand in `args` as JSON text or as they are. */
export function toolUse(toolUseId: string, name: Field, args: Field, { names }: Reading): { toolUse: ToolUseBlock } {
  return toolUseBlock(toolUseId, name, args, names);
}

function readPart(part: Field, role: ContentRole, reading: Reading): ContentBlock[] {
  const { references } = reading;
  part.object();
  const type = part.at("type");
  if (typeof type.value !== "string" || !PARTS[role].includes(type.value)) throw type.mustBeOneOf(PARTS[role]);
  switch (type.value) {
    case "refusal":
      return [{ text: part.at("refusal").string() }];
    case "input_image":
      if (part.at("image_url").absent) throw part.at("image_url").error(NO_IMAGE);
      return [{ image: readImageUrl(part.at("image_url"), references) }];
    case "image_url":
      return [{ image: readImageUrl(part.at("image_url"), references) }];
    case "image":
      return [{ image: readImageSource(part.at("source"), references) }];
    case "file":
      return [{ document: readFile(part.at("file"), part, references) }];
    case "input_file":
      return [{ document: readFile(part, part, references) }];
    case "document":
      return [{ document: readDocument(part, references) }];
    case "video_url":
      return [{ video: readVideo(part.at("video_url"), references) }];
    case "input_audio":
      return [{ audio: readAudio(part.at("input_audio")) }];
    case "tool_use":
      return [toolUse(part.at("id").name(), part.at("name"), part.at("input"), reading)];
    case "tool_result":
      return readToolResult(
        part.at("content"),
        part.at("tool_use_id").name(),
        part.at("is_error").value === true,
        reading,
      );
    case "thinking":
    case "redacted_thinking":
      return readThinking(part);
    default:
      return [{ text: part.at("text").string() }];
  }
}
