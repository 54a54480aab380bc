/**
 * OpenAI's error object, the same on all of its APIs' JSON answers.
 *
 * https://platform.openai.com/docs/guides/error-codes. In a stream the SDKs raise an error for a data line whose
 * object has an `error` member; nothing may follow it, no `[DONE]` and no finish_reason.
 */
import type { GatewayError } from "../errors.ts";
import type { SseEvent } from "./dialect.ts";

export interface OpenAiError {
  error: { message: string; type: string; param: string | null; code: string | null };
}

export function openAiErrorBody(error: GatewayError): OpenAiError {
  const { type, code } = error.kind;
  return { error: { message: error.message, type, param: error.param ?? null, code } };
}

export function openAiErrorEvents(error: GatewayError): Iterable<SseEvent> {
  return [{ data: openAiErrorBody(error) }];
}
