/**
 * A tool configuration within what a model takes.
 *
 * A choice that the model does not know becomes the nearest that it knows, down to `auto` with an instruction.
 */
import type { Tool, ToolChoice, ToolConfig } from "../bedrock/converse.ts";
import { GatewayError } from "../errors.ts";
import type { JsonObject } from "../json.ts";
import type { Capabilities } from "./capabilities.ts";
import { supportedSchema } from "./schema-subset.ts";

export interface AdaptedTools {
  readonly toolConfig?: ToolConfig;
  /** The client insists on a call, whether or not the choice says so. */
  readonly forced: boolean;
  /** For the system prompt: what the choice could not say. */
  readonly instruction?: string;
}

export interface ToolTraits {
  readonly capabilities: Capabilities;
  readonly model: string;
  /** The choices that this request can force. */
  readonly forcedTools: Capabilities["forcedTools"];
}

export function adaptTools(
  config: ToolConfig | undefined,
  { capabilities, model, forcedTools }: ToolTraits,
  warn: (warning: string) => void,
): AdaptedTools {
  if (config === undefined) return { forced: false };
  const { tools, toolChoice } = config;
  const forced = toolChoice !== undefined && !("auto" in toolChoice);
  if (!capabilities.tools) {
    if (forced) {
      throw new GatewayError("invalid_request", `The model ${model} has no tool calls, and tool_choice asks for one.`, {
        param: "tools",
      });
    }
    warn("this model has no tool calls; the tools were left out, and earlier calls were sent as text");
    return { forced };
  }
  const specs = tools.map((tool) => adaptStrict(tool, capabilities, warn));
  if (!forced) return { toolConfig: { tools: specs }, forced };
  const choice = possibleChoice(toolChoice, specs, forcedTools);
  if (choice !== undefined) return { toolConfig: { tools: specs, toolChoice: choice }, forced };
  warn("this model can't be forced to call a tool here; it was only told to");
  const what = "tool" in toolChoice ? `the tool ${toolChoice.tool.name}` : "one of the tools";
  return { toolConfig: { tools: specs }, forced, instruction: `Answer by calling ${what}, not with text.` };
}

/**
 * At most one call in a turn, where the client asked for it: Claude's own `tool_choice`, which must leave the type to
 * Converse when that has a choice.
 */
export function singleCallFields(
  config: ToolConfig | undefined,
  parallelToolCalls: boolean | undefined,
  { singleToolCalls }: Capabilities,
  warn: (warning: string) => void,
): JsonObject {
  if (parallelToolCalls !== false || config === undefined) return {};
  if (!singleToolCalls) {
    warn("this model can't be kept from calling several tools at once");
    return {};
  }
  const type = config.toolChoice === undefined && { type: "auto" };
  return { tool_choice: { ...type, disable_parallel_tool_use: true } };
}

function possibleChoice(
  choice: ToolChoice,
  tools: readonly Tool[],
  forcedTools: Capabilities["forcedTools"],
): ToolChoice | undefined {
  if ("any" in choice) return forcedTools.includes("any") ? choice : undefined;
  if (forcedTools.includes("tool")) return choice;
  const single = tools.filter((tool) => "toolSpec" in tool).length === 1;
  return single && forcedTools.includes("any") ? { any: {} } : undefined;
}

function adaptStrict(tool: Tool, { strictTools }: Capabilities, warn: (warning: string) => void): Tool {
  if (!("toolSpec" in tool) || tool.toolSpec.strict === undefined) return tool;
  const { strict, ...spec } = tool.toolSpec;
  if (!strict) return { toolSpec: spec };
  const schema = strictTools ? supportedSchema(spec.inputSchema.json) : undefined;
  if (schema !== undefined) return { toolSpec: { ...spec, inputSchema: { json: schema }, strict } };
  warn("strict was left out: this model can't hold calls to these tools' schemas");
  return { toolSpec: spec };
}
