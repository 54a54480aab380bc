/**
 * OpenAI Completions, the API before Chat Completions: https://platform.openai.com/docs/api-reference/completions.
 *
 * Editors still use it for autocompletion. Left out: log probabilities, `best_of` and prompts of token ids, all refused by
 * name.
 */
import type { CallMeta, Conversation, Dialect } from "../dialect.ts";
import { openAiErrorBody, openAiErrorEvents } from "../openai-errors.ts";
import { UsageTotal } from "../openai-usage.ts";
import { envelope, textCompletion } from "./reply.ts";
import { readRequest } from "./request.ts";
import { CompletionStream, closingEvents } from "./stream.ts";

export const openaiCompletions: Dialect = {
  name: "openai-completions",
  paths: ["/completions"],
  decode,
  errorBody: openAiErrorBody,
  errorEvents: openAiErrorEvents,
};

function decode(body: unknown, meta: CallMeta): Conversation {
  const { answers, stops, echo, includeUsage, ...read } = readRequest(body);
  const head = envelope(read.model, meta);
  const rendering = { answers, stops, echo };
  const total = new UsageTotal();
  return {
    ...read,
    reply: (responses) => textCompletion(responses, head, rendering),
    events: (choice) => new CompletionStream({ ...rendering, head, includeUsage, choice, total }),
    closing: () => closingEvents(head, includeUsage ? total : undefined),
  };
}
