/**
 * Anthropic Messages: https://docs.anthropic.com/en/api/messages, with its token counting and its list of models.
 *
 * For every model, not only Claude. Left out: tools that run on Anthropic's servers, MCP servers, containers and stored
 * files, each with a warning or an error that says so; batches and the Files API have no path.
 */
import type { CallMeta, Conversation, Dialect } from "../dialect.ts";
import { errorBody, errorEvents, errorStatus } from "./errors.ts";
import { listing } from "./models.ts";
import { message, messageId, type Rendering } from "./reply.ts";
import { readRequest } from "./request.ts";
import { closingEvents, MessageStream } from "./stream.ts";

export const anthropicMessages: Dialect = {
  name: "anthropic-messages",
  paths: ["/messages"],
  decode: (body, meta) => decode(body, meta, "answer"),
  errorBody,
  errorEvents,
  errorStatus,
  keepAlive: { event: "ping", data: { type: "ping" } },
  requestIdHeader: "request-id",
  counting: {
    paths: ["/messages/count_tokens"],
    decode: (body, meta) => decode(body, meta, "count"),
    reply: (inputTokens) => ({ input_tokens: inputTokens }),
  },
  listing,
};

function decode(body: unknown, meta: CallMeta, purpose: "answer" | "count"): Conversation {
  const { names, ...read } = readRequest(body, meta, purpose);
  const rendering: Rendering = {
    id: messageId(meta),
    model: read.model,
    names,
    stopSequences: read.request.inferenceConfig?.stopSequences ?? [],
  };
  return {
    ...read,
    reply: ([response]) => {
      if (response === undefined) throw new Error("a reply without a response");
      return message(response, rendering);
    },
    events: (_choice, known) => new MessageStream(rendering, known),
    closing: closingEvents,
  };
}
