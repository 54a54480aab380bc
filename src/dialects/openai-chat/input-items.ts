/**
 * The `input` of a Responses body that was posted to Chat Completions, as Cursor does it for some model names.
 *
 * https://platform.openai.com/docs/api-reference/responses/create#responses-create-input. Messages, calls and their
 * outputs are read; reasoning is encrypted for its vendor and says nothing to another model. What only a vendor's server
 * keeps or runs is left out with a warning, or refused where the answer would hang on it.
 */
import type { ContentBlock, Message } from "../../bedrock/converse.ts";
import { cachePointOf } from "../cache-control.ts";
import type { Field } from "../fields.ts";
import { type Reading, readToolResult, toolUse } from "./content.ts";
import { customCall, type History, type LegacyCalls, readHistory, readTurn } from "./messages.ts";

export function readInput(input: Field, reading: Reading): History {
  if (typeof input.value === "string")
    return { system: [], turns: [{ role: "user", content: [{ text: input.value }] }] };
  const items = input.items("a string or an array of items");
  if (items.length === 0) throw input.mustBe("a string or an array of at least one item");
  return readHistory(items, reading, readItem);
}

function readItem(item: Field, reading: Reading, calls: LegacyCalls): Message {
  item.object();
  const type = item.at("type");
  switch (type.value) {
    case undefined:
    case "message":
      return readTurn(item, reading, calls);
    case "function_call":
      return said(item, toolUse(item.at("call_id").name(), item.at("name"), item.at("arguments"), reading));
    case "custom_tool_call":
      return said(item, customCall(item, item.at("call_id").name(), reading));
    case "function_call_output":
    case "custom_tool_call_output": {
      const result = readToolResult(item.at("output"), item.at("call_id").name(), false, reading);
      return { role: "user", content: [...result, ...cachePointOf(item)] };
    }
    case "item_reference":
      throw type.error('must not be "item_reference": nothing is stored here, send the item itself');
    case "reasoning":
      return { role: "assistant", content: [] };
    default:
      reading.warnings.add(`input item ${type.keyword} is not supported, left out`);
      return { role: "assistant", content: [] };
  }
}

function said(item: Field, block: ContentBlock): Message {
  return { role: "assistant", content: [block, ...cachePointOf(item)] };
}
