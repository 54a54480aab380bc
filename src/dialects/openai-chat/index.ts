/**
 * OpenAI Chat Completions: https://platform.openai.com/docs/api-reference/chat.
 *
 * Left out: several answers at once, log probabilities, audio out, web search and structured output, all refused by name.
 */
import type { CallMeta, Conversation, Dialect } from "../dialect.ts";
import { openAiErrorBody, openAiErrorEvents } from "../openai-errors.ts";
import { chatCompletion, envelope } from "./reply.ts";
import { readRequest } from "./request.ts";
import { ChatStream } from "./stream.ts";

export const openaiChat: Dialect = {
  name: "openai-chat",
  paths: ["/chat/completions"],
  decode,
  errorBody: openAiErrorBody,
  errorEvents: openAiErrorEvents,
};

function decode(body: unknown, meta: CallMeta): Conversation {
  const { model, stream, includeUsage, request, names, warnings } = readRequest(body);
  const head = envelope(model, meta);
  return {
    model,
    stream,
    request,
    warnings,
    reply: (response) => chatCompletion(response, head, names),
    events: () => new ChatStream(head, names, includeUsage),
  };
}
