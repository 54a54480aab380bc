/**
 * Message content, in: a string or blocks, as Converse blocks.
 *
 * https://docs.anthropic.com/en/api/messages#body-messages. A `cache_control` on a block becomes a cache point behind it.
 * Blocks of tools that run on Anthropic's own servers, and of kinds that nobody knows yet, are left out with a warning:
 * clients repeat them with every turn of a conversation that was begun elsewhere.
 */
import type { ContentBlock, SearchResultBlock } from "../../bedrock/converse.ts";
import type { ToolNames } from "../../bedrock/tool-names.ts";
import { cachePointOf } from "../cache-control.ts";
import type { Field } from "../fields.ts";
import { readDocument, readImageSource } from "../media-parts.ts";
import type { References } from "../references.ts";
import { readAllThinking } from "../thinking-blocks.ts";
import { toolResultBlocks, toolUseBlock } from "../tool-blocks.ts";

/** What is gathered while a request is read. */
export interface Reading {
  readonly names: ToolNames;
  readonly references: References;
  readonly warnings: Set<string>;
}

export type ContentRole = "system" | "user" | "assistant" | "result";

const MEDIA = ["text", "image", "document", "search_result"];
const BLOCKS: Readonly<Record<ContentRole, readonly string[]>> = {
  system: ["text"],
  user: [...MEDIA, "tool_result"],
  assistant: ["text", "thinking", "redacted_thinking", "tool_use"],
  result: [...MEDIA, "tool_reference"],
};
const KNOWN: ReadonlySet<unknown> = new Set(Object.values(BLOCKS).flat());

/** Content as blocks, cache points included. */
export function readContent(content: Field, role: ContentRole, reading: Reading): ContentBlock[] {
  if (content.absent) return [];
  if (typeof content.value === "string") return [{ text: content.value }];
  const blocks = content.items("a string or an array of content blocks");
  return blocks.flatMap((block) => [...readBlock(block, role, reading), ...cachePointOf(block)]);
}

function readBlock(block: Field, role: ContentRole, reading: Reading): ContentBlock[] {
  const { names, references, warnings } = reading;
  block.object();
  const type = block.at("type");
  type.string();
  if (!KNOWN.has(type.value)) {
    warnings.add(`content block ${type.keyword} is not supported, left out`);
    return [];
  }
  switch (type.oneOf(BLOCKS[role])) {
    case "image":
      return [{ image: readImageSource(block.at("source"), references) }];
    case "document":
      return [{ document: readDocument(block, references) }];
    case "search_result":
      return [{ searchResult: readSearchResult(block) }];
    case "tool_reference":
      return [{ text: `The tool ${block.at("tool_name").name()} can be called now.` }];
    case "tool_use":
      return [toolUseBlock(block.at("id").name(), block.at("name"), block.at("input"), names)];
    case "tool_result": {
      const id = block.at("tool_use_id").name();
      return toolResultBlocks(
        readContent(block.at("content"), "result", reading),
        id,
        block.at("is_error").value === true,
      );
    }
    case "thinking":
    case "redacted_thinking":
      return readAllThinking(block);
    default:
      return [{ text: block.at("text").string() }];
  }
}

function readSearchResult(result: Field): SearchResultBlock {
  const content = result.at("content");
  const texts = content.items().map((part) => part.at("text").string().toWellFormed());
  const kept = texts.filter((text) => text.trim() !== "");
  if (kept.length === 0) throw content.error("must have text");
  const cited = result.at("citations").at("enabled");
  return {
    source: result.at("source").name().toWellFormed(),
    title: result.at("title").name().toWellFormed(),
    content: kept.map((text) => ({ text })),
    ...(!cited.absent && { citations: { enabled: cited.boolean() } }),
  };
}
