/**
 * A conversation in OpenAI's order: instructions at the head, then turns as the client ordered them.
 *
 * System and developer messages at the head are the system prompt. Later ones keep their place as the user's text: Bedrock
 * models take no instructions in the middle.
 */
import type { CachePoint, Message, SystemBlock } from "../bedrock/converse.ts";
import { cachePointOf } from "./cache-control.ts";
import type { Field } from "./fields.ts";
import { type Reading, readContent } from "./openai-content.ts";

export interface History {
  system: SystemBlock[];
  turns: Message[];
}

/** `read` reads one item; an item that says nothing gives a turn without content. */
export function readHistory(items: readonly Field[], reading: Reading, read: (item: Field) => Message): History {
  const head = items.findIndex((item) => !isSystem(item));
  // With nothing but instructions, the last of them is what the model has to answer.
  const systemLength = head === -1 ? items.length - 1 : head;
  return {
    system: items.slice(0, systemLength).flatMap((item) => systemBlocks(item.at("content"), item, reading)),
    turns: items.slice(systemLength).map(read),
  };
}

/** Instructions: `content`, and the cache point on what holds it. */
export function systemBlocks(content: Field, holder: Field, reading: Reading): SystemBlock[] {
  const blocks = [...readContent(content, "system", reading), ...cachePointOf(holder)];
  return blocks.filter((block): block is { text: string } | { cachePoint: CachePoint } => {
    return "text" in block || "cachePoint" in block;
  });
}

/** A message that has a role and content and nothing else; undefined for a role of another kind. */
export function readPlainMessage(message: Field, reading: Reading): Message | undefined {
  message.object();
  const content = message.at("content");
  switch (message.at("role").value) {
    case "system":
    case "developer":
      return { role: "user", content: systemBlocks(content, message, reading) };
    case "user":
      if (content.absent) throw content.mustBe("a string or an array of content parts");
      return { role: "user", content: [...readContent(content, "user", reading), ...cachePointOf(message)] };
    case "assistant":
      return { role: "assistant", content: [...readContent(content, "assistant", reading), ...cachePointOf(message)] };
    default:
      return undefined;
  }
}

function isSystem(item: Field): boolean {
  const role = item.at("role").value;
  return role === "system" || role === "developer";
}
