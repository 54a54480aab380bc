/** Converse events of a file, and the whole text of the stream that a dialect makes of them. */
import { readFileSync } from "node:fs";
import type { ConverseEvent } from "../../src/bedrock/converse.ts";
import type { Conversation, Dialect } from "../../src/dialects/dialect.ts";
import { encodeEvent, sse } from "../../src/dialects/sse.ts";
import { type ErrorCode, GatewayError, toGatewayError } from "../../src/errors.ts";
import { chain } from "../../src/transform.ts";

/** A stream that fails here, for a reason that Bedrock gave. */
export interface Failure {
  readonly type: "failure";
  readonly code: ErrorCode;
  readonly message: string;
}

export function readFrames(file: URL): ConverseEvent[] {
  return lines(file).map((line): ConverseEvent => JSON.parse(line));
}

export function readFramesAndFailures(file: URL): (ConverseEvent | Failure)[] {
  return lines(file).map((line): ConverseEvent | Failure => JSON.parse(line));
}

function lines(file: URL): string[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "");
}

/** As the exchange does it: an error ends the stream in the dialect's own way. */
export function renderStream(
  dialect: Dialect,
  conversation: Conversation,
  frames: readonly (ConverseEvent | Failure)[],
): string {
  const stream = chain(conversation.events(0), sse());
  const parts: Buffer[] = [];
  try {
    for (const frame of frames) {
      if (frame.type === "failure") throw new GatewayError(frame.code, frame.message);
      parts.push(...stream.push(frame));
    }
    parts.push(...stream.end());
    for (const event of conversation.closing()) parts.push(encodeEvent(event));
  } catch (error) {
    const failure = toGatewayError(error);
    for (const event of conversation.failing?.(failure) ?? dialect.errorEvents(failure)) parts.push(encodeEvent(event));
  }
  return Buffer.concat(parts).toString();
}
