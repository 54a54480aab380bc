/**
 * What the simulator says without a script: enough life for a demo, and the same answer to the same request.
 *
 * It repeats the user's last text, calls a tool that the text names ("use the tool get_weather") or that toolChoice
 * forces, reports a tool's result, and fills a requested JSON schema.
 */
import { createHash } from "node:crypto";
import { isJsonObject, type JsonObject, parseJson, stringifyJson } from "../json.ts";
import { type ConverseCall, objects } from "./converse-call.ts";
import { Refusal } from "./failure.ts";
import { sampleValue } from "./sample.ts";

/** The content of the answer; with `words`, its text is cut or filled to exactly so many words. */
export function echo(call: ConverseCall, words?: number): JsonObject[] {
  const text = lastUserText(call);
  const reasoning = thinks(call) ? [reasoningBlock(text)] : [];
  const results = lastToolResults(call);
  if (results.length > 0) return [...reasoning, { text: `The tool answered: ${results.join(" ")}` }];
  const tools = chosenTools(call, text);
  if (tools.length > 0) return [...reasoning, ...tools.map((tool, index) => toolUse(tool, text, index))];
  const schema = requestedSchema(call);
  if (schema !== undefined) return [...reasoning, { text: stringifyJson(sampleValue(schema, text)) }];
  const said = text === "" ? "I can only read text, and your message has none." : `You said: ${text}`;
  return [...reasoning, { text: words === undefined ? said : exactly(words, said) }];
}

function lastUserText({ messages }: ConverseCall): string {
  for (const { role, content } of messages.toReversed()) {
    if (role !== "user") continue;
    const texts = content.map((block) => block.text).filter((text) => typeof text === "string");
    if (texts.length > 0) return texts.join("\n");
  }
  return "";
}

function lastToolResults({ messages }: ConverseCall): string[] {
  const texts: string[] = [];
  for (const { toolResult } of messages.at(-1)?.content ?? []) {
    if (!isJsonObject(toolResult)) continue;
    const parts = objects(toolResult.content).map(({ text, json }) => {
      if (typeof text === "string") return text;
      return json === undefined ? "(something other than text)" : stringifyJson(json);
    });
    texts.push(parts.join(" "));
  }
  return texts;
}

function chosenTools(call: ConverseCall, text: string): JsonObject[] {
  if (call.tools.length === 0) return [];
  const config = call.body.toolConfig;
  const choice = isJsonObject(config) && isJsonObject(config.toolChoice) ? config.toolChoice : {};
  const forced = isJsonObject(choice.tool) ? choice.tool.name : undefined;
  if (forced !== undefined) return call.tools.filter(({ name }) => name === forced);
  const words = new Set(text.split(/[^a-zA-Z0-9_-]+/));
  const asked = /\b(use|call|run|tool)/i.test(text);
  const named = call.tools.filter(({ name }) => asked && typeof name === "string" && words.has(name));
  return named.length === 0 && choice.any !== undefined ? call.tools.slice(0, 1) : named;
}

function toolUse(tool: JsonObject, text: string, index: number): JsonObject {
  const schema = isJsonObject(tool.inputSchema) ? tool.inputSchema.json : undefined;
  const id = createHash("sha256")
    .update(`${text}\n${String(tool.name)}\n${index}`)
    .digest("base64url");
  return {
    toolUse: { toolUseId: `tooluse_${id.slice(0, 22)}`, name: tool.name, input: sampleValue(schema, text) },
  };
}

function requestedSchema({ body }: ConverseCall): JsonObject | undefined {
  let at: unknown = body.outputConfig;
  for (const key of ["textFormat", "structure", "jsonSchema", "schema"]) at = isJsonObject(at) ? at[key] : undefined;
  if (typeof at !== "string") return undefined;
  const schema = parsed(at);
  if (!isJsonObject(schema)) throw new Refusal("ValidationException", "outputConfig's schema is not a JSON object.");
  return schema;
}

function parsed(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

/** Claude's `thinking` field: the one form of reasoning whose answer every client has to carry along, signed. */
function thinks({ body }: ConverseCall): boolean {
  const fields = body.additionalModelRequestFields;
  const thinking = isJsonObject(fields) ? fields.thinking : undefined;
  return isJsonObject(thinking) && (thinking.type === "enabled" || thinking.type === "adaptive");
}

function reasoningBlock(text: string): JsonObject {
  const signature = createHash("sha256").update(text).digest("base64");
  return { reasoningContent: { reasoningText: { text: "The user wrote something. I repeat it.", signature } } };
}

function exactly(count: number, text: string): string {
  const words = text.split(/\s+/).slice(0, count);
  while (words.length < count) words.push("word");
  return words.join(" ");
}
