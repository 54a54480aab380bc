/** Converse events of a file, and the whole text of the stream that a dialect makes of them. */
import { readFileSync } from "node:fs";
import type { ConverseEvent } from "../../src/bedrock/converse.ts";
import type { Conversation, Dialect } from "../../src/dialects/dialect.ts";
import { encodeEvent, sse } from "../../src/dialects/sse.ts";
import { toGatewayError } from "../../src/errors.ts";
import { chain } from "../../src/transform.ts";

export function readFrames(file: URL): ConverseEvent[] {
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line): ConverseEvent => JSON.parse(line));
}

/** As the exchange does it: an error ends the stream in the dialect's own way. */
export function renderStream(dialect: Dialect, conversation: Conversation, frames: readonly ConverseEvent[]): string {
  const stream = chain(conversation.events(0), sse());
  const parts: Buffer[] = [];
  try {
    for (const frame of frames) parts.push(...stream.push(frame));
    parts.push(...stream.end());
    for (const event of conversation.closing()) parts.push(encodeEvent(event));
  } catch (error) {
    const failure = toGatewayError(error);
    for (const event of conversation.failing?.(failure) ?? dialect.errorEvents(failure)) parts.push(encodeEvent(event));
  }
  return Buffer.concat(parts).toString();
}
