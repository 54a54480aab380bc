/**
 * Which headers go where. Bedrock gets none of the client's, the client few of Bedrock's.
 */
import type { Headers } from "./wire.ts";

/** Set by Envoy's local_reply_config on every answer that is Envoy's own; the value is its response flags. */
export const LOCAL_REPLY_HEADER = "x-gateway-local-reply";

/**
 * `host` and pseudo-headers can't be removed, Envoy's own may not be. Without x-forwarded-proto no route matches; the
 * route takes it off.
 */
const KEPT_FOR_BEDROCK = new Set(["host", "content-type", "content-length", "x-request-id", "x-forwarded-proto"]);

/** Everything that the client sent and that Bedrock has no use for: its key, cookies, SDK telemetry, `x-amz-*`. */
export function headersToRemove(request: Headers): string[] {
  return [...request.keys()].filter((name) => !/^(:|x-envoy-)/.test(name) && !KEPT_FOR_BEDROCK.has(name));
}

/** `x-amzn-requestid` is what AWS's support asks for. */
const KEPT_FOR_CLIENT = new Set([
  "date",
  "server",
  "x-request-id",
  "x-amzn-requestid",
  "x-envoy-upstream-service-time",
]);

export function headersToHide(response: Headers): string[] {
  return [...response.keys()].filter((name) => !name.startsWith(":") && !KEPT_FOR_CLIENT.has(name));
}

const EXPOSED = [
  "x-request-id",
  "request-id",
  "x-amzn-requestid",
  "x-gateway-warning",
  "x-gateway-model",
  "x-gateway-attempts",
  "x-gateway-cost",
  "retry-after",
  "retry-after-ms",
  ...["limit", "remaining", "reset"].flatMap((part) => [`x-ratelimit-${part}-requests`, `x-ratelimit-${part}-tokens`]),
].join(", ");

/** Any origin may call: the key in the request is the protection, and no cookie is ever read. */
export function corsHeaders(request: Headers): Record<string, string> {
  if (!request.has("origin")) return {};
  return { "access-control-allow-origin": "*", "access-control-expose-headers": EXPOSED };
}

/** Echoes what the browser wants to send: SDKs add headers of their own at will. */
export function preflightHeaders(request: Headers): Record<string, string> {
  return {
    ...corsHeaders(request),
    "access-control-allow-methods": request.get("access-control-request-method") ?? "GET, POST, OPTIONS",
    "access-control-allow-headers": request.get("access-control-request-headers") ?? "authorization, content-type",
    "access-control-max-age": "86400",
    vary: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
  };
}

export const JSON_HEADERS = { "content-type": "application/json" } as const;

/** Proxies must pass each event on at once: X-Accel-Buffering tells nginx so. */
export const SSE_HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  "x-accel-buffering": "no",
} as const;

/** Header values are visible ASCII. */
export function headerText(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 1_000);
}
