/**
 * OpenAI Responses: https://platform.openai.com/docs/api-reference/responses.
 *
 * Left out: stored answers and conversations, background mode, prompt templates and log probabilities, all refused by name;
 * tools that run on OpenAI's own servers.
 */
import type { CallMeta, Conversation, Dialect } from "../dialect.ts";
import { openAiErrorBody, openAiErrorEvents } from "../openai-errors.ts";
import { wholeResponse } from "./reply.ts";
import { readRequest } from "./request.ts";
import type { Rendering } from "./response.ts";
import { ResponseStream } from "./stream.ts";

export const openaiResponses: Dialect = {
  name: "openai-responses",
  paths: ["/responses"],
  decode,
  errorBody: openAiErrorBody,
  errorEvents: openAiErrorEvents,
};

function decode(body: unknown, meta: CallMeta): Conversation {
  const { names, special, echo, ...read } = readRequest(body);
  const trace = read.request.guardrailConfig?.trace ?? "disabled";
  const rendering: Rendering = { ...meta, echo, names, special, withTrace: trace !== "disabled" };
  let stream = new ResponseStream(rendering);
  return {
    ...read,
    reply: ([response]) => response && wholeResponse(response, rendering),
    events: () => {
      stream = new ResponseStream(rendering);
      return stream;
    },
    closing: () => [],
    failing: (error) => stream.failed(error),
  };
}
