/**
 * Answers that the service gives by itself: errors, health, CORS preflights, the list of models.
 */
import type { Dialect } from "../dialects/dialect.ts";
import { openAiErrorBody } from "../dialects/openai-errors.ts";
import { GatewayError } from "../errors.ts";
import { stringifyJson } from "../json.ts";
import type { CatalogModel } from "../models/catalog.ts";
import { JSON_HEADERS } from "./headers.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

const NO_BODY = Buffer.alloc(0);

export function jsonAnswer(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers: { ...JSON_HEADERS, ...headers }, body: Buffer.from(stringifyJson(value), "utf8") };
}

export function emptyAnswer(status: number, headers: Readonly<Record<string, string>>): Answer {
  return { status, headers, body: NO_BODY };
}

/** How a path's errors look: as its dialect writes them, or as Bedrock does. */
export interface ErrorShape extends Pick<Dialect, "name" | "errorBody" | "errorStatus" | "requestIdHeader"> {
  errorHeaders?(error: GatewayError): Record<string, string>;
}

/** In OpenAI's shape where the path belongs to no API. */
export function errorAnswer(error: GatewayError, shape: ErrorShape | undefined, requestId: string): Answer {
  const body = shape === undefined ? openAiErrorBody(error) : shape.errorBody(error, requestId);
  const headers = { ...error.headers, ...retryHeaders(error), ...shape?.errorHeaders?.(error) };
  return jsonAnswer(statusOf(error, shape), body, headers);
}

/** The status that the client gets. */
export function statusOf(error: GatewayError, shape: ErrorShape | undefined): number {
  return shape?.errorStatus?.(error) ?? error.status;
}

/** Both SDKs obey x-should-retry: waiting does not bring back a spent budget. */
function retryHeaders({ code, retryAfter }: GatewayError): Record<string, string> {
  if (code === "insufficient_quota") return { "x-should-retry": "false" };
  return retryAfter === undefined
    ? {}
    : { "retry-after": String(retryAfter), "retry-after-ms": String(retryAfter * 1000) };
}

export function modelList(models: readonly CatalogModel[]) {
  return { object: "list", data: models.map(modelObject) };
}

export function modelObject({ id, created, ownedBy, inputModalities, outputModalities }: CatalogModel) {
  return {
    id,
    object: "model",
    created,
    owned_by: ownedBy,
    input_modalities: inputModalities,
    output_modalities: outputModalities,
  };
}

/** Whether Envoy, which answers in Bedrock's place, had sent the request: the connection ended, was reset or timed out. */
export function hadBeenSent(flags: string): boolean {
  return /\b(UC|UR|UT|SI|UPE)\b/.test(flags);
}

/** Envoy's own reply to a request that we had let through, from its status and response flags. */
export function localReplyError(status: number, flags: string): GatewayError {
  const cause = { envoy: { status, flags } };
  switch (status) {
    case 408:
      return new GatewayError("invalid_request", "The request's body did not arrive in time.", { status, cause });
    case 413:
      return new GatewayError(
        "request_too_large",
        "The request's body is larger than the gateway takes. Send fewer or smaller images and documents, or shorten the conversation.",
        { cause },
      );
    case 504:
      return new GatewayError("model_timeout", "Amazon Bedrock did not answer in time.", { cause });
    case 429:
    case 503:
    // What the 503 is on the paths of Anthropic's API.
    case 529:
      return new GatewayError(
        "upstream_unavailable",
        "Amazon Bedrock can't be reached from the gateway. Try again in a moment.",
        { cause },
      );
    default:
      return status >= 400 && status < 500
        ? new GatewayError("invalid_request", "The request is not valid HTTP.", { status, cause })
        : new GatewayError("upstream_invalid_response", "The connection to Amazon Bedrock broke before it answered.", {
            cause,
          });
  }
}
