/**
 * The `system` prompt and the `messages` array; the turns are still as the client ordered them.
 *
 * https://docs.anthropic.com/en/api/messages. Claude Code's first system block is a line for Anthropic's billing whose text
 * differs from request to request: it is left out, or no prompt behind it could ever be read from Bedrock's cache.
 * Messages of the role `system` among the turns are the user's text: most of Bedrock's models take no instructions there.
 */
import type { CachePoint, ContentBlock, Message, SystemBlock } from "../../bedrock/converse.ts";
import { cachePointOf } from "../cache-control.ts";
import type { Field } from "../fields.ts";
import { type Reading, readContent } from "./content.ts";

const BILLING_LINE = "x-anthropic-billing-header";
const ROLES = ["user", "assistant", "system"] as const;

export function readSystem(system: Field, reading: Reading): SystemBlock[] {
  const blocks = textOnly(readContent(system, "system", reading));
  const [first] = blocks;
  if (first === undefined || !("text" in first) || !first.text.startsWith(BILLING_LINE)) return blocks;
  return blocks.slice(1);
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
