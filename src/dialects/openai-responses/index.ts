/**
 * OpenAI Responses: https://platform.openai.com/docs/api-reference/responses.
 *
 * Left out: background mode, conversations, prompt templates and log probabilities, all refused by name; tools that run on
 * OpenAI's own servers. Answers are stored where the caller of the dialect does it.
 */
import type { AnswerToStore, CallMeta, Conversation, Dialect } from "../dialect.ts";
import { openAiErrorBody, openAiErrorEvents } from "../openai-errors.ts";
import { wholeResponse } from "./reply.ts";
import { readRequest } from "./request.ts";
import type { Rendering } from "./response.ts";
import { refersTo } from "./stored.ts";
import { ResponseStream } from "./stream.ts";
import type { Response } from "./types.ts";

export const openaiResponses: Dialect = {
  name: "openai-responses",
  paths: ["/responses"],
  decode,
  refersTo,
  storing: { deleted: (id) => ({ id, object: "response", deleted: true }) },
  errorBody: openAiErrorBody,
  errorEvents: openAiErrorEvents,
};

function decode(body: unknown, { id, created, stored }: CallMeta): Conversation {
  const { names, special, echo, input, ...read } = readRequest(body, stored);
  const trace = read.request.guardrailConfig?.trace ?? "disabled";
  const rendering: Rendering = { id, created, echo, names, special, withTrace: trace !== "disabled" };
  let stream = new ResponseStream(rendering);
  let whole: Response | undefined;
  return {
    ...read,
    reply: ([response]) => {
      whole = response && wholeResponse(response, rendering);
      return whole;
    },
    events: () => {
      stream = new ResponseStream(rendering);
      return stream;
    },
    closing: () => [],
    failing: (error) => stream.failed(error),
    toStore: () => {
      const answer = whole ?? stream.response();
      return echo.store && answer.status !== "in_progress" ? answerToStore(answer, input) : undefined;
    },
  };
}

function answerToStore(answer: Response, input: readonly unknown[]): AnswerToStore {
  const { id, previous_response_id: previous, output } = answer;
  return { id, previous: previous ?? undefined, items: [...input, ...output], answer };
}
