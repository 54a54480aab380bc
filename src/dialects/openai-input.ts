/**
 * The `input` of Responses: a text, or items in the order in which they were said.
 *
 * https://platform.openai.com/docs/api-reference/responses/create#responses-create-input. Messages, reasoning, calls and
 * their outputs are read, also those of tools that a vendor has defined and the client runs. What only a vendor's server
 * runs is left out with a warning, and what it keeps is refused: the answer would hang on it. Clients post such bodies to
 * Chat Completions as well.
 */
import type { ContentBlock, Message } from "../bedrock/converse.ts";
import { isTooDeep, type JsonObject, MAX_JSON_DEPTH, stringifyJson } from "../json.ts";
import { cachePointOf } from "./cache-control.ts";
import { decryptReasoning } from "./encrypted-reasoning.ts";
import { Field } from "./fields.ts";
import { type Reading, readToolResult } from "./openai-content.ts";
import { type History, readHistory, readPlainMessage } from "./openai-history.ts";
import { toolName } from "./openai-tools.ts";
import { readArguments, toolResultBlocks } from "./tool-blocks.ts";

const ROLES = ["system", "developer", "user", "assistant"];
const SEND_ITEMS = "send the item itself (the Vercel AI SDK does with providerOptions.openai.store set to false)";

/** An item that says nothing. */
const NOTHING: Message = { role: "assistant", content: [] };

/** A text is the user's only message. */
export function inputItems(input: Field): Field[] {
  if (typeof input.value === "string") return [Field.root({ role: "user", content: input.value })];
  const items = input.items("a string or an array of items");
  if (items.length === 0) throw input.mustBe("a string or an array of at least one item");
  return items;
}

export function readItems(items: readonly Field[], reading: Reading): History {
  return readHistory(items, reading, (item) => readItem(item, reading));
}

/** `{type: "item_reference", id}`, whose type may be left out. */
export function isReference(item: Field): boolean {
  const type = item.at("type");
  if (!type.absent) return type.value === "item_reference";
  return item.at("role").absent && !item.at("id").absent;
}

function readItem(item: Field, reading: Reading): Message {
  item.object();
  const type = item.at("type");
  if (isReference(item)) throw item.at("id").error(`names an item that is not stored here: ${SEND_ITEMS}`);
  switch (type.value) {
    case undefined:
    case "message": {
      const message = readPlainMessage(item, reading);
      if (message === undefined) throw item.at("role").mustBeOneOf(ROLES);
      return message;
    }
    case "reasoning": {
      const reasoningContent = decryptReasoning(item.at("encrypted_content").value);
      return { role: "assistant", content: reasoningContent === undefined ? [] : [{ reasoningContent }] };
    }
    case "function_call":
      return call(item, toolName(item), readArguments(item.at("arguments")), reading);
    case "custom_tool_call":
      return call(item, toolName(item), { input: item.at("input").string() }, reading);
    case "local_shell_call":
      return call(item, "local_shell", readArguments(item.at("action")), reading);
    case "shell_call":
      return call(item, "shell", readArguments(item.at("action")), reading);
    case "apply_patch_call":
      return call(item, "apply_patch", readArguments(item.at("operation")), reading);
    case "function_call_output":
    case "custom_tool_call_output":
      return result(item, readToolResult(item.at("output"), item.at("call_id").name(), false, reading));
    case "local_shell_call_output":
    case "shell_call_output":
    case "apply_patch_call_output": {
      const id = item.at("call_id").absent ? item.at("id") : item.at("call_id");
      return result(item, toolResultBlocks([{ text: outputText(item.at("output")) }], id.name(), false));
    }
    case "compaction":
      throw type.error(
        'must not be "compaction": only the server that wrote it can read it, send the items themselves',
      );
    case "additional_tools":
      return NOTHING;
    default:
      reading.warnings.add(`input item ${type.keyword} is not supported, left out`);
      return NOTHING;
  }
}

function call(item: Field, name: string, input: JsonObject, { names }: Reading): Message {
  const toolUse = { toolUseId: item.at("call_id").name(), name: names.encode(name), input };
  return { role: "assistant", content: [{ toolUse }, ...cachePointOf(item)] };
}

function result(item: Field, blocks: ContentBlock[]): Message {
  return { role: "user", content: [...blocks, ...cachePointOf(item)] };
}

/** What a shell or a patch gave: a text, or what each command wrote. */
function outputText(output: Field): string {
  if (output.absent) return "";
  if (typeof output.value === "string") return output.value;
  if (isTooDeep(output.value)) throw output.error(`must not be nested more than ${MAX_JSON_DEPTH} levels deep`);
  return stringifyJson(output.value);
}
