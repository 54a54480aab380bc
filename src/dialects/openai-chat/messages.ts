/**
 * The `messages` array as a system prompt and turns; the turns are still as the client ordered them.
 *
 * https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages. The retired `function_call` and role
 * `function` are read as tool calls.
 */
import type { ContentBlock, Message } from "../../bedrock/converse.ts";
import { cachePointOf } from "../cache-control.ts";
import type { Field } from "../fields.ts";
import { type Reading, readContent, readToolResult, toolUse } from "../openai-content.ts";
import { type History, readHistory, readPlainMessage } from "../openai-history.ts";
import { readThinking } from "../thinking-blocks.ts";

const ROLES = ["system", "developer", "user", "assistant", "tool", "function"];

export function readMessages(messages: Field, reading: Reading): History {
  const items = messages.items("an array of messages");
  if (items.length === 0) throw messages.mustBe("an array of at least one message");
  const calls = new LegacyCalls();
  return readHistory(items, reading, (message) => readTurn(message, reading, calls));
}

function readTurn(message: Field, reading: Reading, calls: LegacyCalls): Message {
  message.object();
  const role = message.at("role");
  const content = message.at("content");
  switch (role.value) {
    case "assistant":
      return { role: "assistant", content: [...readAnswer(message, reading, calls), ...cachePointOf(message)] };
    case "tool": {
      const id = message.at("tool_call_id").name();
      return { role: "user", content: [...readToolResult(content, id, false, reading), ...cachePointOf(message)] };
    }
    case "function": {
      const id = calls.answer(message.at("name").name());
      return { role: "user", content: [...readToolResult(content, id, false, reading), ...cachePointOf(message)] };
    }
    default: {
      const plain = readPlainMessage(message, reading);
      if (plain === undefined) throw role.mustBeOneOf(ROLES);
      return plain;
    }
  }
}

function readAnswer(message: Field, reading: Reading, calls: LegacyCalls): ContentBlock[] {
  const thinking = message.at("thinking_blocks");
  const refusal = message.at("refusal");
  const toolCalls = message.at("tool_calls");
  const legacy = message.at("function_call");
  return [
    ...(thinking.absent ? [] : thinking.items().flatMap(readThinking)),
    ...readContent(message.at("content"), "assistant", reading),
    ...(refusal.absent ? [] : [{ text: refusal.string() }]),
    ...(toolCalls.absent ? [] : toolCalls.items().flatMap((call) => readToolCall(call, reading))),
    ...(legacy.absent ? [] : [readFunction(legacy, calls.open(legacy.at("name").name()), reading)]),
  ];
}

function readToolCall(call: Field, reading: Reading): ContentBlock[] {
  call.object();
  const id = call.at("id").name();
  const type = call.at("type");
  if (type.value === "custom") return [customCall(call.at("custom"), id, reading), ...cachePointOf(call)];
  if (!type.absent && type.value !== "function") throw type.mustBeOneOf(["function", "custom"]);
  return [readFunction(call.at("function"), id, reading), ...cachePointOf(call)];
}

function readFunction(call: Field, id: string, reading: Reading): ContentBlock {
  return toolUse(id, call.at("name"), call.at("arguments"), reading);
}

/** A tool that takes text, not JSON: `{name, input}`. */
function customCall(call: Field, toolUseId: string, { names }: Reading): ContentBlock {
  const input = { input: call.at("input").string() };
  return { toolUse: { toolUseId, name: names.encode(call.at("name").name()), input } };
}

/** Ids for calls of the retired kind, which had none: the n-th call of a function is answered by its n-th message. */
class LegacyCalls {
  readonly #calls = new Map<string, number>();
  readonly #answers = new Map<string, number>();

  open(name: string): string {
    return this.#next(this.#calls, name);
  }

  answer(name: string): string {
    return this.#next(this.#answers, name);
  }

  #next(counts: Map<string, number>, name: string): string {
    const n = (counts.get(name) ?? 0) + 1;
    counts.set(name, n);
    return `function:${name}:${n}`;
  }
}
