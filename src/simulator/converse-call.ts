/**
 * Reads a Converse body and refuses what Bedrock refuses of every model.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. The checks are those that a
 * gateway's mistakes would meet first; models' own quirks are left out (a test scripts them or passes a judge).
 */
import { isJsonObject, type JsonObject, type JsonValue } from "../json.ts";
import { Refusal } from "./failure.ts";

export interface ConverseCall {
  readonly messages: readonly CallMessage[];
  readonly system: readonly JsonObject[];
  /** The entries of `toolConfig.tools` that are a toolSpec. */
  readonly tools: readonly JsonObject[];
  readonly body: JsonObject;
}

export interface CallMessage {
  readonly role: string;
  readonly content: readonly JsonObject[];
}

const FIELDS: ReadonlySet<string> = new Set([
  "messages",
  "system",
  "inferenceConfig",
  "toolConfig",
  "guardrailConfig",
  "additionalModelRequestFields",
  "additionalModelResponseFieldPaths",
  "promptVariables",
  "requestMetadata",
  "performanceConfig",
  "serviceTier",
  "outputConfig",
]);

/** Throws a ValidationException for the first thing that is wrong. */
export function readConverse(body: unknown): ConverseCall {
  if (!isJsonObject(body)) throw invalid("The request body must be a JSON object.");
  for (const key of Object.keys(body))
    if (!FIELDS.has(key)) throw invalid(`Malformed input request: #: extraneous key [${key}] is not permitted.`);
  const messages = objects(body.messages).map(readMessage);
  if (messages.length === 0) throw invalid("The messages field is empty. Add at least one message.");
  if (messages[0]?.role !== "user") throw invalid("A conversation must start with a user message.");
  const tools = isJsonObject(body.toolConfig) ? readTools(body.toolConfig) : [];
  checkInference(body.inferenceConfig);
  checkTexts(messages);
  checkToolTurns(messages, body.toolConfig !== undefined);
  return { messages, system: objects(body.system), tools, body };
}

/** The objects of an array; nothing for anything else. */
export function objects(value: JsonValue | undefined): JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

function readMessage(message: JsonObject, index: number): CallMessage {
  const { role } = message;
  const content = objects(message.content);
  if (role !== "user" && role !== "assistant" && role !== "system")
    throw invalid(`Value '${String(role)}' at 'messages.${index}.role' is not one of user, assistant, system.`);
  if (content.length === 0) throw invalid(`The content field at messages.${index} is empty.`);
  for (const [position, block] of content.entries())
    if (Object.keys(block).length !== 1)
      throw invalid(`The ContentBlock at messages.${index}.content.${position} must have exactly one key.`);
  return { role, content };
}

function readTools(config: JsonObject): JsonObject[] {
  const tools = objects(config.tools);
  if (tools.length === 0) throw invalid("toolConfig.tools must have at least one tool.");
  const specs = tools.map((tool) => tool.toolSpec).filter(isJsonObject);
  for (const { name, inputSchema } of specs) {
    if (typeof name !== "string" || !/^[a-zA-Z0-9_-]{1,64}$/.test(name))
      throw invalid(`The tool name '${String(name)}' does not match [a-zA-Z0-9_-]{1,64}.`);
    const schema = isJsonObject(inputSchema) ? inputSchema.json : undefined;
    if (!isJsonObject(schema) || schema.type !== "object")
      throw invalid(`The value at toolConfig.tools.${name}.toolSpec.inputSchema.json.type must be object.`);
  }
  return specs;
}

function checkInference(config: JsonValue | undefined): void {
  if (!isJsonObject(config)) return;
  for (const name of ["temperature", "topP"]) {
    const value = config[name];
    if (value !== undefined && !(typeof value === "number" && value >= 0 && value <= 1))
      throw invalid(`Value '${String(value)}' at 'inferenceConfig.${name}' must be between 0 and 1.`);
  }
  const { maxTokens } = config;
  if (maxTokens !== undefined && !(typeof maxTokens === "number" && Number.isInteger(maxTokens) && maxTokens >= 1))
    throw invalid(`Value '${String(maxTokens)}' at 'inferenceConfig.maxTokens' must be a whole number of at least 1.`);
}

function checkTexts(messages: readonly CallMessage[]): void {
  for (const [index, message] of messages.entries())
    for (const [position, { text }] of message.content.entries())
      if (text !== undefined && (typeof text !== "string" || text.trim() === ""))
        throw invalid(`The text field in the ContentBlock object at messages.${index}.content.${position} is blank.`);
}

/** Every toolUse of an assistant message needs its toolResult in the next message, and no other. */
function checkToolTurns(messages: readonly CallMessage[], hasTools: boolean): void {
  let pending: string[] = [];
  for (const [index, message] of messages.entries()) {
    const results = toolIds(message, "toolResult");
    const uses = toolIds(message, "toolUse");
    if ((uses.length > 0 || results.length > 0) && !hasTools)
      throw invalid("The toolConfig field must be defined when using toolUse and toolResult content blocks.");
    const missing = pending.filter((id) => !results.includes(id));
    if (missing.length > 0)
      throw invalid(`Expected toolResult blocks at messages.${index}.content for the following Ids: ${missing}`);
    const stray = results.filter((id) => !pending.includes(id));
    if (stray.length > 0)
      throw invalid(`The toolResult blocks at messages.${index}.content have no toolUse before them: ${stray}`);
    pending = uses;
  }
  if (pending.length > 0 && messages.at(-1)?.role === "assistant")
    throw invalid("The conversation must not end with a toolUse block.");
}

function toolIds(message: CallMessage, kind: "toolUse" | "toolResult"): string[] {
  const ids: string[] = [];
  for (const block of message.content) {
    const tool = block[kind];
    if (isJsonObject(tool) && typeof tool.toolUseId === "string") ids.push(tool.toolUseId);
  }
  return ids;
}

function invalid(message: string): Refusal {
  return new Refusal("ValidationException", message);
}
