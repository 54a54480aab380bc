/**
 * An answer in JSON, by the surest way that a model has.
 *
 * In this order: Bedrock's own structured output; a hidden tool whose arguments are the answer, forced or, beside the
 * client's own tools, one of those that some must be called of; an instruction, and JSON picked out of the text. Without a
 * schema there is only the instruction: a tool with an open schema tends to be called with nothing.
 * https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html
 */
import type { ConverseRequest, Tool, ToolConfig } from "../bedrock/converse.ts";
import type { AnswerFormat } from "../bedrock/intent.ts";
import { type JsonObject, stringifyJson } from "../json.ts";
import type { AdaptedTools } from "./adapt-tools.ts";
import type { Capabilities } from "./capabilities.ts";
import type { JsonSource } from "./json-answer.ts";
import { supportedSchema } from "./schema-subset.ts";

export interface FormatPlan {
  readonly toolConfig?: ToolConfig;
  readonly textFormat?: NonNullable<ConverseRequest["outputConfig"]>["textFormat"];
  /** For the system prompt. */
  readonly instruction?: string;
  /** Where the answer has its JSON; undefined: the text is as it should be. */
  readonly source?: JsonSource;
}

const HIDDEN_TOOL = "json_response";

export function planFormat(
  format: AnswerFormat | undefined,
  { toolConfig, forced }: AdaptedTools,
  { jsonSchema }: Capabilities,
  forcedTools: Capabilities["forcedTools"],
): FormatPlan {
  const unchanged = toolConfig === undefined ? {} : { toolConfig };
  if (format === undefined) return unchanged;
  if (format.type === "json_object") {
    if (forced) return unchanged;
    const instruction = `${opening(toolConfig)} one JSON object and nothing else: no explanation, no code fence.`;
    return { ...unchanged, instruction, source: { from: "text", open: "{" } };
  }
  const schema = jsonSchema && format.schema.type === "object" ? supportedSchema(format.schema) : undefined;
  if (schema !== undefined) return { ...unchanged, textFormat: textFormat(format, schema) };
  // The client forces a call of its own tool: this answer will not be the one with a format.
  if (forced) return unchanged;
  return hiddenTool(format, toolConfig, forcedTools) ?? { ...unchanged, ...instructed(format, toolConfig) };
}

type SchemaFormat = Extract<AnswerFormat, { type: "json_schema" }>;

/** Where there are tools, the model must not take the instruction for a word against calling them. */
function opening(config: ToolConfig | undefined): string {
  return config === undefined ? "Answer with" : "Call tools as you need them. Apart from those calls, answer with";
}

function textFormat({ name, description }: SchemaFormat, schema: JsonObject): FormatPlan["textFormat"] {
  return {
    type: "json_schema",
    structure: {
      jsonSchema: {
        schema: stringifyJson(schema),
        ...(name !== undefined && { name }),
        ...(description !== undefined && { description }),
      },
    },
  };
}

function hiddenTool(
  { schema, name, description }: SchemaFormat,
  config: ToolConfig | undefined,
  forcedTools: Capabilities["forcedTools"],
): FormatPlan | undefined {
  if (schema.type !== undefined && schema.type !== "object") return undefined;
  const others = config?.tools ?? [];
  const choice = others.length === 0 && forcedTools.includes("tool") ? "tool" : "any";
  if (!forcedTools.includes(choice)) return undefined;
  const taken = new Set(others.flatMap((tool) => ("toolSpec" in tool ? [tool.toolSpec.name] : [])));
  const tool = freeName(taken);
  const purpose =
    others.length === 0
      ? "Gives the answer. Call it once, with the whole answer."
      : "Gives the final answer. Call it once, with the whole answer, when no other tool is needed any more.";
  const about = [name, description].filter((text) => text !== undefined && text.trim() !== "").join(": ");
  const toolSpec = {
    name: tool,
    description: about === "" ? purpose : `${purpose} The answer is ${about}`,
    inputSchema: { json: { ...schema, type: "object" } },
  };
  const tools: Tool[] = [...others, { toolSpec }];
  return {
    toolConfig: { tools, toolChoice: choice === "tool" ? { tool: { name: tool } } : { any: {} } },
    source: { from: "tool", name: tool },
  };
}

function freeName(taken: ReadonlySet<string>): string {
  let name = HIDDEN_TOOL;
  for (let n = 2; taken.has(name); n += 1) name = `${HIDDEN_TOOL}_${n}`;
  return name;
}

function instructed(
  { schema, name, description }: SchemaFormat,
  config: ToolConfig | undefined,
): Pick<FormatPlan, "instruction" | "source"> {
  const isArray = schema.type === "array";
  const isScalar = !isArray && schema.type !== undefined && schema.type !== "object";
  const about = [name, description].filter((text) => text !== undefined && text.trim() !== "").join(": ");
  const instruction = [
    `${opening(config)} JSON and nothing else: no explanation, no code fence. It must fit this JSON Schema:`,
    stringifyJson(schema),
    ...(about === "" ? [] : [`It is ${about}`]),
  ].join("\n");
  return isScalar ? { instruction } : { instruction, source: { from: "text", open: isArray ? "[" : "{" } };
}
