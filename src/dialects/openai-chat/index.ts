/**
 * OpenAI Chat Completions: https://platform.openai.com/docs/api-reference/chat.
 *
 * Left out: log probabilities, audio out, web search and stored conversations, all refused by name.
 */
import type { CallMeta, Conversation, Dialect } from "../dialect.ts";
import { openAiErrorBody, openAiErrorEvents } from "../openai-errors.ts";
import { UsageTotal } from "../openai-usage.ts";
import { chatCompletion, envelope, type Rendering } from "./reply.ts";
import { readRequest } from "./request.ts";
import { ChatStream, closingEvents } from "./stream.ts";

export const openaiChat: Dialect = {
  name: "openai-chat",
  paths: ["/chat/completions"],
  decode,
  errorBody: openAiErrorBody,
  errorEvents: openAiErrorEvents,
};

function decode(body: unknown, meta: CallMeta): Conversation {
  const { names, includeUsage, asFunctions, ...read } = readRequest(body);
  const head = envelope(read.model, meta);
  const total = new UsageTotal();
  const trace = read.request.guardrailConfig?.trace ?? "disabled";
  const rendering: Rendering = { names, asFunctions, withTrace: trace !== "disabled" };
  return {
    ...read,
    reply: (responses) => chatCompletion(responses, head, rendering),
    events: (choice) => new ChatStream({ ...rendering, head, includeUsage, choice, total }),
    closing: () => closingEvents(head, includeUsage ? total : undefined),
  };
}
