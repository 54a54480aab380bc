/**
 * The `system` prompt and the `messages` array; the turns are still as the client ordered them.
 *
 * https://docs.anthropic.com/en/api/messages. Claude Code's system prompt begins with a line for Anthropic's billing whose text
 * differs from request to request: it is left out, or no prompt behind it could ever be read from Bedrock's cache.
 * Messages of the role `system` among the turns are the user's text: most of Bedrock's models take no instructions there.
 */
import type { CachePoint, ContentBlock, Message, SystemBlock } from "../../bedrock/converse.ts";
import { cachePointOf } from "../cache-control.ts";
import type { Field } from "../fields.ts";
import { type Reading, readContent } from "./content.ts";

const BILLING_LINE = /^x-anthropic-billing-header[^\n]*\n?/;
const ROLES = ["user", "assistant", "system"] as const;

export function readSystem(system: Field, reading: Reading): SystemBlock[] {
  const [first, ...others] = textOnly(readContent(system, "system", reading));
  if (first === undefined) return [];
  // Blank text is left to the repair.
  return ["text" in first ? { text: first.text.replace(BILLING_LINE, "") } : first, ...others];
}

export function readMessages(body: Field, reading: Reading): Message[] {
  const items = body.at("messages").items("an array of messages");
  if (items.length === 0) throw body.at("messages").mustBe("an array of at least one message");
  const turns = items.map((item) => readTurn(item, reading));
  // cache_control on the request itself: behind the last message.
  const last = turns.at(-1);
  if (last !== undefined) last.content = [...last.content, ...cachePointOf(body)];
  return turns;
}

function readTurn(message: Field, reading: Reading): Message {
  message.object();
  const role = message.at("role").oneOf(ROLES);
  const content = message.at("content");
  if (content.absent) throw content.mustBe("a string or an array of content blocks");
  const blocks = [...readContent(content, role, reading), ...cachePointOf(message)];
  return role === "system" ? { role: "user", content: textOnly(blocks) } : { role, content: blocks };
}

function textOnly(blocks: readonly ContentBlock[]): SystemBlock[] {
  return blocks.filter((block): block is { text: string } | { cachePoint: CachePoint } => {
    return "text" in block || "cachePoint" in block;
  });
}
