/**
 * Tools and the choice among them, in three spellings: Chat Completions' `{type: "function", function: {…}}`, the flat one
 * of Responses and the flat one of Anthropic, which clients mix freely.
 *
 * Tools that only run on a vendor's own servers are left out with a warning. A schema is passed on as it is, but for the
 * top-level `type: "object"` that Converse insists on.
 */
import type { Tool, ToolSpec } from "../../bedrock/converse.ts";
import type { ToolMode } from "../../bedrock/tool-config.ts";
import type { ToolNames } from "../../bedrock/tool-names.ts";
import { isJsonObject } from "../../json.ts";
import { cachePointOf } from "../cache-control.ts";
import { type Field, quote } from "../fields.ts";
import { readToolSchema } from "../tool-schema.ts";

export interface Tools {
  tools: Tool[];
  mode: ToolMode;
  /** They came as `functions` and nothing else. */
  asFunctions: boolean;
}

interface Choice {
  mode: ToolMode;
  /** Names, as sent to Bedrock, that the choice narrows the tools to. */
  allowed?: ReadonlySet<string>;
}

/** The request's `tools` and `tool_choice`. Adds what was left out to `warnings`. */
export function readTools(body: Field, names: ToolNames, warnings: Set<string>): Tools {
  const specs = new Map<string, Tool[]>();
  const functions = itemsOf(body.at("functions"));
  const listed = itemsOf(body.at("tools"));
  const read = [
    ...listed.map((tool) => ({ tool, spec: readTool(tool, names) })),
    ...functions.map((tool) => ({ tool, spec: readSpec(tool, names) })),
  ];
  for (const { tool, spec } of read) {
    if (spec === undefined) warnings.add(`tool type ${tool.at("type").keyword} is not supported, left out`);
    else if (specs.has(spec.name))
      warnings.add(`tool ${quote(names.decode(spec.name))} came twice, the first was kept`);
    else
      specs.set(spec.name, [
        { toolSpec: spec },
        ...[...cachePointOf(tool), ...cachePointOf(tool.at("function"))].slice(0, 1),
      ]);
  }
  const asFunctions = functions.length > 0 && listed.length === 0;
  const field = body.at(asFunctions && body.at("tool_choice").absent ? "function_call" : "tool_choice");
  const choice = readChoice(field, names);
  const usable = new Map([...specs].filter(([name]) => choice.allowed?.has(name) ?? true));
  checkChoice(field, choice, usable);
  return { tools: [...usable.values()].flat(), mode: choice.mode, asFunctions };
}

function itemsOf(list: Field): Field[] {
  return list.absent ? [] : list.items();
}

/** Undefined for a tool that is not a function. */
function readTool(tool: Field, names: ToolNames): ToolSpec | undefined {
  tool.object();
  const type = tool.at("type").value;
  const flat = tool.at("function").absent;
  const anthropic = flat && !tool.at("input_schema").absent;
  if (type !== "function" && !anthropic && !(type === undefined && !flat)) {
    if (type === undefined) throw tool.at("type").mustBeOneOf(["function"]);
    return undefined;
  }
  return readSpec(flat ? tool : tool.at("function"), names);
}

/** The schema stands in `parameters`, or in Anthropic's `input_schema`. */
function readSpec(spec: Field, names: ToolNames): ToolSpec {
  spec.object();
  const name = names.encode(spec.at("name").name());
  const description = spec.at("description").absent ? "" : spec.at("description").string();
  const strict = !spec.at("strict").absent && spec.at("strict").boolean();
  return {
    name,
    ...(description.trim() !== "" && { description: description.toWellFormed() }),
    inputSchema: { json: readToolSchema(spec.at(spec.at("parameters").absent ? "input_schema" : "parameters")) },
    ...(strict && { strict }),
  };
}

const CHOICES = ["none", "auto", "required"];
const CHOICE_TYPES = ["function", "allowed_tools", "auto", "any", "none", "tool"];

function readChoice(choice: Field, names: ToolNames): Choice {
  if (choice.absent) return { mode: "auto" };
  const named = (name: Field): Choice => ({ mode: { name: names.encode(name.name()) } });
  if (!isJsonObject(choice.value)) return { mode: modeOf(choice, CHOICES) };
  const type = choice.at("type");
  switch (type.value) {
    case "function":
      return named(choice.at("function").absent ? choice.at("name") : choice.at("function").at("name"));
    case "tool":
      return named(choice.at("name"));
    case "allowed_tools":
      return readAllowed(choice.at("allowed_tools").absent ? choice : choice.at("allowed_tools"), names);
    case undefined:
      // The retired function_call: {name}.
      if (!choice.at("name").absent) return named(choice.at("name"));
      throw type.mustBeOneOf(CHOICE_TYPES);
    default:
      return { mode: modeOf(type, CHOICE_TYPES) };
  }
}

function modeOf(field: Field, keywords: readonly string[]): ToolMode {
  switch (field.value) {
    case "auto":
    case "none":
      return field.value;
    case "any":
    case "required":
      return "any";
    default:
      throw field.mustBeOneOf(keywords);
  }
}

/** `{mode: "auto" | "required", tools: [{type: "function", function: {name}}]}` */
function readAllowed(allowed: Field, names: ToolNames): Choice {
  const tools = allowed.at("tools").items();
  const nameOf = (tool: Field): string => (tool.at("function").absent ? tool : tool.at("function")).at("name").name();
  return {
    mode: modeOf(allowed.at("mode"), ["auto", "required"]),
    allowed: new Set(tools.map((tool) => names.encode(nameOf(tool)))),
  };
}

function checkChoice(field: Field, { mode }: Choice, usable: ReadonlyMap<string, unknown>): void {
  if (mode === "auto" || mode === "none") return;
  if (usable.size === 0) throw field.error("needs tools: send the tools to choose from, or leave tool_choice out");
  if (mode !== "any" && !usable.has(mode.name)) throw field.error("must name one of the request's tools");
}
