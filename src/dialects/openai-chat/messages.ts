/**
 * The `messages` array as a system prompt and turns; the turns are still as the client ordered them.
 *
 * https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages. System and developer messages at the
 * head are the system prompt. Later ones keep their place as the user's text: Bedrock models take no instructions in
 * the middle. The retired `function_call` and role `function` are read as tool calls.
 */
import type { CachePoint, ContentBlock, Message, SystemBlock } from "../../bedrock/converse.ts";
import { toolInput } from "../../bedrock/tool-input.ts";
import type { ToolNames } from "../../bedrock/tool-names.ts";
import { cachePointOf } from "../cache-control.ts";
import type { Field } from "../fields.ts";
import { readContent, readThinking, readToolResult } from "./content.ts";

const ROLES = ["system", "developer", "user", "assistant", "tool", "function"];

export interface History {
  system: SystemBlock[];
  turns: Message[];
}

export function readMessages(messages: Field, names: ToolNames): History {
  const items = messages.items("an array of messages");
  if (items.length === 0) throw messages.mustBe("an array of at least one message");
  const head = items.findIndex((message) => !isSystem(message));
  // With nothing but instructions, the last of them is what the model has to answer.
  const systemLength = head === -1 ? items.length - 1 : head;
  const calls = new LegacyCalls();
  return {
    system: items.slice(0, systemLength).flatMap((message) => systemBlocks(message, names)),
    turns: items.slice(systemLength).map((message) => readTurn(message, names, calls)),
  };
}

function isSystem(message: Field): boolean {
  const role = message.at("role").value;
  return role === "system" || role === "developer";
}

function systemBlocks(message: Field, names: ToolNames): SystemBlock[] {
  const blocks = [...readContent(message.at("content"), "system", names), ...cachePointOf(message)];
  return blocks.filter((block): block is { text: string } | { cachePoint: CachePoint } => {
    return "text" in block || "cachePoint" in block;
  });
}

function readTurn(message: Field, names: ToolNames, calls: LegacyCalls): Message {
  message.object();
  const role = message.at("role");
  const content = message.at("content");
  switch (role.value) {
    case "system":
    case "developer":
      return { role: "user", content: systemBlocks(message, names) };
    case "user":
      if (content.absent) throw content.mustBe("a string or an array of content parts");
      return { role: "user", content: [...readContent(content, "user", names), ...cachePointOf(message)] };
    case "assistant":
      return { role: "assistant", content: [...readAnswer(message, names, calls), ...cachePointOf(message)] };
    case "tool": {
      const id = message.at("tool_call_id").name();
      return { role: "user", content: [...readToolResult(content, id, false, names), ...cachePointOf(message)] };
    }
    case "function": {
      const id = calls.answer(message.at("name").name());
      return { role: "user", content: [...readToolResult(content, id, false, names), ...cachePointOf(message)] };
    }
    default:
      throw role.mustBeOneOf(ROLES);
  }
}

function readAnswer(message: Field, names: ToolNames, calls: LegacyCalls): ContentBlock[] {
  const thinking = message.at("thinking_blocks");
  const refusal = message.at("refusal");
  const toolCalls = message.at("tool_calls");
  const legacy = message.at("function_call");
  return [
    ...(thinking.absent ? [] : thinking.items().flatMap(readThinking)),
    ...readContent(message.at("content"), "assistant", names),
    ...(refusal.absent ? [] : [{ text: refusal.string() }]),
    ...(toolCalls.absent ? [] : toolCalls.items().flatMap((call) => readToolCall(call, names))),
    ...(legacy.absent ? [] : [readFunction(legacy, calls.open(legacy.at("name").name()), names)]),
  ];
}

function readToolCall(call: Field, names: ToolNames): ContentBlock[] {
  call.object();
  const id = call.at("id").name();
  const type = call.at("type");
  if (type.value === "custom") {
    const name = names.encode(call.at("custom").at("name").name());
    return [{ toolUse: { toolUseId: id, name, input: { input: call.at("custom").at("input").string() } } }];
  }
  if (!type.absent && type.value !== "function") throw type.mustBeOneOf(["function", "custom"]);
  return [readFunction(call.at("function"), id, names), ...cachePointOf(call)];
}

function readFunction(call: Field, toolUseId: string, names: ToolNames): ContentBlock {
  const name = names.encode(call.at("name").name());
  return { toolUse: { toolUseId, name, input: toolInput(call.at("arguments").value) } };
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
