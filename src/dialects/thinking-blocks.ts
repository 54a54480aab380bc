/** Anthropic's `thinking` and `redacted_thinking` blocks, which clients of every API send back as they got them. */
import type { ContentBlock } from "../bedrock/converse.ts";
import { canonicalBase64 } from "../bedrock/media.ts";
import type { Field } from "./fields.ts";

/** Signed reasoning goes back to the model as it came; Bedrock refuses it without the signature, so it is left out. */
export function readThinking(block: Field): ContentBlock[] {
  if (block.at("type").value === "redacted_thinking") {
    const redactedContent = canonicalBase64(block.at("data").string());
    return redactedContent === undefined ? [] : [{ reasoningContent: { redactedContent } }];
  }
  const signature = block.at("signature").value;
  const thinking = block.at("thinking").value;
  if (typeof signature !== "string" || signature === "" || typeof thinking !== "string") return [];
  return [{ reasoningContent: { reasoningText: { text: thinking, signature } } }];
}

/** The same, and reasoning that no model has signed: some models take that back, and the model decides. */
export function readAllThinking(block: Field): ContentBlock[] {
  const signed = readThinking(block);
  const text = block.at("thinking").value;
  if (signed.length > 0 || typeof text !== "string" || text.trim() === "") return signed;
  return [{ reasoningContent: { reasoningText: { text: text.toWellFormed() } } }];
}
