/** Calls of tools and their results in a conversation, the same under all of the APIs' spellings. */
import type { CachePoint, ContentBlock, ToolResultContent, ToolUseBlock } from "../bedrock/converse.ts";
import type { ToolMode } from "../bedrock/tool-config.ts";
import { toolInput } from "../bedrock/tool-input.ts";
import type { ToolNames } from "../bedrock/tool-names.ts";
import { isTooDeep, type JsonObject, MAX_JSON_DEPTH } from "../json.ts";
import type { Field } from "./fields.ts";

/** A call of a tool, whose arguments stand in `args` as JSON text or as they are. */
export function toolUseBlock(toolUseId: string, name: Field, args: Field, names: ToolNames): { toolUse: ToolUseBlock } {
  return { toolUse: { toolUseId, name: names.encode(name.name()), input: readArguments(args) } };
}

export function readArguments(args: Field): JsonObject {
  const input = toolInput(args.value);
  if (isTooDeep(input)) throw args.error(`must not be nested more than ${MAX_JSON_DEPTH} levels deep`);
  return input;
}

/** The result of one call, from the blocks of its content, and the cache points that were marked in it. */
export function toolResultBlocks(content: readonly ContentBlock[], toolUseId: string, failed: boolean): ContentBlock[] {
  const results: ToolResultContent[] = [];
  const cachePoints: { cachePoint: CachePoint }[] = [];
  for (const block of content) {
    if ("text" in block || "image" in block || "document" in block || "searchResult" in block || "video" in block)
      results.push(block);
    else if ("cachePoint" in block) cachePoints.push(block);
  }
  return [{ toolResult: { toolUseId, content: results, ...(failed && { status: "error" }) } }, ...cachePoints];
}

/** A choice that forces a call needs something to call. `usable`: by their names as sent. */
export function checkToolChoice(choice: Field, mode: ToolMode, usable: ReadonlyMap<string, unknown>): void {
  if (mode === "auto" || mode === "none") return;
  if (usable.size === 0) throw choice.error("needs tools: send the tools to choose from, or leave tool_choice out");
  if (mode !== "any" && !usable.has(mode.name)) throw choice.error("must name one of the request's tools");
}
