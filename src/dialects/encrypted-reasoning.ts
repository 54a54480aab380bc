/**
 * A model's reasoning as the `encrypted_content` of a reasoning item: what a client keeps unread and sends back, so that
 * thinking goes on in the next turn without anything stored here.
 *
 * https://platform.openai.com/docs/guides/reasoning#encrypted-reasoning-items. It is Converse's block as it came, signature
 * and all, and is not encrypted by us: the model's signature guards it. What other servers have made is not readable here.
 */
import type { ReasoningBlock } from "../bedrock/converse.ts";
import { canonicalBase64 } from "../bedrock/media.ts";
import { isJsonObject, parseJson, stringifyJson } from "../json.ts";

/** Tells ours from others': no base64 begins so. */
const PREFIX = "converse:";

export function encryptReasoning(block: ReasoningBlock): string {
  return PREFIX + Buffer.from(stringifyJson(block)).toString("base64");
}

/** Undefined for what was not made here. */
export function decryptReasoning(content: unknown): ReasoningBlock | undefined {
  if (typeof content !== "string" || !content.startsWith(PREFIX)) return undefined;
  const block = parsed(Buffer.from(content.slice(PREFIX.length), "base64").toString());
  if (!isJsonObject(block)) return undefined;
  if (typeof block.redactedContent === "string") {
    const redactedContent = canonicalBase64(block.redactedContent);
    return redactedContent === undefined ? undefined : { redactedContent };
  }
  if (!isJsonObject(block.reasoningText)) return undefined;
  const { text, signature } = block.reasoningText;
  if (typeof text !== "string") return undefined;
  if (typeof signature === "string" && signature !== "") return { reasoningText: { text, signature } };
  return text.trim() === "" ? undefined : { reasoningText: { text } };
}

function parsed(json: string): unknown {
  try {
    return parseJson(json);
  } catch {
    return undefined;
  }
}
