/**
 * The `messages` array as a system prompt and turns; the turns are still as the client ordered them.
 *
 * https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages. System and developer messages at the
 * head are the system prompt. Later ones keep their place as the user's text: Bedrock models take no instructions in
 * the middle. The retired `function_call` and role `function` are read as tool calls.
 */
import type { CachePoint, ContentBlock, Message, SystemBlock } from "../../bedrock/converse.ts";
import { cachePointOf } from "../cache-control.ts";
import type { Field } from "../fields.ts";
import { readThinking } from "../thinking-blocks.ts";
import { type Reading, readContent, readToolResult, toolUse } from "./content.ts";

const ROLES = ["system", "developer", "user", "assistant", "tool", "function"];

export interface History {
  system: SystemBlock[];
  turns: Message[];
}

export function readMessages(messages: Field, reading: Reading): History {
  const items = messages.items("an array of messages");
  if (items.length === 0) throw messages.mustBe("an array of at least one message");
  return readHistory(items, reading, readTurn);
}

/** Reads one item; an item that says nothing gives a turn without content. */
export type ReadTurn = (item: Field, reading: Reading, calls: LegacyCalls) => Message;

export function readHistory(items: readonly Field[], reading: Reading, read: ReadTurn): History {
  const head = items.findIndex((item) => !isSystem(item));
  // With nothing but instructions, the last of them is what the model has to answer.
  const systemLength = head === -1 ? items.length - 1 : head;
  const calls = new LegacyCalls();
  return {
    system: items.slice(0, systemLength).flatMap((item) => systemBlocks(item.at("content"), item, reading)),
    turns: items.slice(systemLength).map((item) => read(item, reading, calls)),
  };
}

function isSystem(message: Field): boolean {
  const role = message.at("role").value;
  return role === "system" || role === "developer";
}

/** Instructions: `content`, and the cache point on what holds it. */
export function systemBlocks(content: Field, holder: Field, reading: Reading): SystemBlock[] {
  const blocks = [...readContent(content, "system", reading), ...cachePointOf(holder)];
  return blocks.filter((block): block is { text: string } | { cachePoint: CachePoint } => {
    return "text" in block || "cachePoint" in block;
  });
}

export function readTurn(message: Field, reading: Reading, calls: LegacyCalls): Message {
  message.object();
  const role = message.at("role");
  const content = message.at("content");
  switch (role.value) {
    case "system":
    case "developer":
      return { role: "user", content: systemBlocks(content, message, reading) };
    case "user":
      if (content.absent) throw content.mustBe("a string or an array of content parts");
      return { role: "user", content: [...readContent(content, "user", reading), ...cachePointOf(message)] };
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
    default:
      throw role.mustBeOneOf(ROLES);
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
export function customCall(call: Field, toolUseId: string, { names }: Reading): ContentBlock {
  const input = { input: call.at("input").string() };
  return { toolUse: { toolUseId, name: names.encode(call.at("name").name()), input } };
}

/** Ids for calls of the retired kind, which had none: the n-th call of a function is answered by its n-th message. */
export class LegacyCalls {
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
