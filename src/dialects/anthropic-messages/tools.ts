/**
 * Tools and the choice among them: https://docs.anthropic.com/en/api/messages#body-tools.
 *
 * Tools that run on Anthropic's servers are left out with a warning, unless the choice insists on one.
 */
import type { Tool, ToolSpec } from "../../bedrock/converse.ts";
import type { ToolMode } from "../../bedrock/tool-config.ts";
import type { ToolNames } from "../../bedrock/tool-names.ts";
import { cachePointOf } from "../cache-control.ts";
import { type Field, quote } from "../fields.ts";
import { checkToolChoice } from "../tool-blocks.ts";
import { readToolSchema } from "../tool-schema.ts";
import { typedTool } from "./typed-tools.ts";

export interface Tools {
  tools: Tool[];
  mode: ToolMode;
  /** False: at most one call in a turn. */
  parallel: boolean;
}

const CHOICES = ["auto", "any", "tool", "none"] as const;

/** Adds what was left out to `warnings`. */
export function readTools(body: Field, names: ToolNames, warnings: Set<string>): Tools {
  const list = body.at("tools");
  const usable = new Map<string, Tool[]>();
  for (const tool of list.absent ? [] : list.items()) {
    const spec = readTool(tool, names);
    if (spec === undefined) warnings.add(`tool type ${tool.at("type").keyword} is not supported, left out`);
    else if (usable.has(spec.name))
      warnings.add(`tool ${quote(names.decode(spec.name))} came twice, the first was kept`);
    else usable.set(spec.name, [{ toolSpec: spec }, ...cachePointOf(tool)]);
  }
  const choice = body.at("tool_choice");
  const mode = readMode(choice, names);
  checkToolChoice(choice, mode, usable);
  const single = choice.at("disable_parallel_tool_use");
  return { tools: [...usable.values()].flat(), mode, parallel: single.absent || !single.boolean() };
}

/** Undefined for a tool that can't be offered. */
function readTool(tool: Field, names: ToolNames): ToolSpec | undefined {
  tool.object();
  const type = tool.at("type");
  if (!type.absent && type.string() !== "custom") {
    const typed = typedTool(tool, type.string());
    if (typed === undefined) return undefined;
    const { name, description, schema } = typed;
    return { name: names.encode(name), description, inputSchema: { json: schema } };
  }
  const name = names.encode(tool.at("name").name());
  const description = tool.at("description").absent ? "" : tool.at("description").string();
  const strict = !tool.at("strict").absent && tool.at("strict").boolean();
  return {
    name,
    ...(description.trim() !== "" && { description: description.toWellFormed() }),
    inputSchema: { json: readToolSchema(tool.at("input_schema")) },
    ...(strict && { strict }),
  };
}

function readMode(choice: Field, names: ToolNames): ToolMode {
  if (choice.absent) return "auto";
  choice.object();
  const type = choice.at("type").oneOf(CHOICES);
  return type === "tool" ? { name: names.encode(choice.at("name").name()) } : type;
}
