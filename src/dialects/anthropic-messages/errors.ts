/**
 * Anthropic's error object and its statuses: https://docs.anthropic.com/en/api/errors.
 *
 * The type follows the status. What is a 503 elsewhere is Anthropic's 529: its clients take that for a service that is
 * overloaded for the moment, try again and, as Claude Code does, go to a fallback model of their own. Bedrock's throttling
 * stays 429: it is about the account's quota. There is no `param`: the message begins with the field.
 */
import type { GatewayError } from "../../errors.ts";
import type { SseEvent } from "../dialect.ts";
import type { ErrorBody, ErrorType } from "./types.ts";

const OVERLOADED = 529;

const TYPES: Readonly<Record<number, ErrorType>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  504: "timeout_error",
  [OVERLOADED]: "overloaded_error",
};

/** Claude Code compacts its conversation when an error has these words, and gives up on others. */
const TOO_LONG = "prompt is too long";

export function errorStatus({ status }: GatewayError): number {
  return status === 503 ? OVERLOADED : status;
}

export function errorBody(error: GatewayError, requestId?: string): ErrorBody {
  return {
    type: "error",
    error: { type: errorType(errorStatus(error)), message: messageOf(error) },
    request_id: requestId ?? null,
  };
}

export function errorEvents(error: GatewayError, requestId?: string): Iterable<SseEvent> {
  return [{ event: "error", data: errorBody(error, requestId) }];
}

function errorType(status: number): ErrorType {
  return TYPES[status] ?? (status < 500 ? "invalid_request_error" : "api_error");
}

function messageOf({ code, message }: GatewayError): string {
  if (code !== "context_length_exceeded" || message.toLowerCase().includes(TOO_LONG)) return message;
  return `${TOO_LONG}: ${message}`;
}
