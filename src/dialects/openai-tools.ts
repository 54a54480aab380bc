/**
 * Tools and the choice among them, in three spellings: Chat Completions' `{type: "function", function: {…}}`, the flat one
 * of Responses and the flat one of Anthropic, which clients mix freely.
 *
 * Tools that only run on a vendor's own servers are left out with a warning. A schema is passed on as it is, but for the
 * top-level `type: "object"` that Converse insists on.
 */
import type { Tool, ToolSpec } from "../bedrock/converse.ts";
import type { ToolMode } from "../bedrock/tool-config.ts";
import type { ToolNames } from "../bedrock/tool-names.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import { cachePointOf } from "./cache-control.ts";
import { type Field, quote } from "./fields.ts";
import type { Reading } from "./openai-content.ts";
import { checkToolChoice } from "./tool-blocks.ts";
import { readToolSchema } from "./tool-schema.ts";

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

/** A tool that is called otherwise than a function by its name. */
export interface SpecialTool {
  readonly name: string;
  readonly namespace?: string;
  /** It takes a text instead of JSON: the function in its place has the parameter `input`. */
  readonly custom: boolean;
}

/** By their names as sent. */
export type SpecialTools = Map<string, SpecialTool>;

/** One tool as a function that Bedrock can be told of; without `spec` there is none. */
interface Offer {
  readonly tool: Field;
  readonly spec?: ToolSpec;
  readonly special?: SpecialTool;
}

export interface ToolSources {
  /** Items of the conversation: those of type `additional_tools` bring some. */
  readonly items: readonly Field[];
  /** Gets the special tools. Without it they are left out: not every dialect can answer with their calls. */
  readonly special?: SpecialTools;
}

/** The request's `tools` and `tool_choice`. Adds what was left out to the warnings. */
export function readTools(body: Field, { names, warnings }: Reading, { items, special }: ToolSources): Tools {
  const specs = new Map<string, Tool[]>();
  const functions = itemsOf(body.at("functions"));
  const listed = [...itemsOf(body.at("tools")), ...items.flatMap(additionalTools)];
  const offers: Offer[] = [
    ...listed.flatMap((tool) => offersOf(tool, names, special !== undefined)),
    ...functions.map((tool) => ({ tool, spec: readSpec(tool, names) })),
  ];
  for (const { tool, spec, special: kind } of offers) {
    if (spec === undefined) warnings.add(`tool type ${tool.at("type").keyword} is not supported, left out`);
    else if (specs.has(spec.name))
      warnings.add(`tool ${quote(names.decode(spec.name))} came twice, the first was kept`);
    else {
      specs.set(spec.name, [
        { toolSpec: spec },
        ...[...cachePointOf(tool), ...cachePointOf(tool.at("function"))].slice(0, 1),
      ]);
      if (kind !== undefined) special?.set(spec.name, kind);
    }
  }
  const asFunctions = functions.length > 0 && listed.length === 0;
  const field = body.at(asFunctions && body.at("tool_choice").absent ? "function_call" : "tool_choice");
  const choice = readChoice(field, names);
  const usable = new Map([...specs].filter(([name]) => choice.allowed?.has(name) ?? true));
  checkToolChoice(field, choice.mode, usable);
  return { tools: [...usable.values()].flat(), mode: choice.mode, asFunctions };
}

function itemsOf(list: Field): Field[] {
  return list.absent ? [] : list.items();
}

function additionalTools(item: Field): Field[] {
  return item.at("type").value === "additional_tools" ? itemsOf(item.at("tools")) : [];
}

/** The name of a tool, or of a call of one: in a namespace it begins with the namespace's own. */
export function toolName(holder: Field): string {
  const name = holder.at("name").name();
  const space = holder.at("namespace");
  return space.absent ? name : nameIn(space.string(), name);
}

function nameIn(namespace: string, name: string): string {
  return namespace === "" ? name : `${namespace}__${name}`;
}

function offersOf(tool: Field, names: ToolNames, withSpecial: boolean): Offer[] {
  if (withSpecial && tool.at("type").value === "namespace") {
    const space = tool.at("name").name();
    return itemsOf(tool.at("tools")).map((inner) => inNamespace(space, offerOf(inner, names), names));
  }
  return [withSpecial ? offerOf(tool, names) : functionOffer(tool, names)];
}

function offerOf(tool: Field, names: ToolNames): Offer {
  const custom = tool.at("type").value === "custom" && tool.at("input_schema").absent;
  return custom ? customOffer(tool, names) : functionOffer(tool, names);
}

function functionOffer(tool: Field, names: ToolNames): Offer {
  const spec = readTool(tool, names);
  return spec === undefined ? { tool } : { tool, spec };
}

function inNamespace(namespace: string, { tool, spec, special }: Offer, names: ToolNames): Offer {
  if (spec === undefined) return { tool };
  const name = tool.at("name").name();
  return {
    tool,
    spec: { ...spec, name: names.encode(nameIn(namespace, name)) },
    special: { name, namespace, custom: special?.custom ?? false },
  };
}

/** A tool that takes text, and the text's grammar, which nothing here enforces, in its description. */
function customOffer(tool: Field, names: ToolNames): Offer {
  const name = tool.at("name").name();
  const format = tool.at("format");
  const grammar = format.at("definition");
  const syntax = format.at("syntax").value === "regex" ? "regular expression" : "Lark grammar";
  const description = [
    tool.at("description").absent ? "" : tool.at("description").string(),
    grammar.absent ? "" : `The input must match this ${syntax}:\n${grammar.string()}`,
  ].filter((text) => text.trim() !== "");
  return {
    tool,
    spec: {
      name: names.encode(name),
      ...(description.length > 0 && { description: description.join("\n\n").toWellFormed() }),
      inputSchema: { json: CUSTOM_SCHEMA },
    },
    special: { name, custom: true },
  };
}

const CUSTOM_SCHEMA: JsonObject = {
  type: "object",
  properties: { input: { type: "string", description: "The tool's whole input, as plain text." } },
  required: ["input"],
  additionalProperties: false,
};

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

const CALLABLE: readonly unknown[] = [undefined, "function", "custom"];
const CHOICES = ["none", "auto", "required"];
const CHOICE_TYPES = ["function", "custom", "allowed_tools", "auto", "any", "none", "tool"];

function readChoice(choice: Field, names: ToolNames): Choice {
  if (choice.absent) return { mode: "auto" };
  const named = (holder: Field): Choice => ({ mode: { name: names.encode(toolName(holder)) } });
  if (!isJsonObject(choice.value)) return { mode: modeOf(choice, CHOICES) };
  const type = choice.at("type");
  switch (type.value) {
    case "function":
    case "custom":
      return named(definitionOf(choice));
    case "tool":
      return named(choice);
    case "allowed_tools":
      return readAllowed(choice.at("allowed_tools").absent ? choice : choice.at("allowed_tools"), names);
    case undefined:
      // The retired function_call: {name}.
      if (!choice.at("name").absent) return named(choice);
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

/** Chat Completions wraps what a tool is called in its type's name, Responses does not. */
function definitionOf(tool: Field): Field {
  return [tool.at("function"), tool.at("custom")].find((inside) => !inside.absent) ?? tool;
}

/** `{mode: "auto" | "required", tools: [{type: "function", function: {name}}]}`; tools that were left out may be in it. */
function readAllowed(allowed: Field, names: ToolNames): Choice {
  const tools = allowed.at("tools").items();
  const named = tools.filter((tool) => CALLABLE.includes(tool.at("type").value));
  return {
    mode: modeOf(allowed.at("mode"), ["auto", "required"]),
    allowed: new Set(named.map((tool) => names.encode(toolName(definitionOf(tool))))),
  };
}
