/**
 * The request's tool configuration, from the tools a client offers, its choice and the conversation's own tool blocks.
 *
 * Converse has no choice "none", and refuses a conversation with tool blocks that has no tools: so tools stay when the
 * history needs them, and are made up from the history when the client offers none.
 */
import type { ContentBlock, Message, Tool, ToolChoice, ToolConfig } from "./converse.ts";

/** `auto` and `none` need no word in the request; `any` must call some tool, `name` that one (as sent to Bedrock). */
export type ToolMode = "auto" | "none" | "any" | { readonly name: string };

const RETIRED_DESCRIPTION = "Used earlier in this conversation. No longer available: do not call it.";

export function toolConfig(
  tools: readonly Tool[],
  mode: ToolMode,
  messages: readonly Message[],
): ToolConfig | undefined {
  const used = usedTools(messages);
  if (tools.length === 0) return used === undefined ? undefined : { tools: used.map(retiredTool) };
  if (mode === "none") return used === undefined ? undefined : { tools: [...tools] };
  const toolChoice = choiceOf(mode);
  return toolChoice === undefined ? { tools: [...tools] } : { tools: [...tools], toolChoice };
}

function choiceOf(mode: Exclude<ToolMode, "none">): ToolChoice | undefined {
  if (mode === "auto") return undefined;
  return mode === "any" ? { any: {} } : { tool: { name: mode.name } };
}

/** Names of the tools that the history calls, or undefined when it has no tool blocks at all. */
function usedTools(messages: readonly Message[]): string[] | undefined {
  const blocks: ContentBlock[] = messages.flatMap((message) => message.content);
  const names = new Set(blocks.flatMap((block) => ("toolUse" in block ? [block.toolUse.name] : [])));
  return names.size === 0 ? undefined : [...names];
}

function retiredTool(name: string): Tool {
  return { toolSpec: { name, description: RETIRED_DESCRIPTION, inputSchema: { json: { type: "object" } } } };
}
