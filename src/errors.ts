/**
 * The one error class and the one table behind it.
 *
 * Every failure that a client may see is a GatewayError with a code of a closed union. The table says what the code
 * means on the wire (status, OpenAI's `type` and `code`), whether trying again can help, and whose fault it is. Dialects
 * only render; nothing outside this file decides a status. `cause` is for the log and never reaches a client.
 */

export type ErrorCode =
  // The client's fault
  | "invalid_request"
  | "context_length_exceeded"
  | "request_too_large"
  | "unknown_path"
  | "method_not_allowed"
  | "invalid_api_key"
  | "model_not_allowed"
  | "model_not_found"
  | "model_not_supported"
  | "inference_profile_required"
  // The operator's: something in the account or the gateway's configuration
  | "model_access_required"
  | "access_denied"
  | "upstream_auth_error"
  // Limits
  | "rate_limit_exceeded"
  | "insufficient_quota"
  // Bedrock's, or on the way to it
  | "model_not_ready"
  | "model_timeout"
  | "model_error"
  | "upstream_invalid_response"
  | "upstream_unavailable"
  | "upstream_error"
  // Ours
  | "unavailable"
  | "internal_error";

export interface ErrorKind {
  /** HTTP status sent to the client. */
  readonly status: number;
  /** OpenAI's `error.type`. */
  readonly type: string;
  /** OpenAI's `error.code`; null where OpenAI sends null. */
  readonly code: string | null;
  /** Whether the same request may succeed a moment later. */
  readonly retryable: boolean;
  readonly fault: "client" | "operator" | "limit" | "bedrock" | "gateway";
}

/** https://platform.openai.com/docs/guides/error-codes for the OpenAI side. */
export const ERROR_KINDS: Readonly<Record<ErrorCode, ErrorKind>> = {
  invalid_request: kind(400, "invalid_request_error", null, "client"),
  context_length_exceeded: kind(400, "invalid_request_error", "context_length_exceeded", "client"),
  request_too_large: kind(413, "invalid_request_error", "request_too_large", "client"),
  unknown_path: kind(404, "invalid_request_error", "unknown_url", "client"),
  method_not_allowed: kind(405, "invalid_request_error", "method_not_allowed", "client"),
  invalid_api_key: kind(401, "invalid_request_error", "invalid_api_key", "client"),
  model_not_allowed: kind(403, "permission_error", "model_not_allowed", "client"),
  model_not_found: kind(404, "invalid_request_error", "model_not_found", "client"),
  model_not_supported: kind(400, "invalid_request_error", "model_not_supported", "client"),
  inference_profile_required: kind(400, "invalid_request_error", "inference_profile_required", "client"),
  model_access_required: kind(403, "permission_error", "model_access_required", "operator"),
  access_denied: kind(403, "permission_error", "access_denied", "operator"),
  upstream_auth_error: kind(500, "server_error", "upstream_auth_error", "operator"),
  rate_limit_exceeded: kind(429, "rate_limit_error", "rate_limit_exceeded", "limit", true),
  insufficient_quota: kind(429, "insufficient_quota", "insufficient_quota", "limit"),
  model_not_ready: kind(503, "server_error", "model_not_ready", "bedrock", true),
  model_timeout: kind(504, "timeout_error", "model_timeout", "bedrock", true),
  model_error: kind(502, "server_error", "model_error", "bedrock"),
  upstream_invalid_response: kind(502, "server_error", "upstream_invalid_response", "bedrock"),
  upstream_unavailable: kind(503, "server_error", "upstream_unavailable", "bedrock", true),
  upstream_error: kind(500, "server_error", "upstream_error", "bedrock", true),
  unavailable: kind(503, "server_error", "unavailable", "gateway", true),
  internal_error: kind(500, "server_error", "internal_error", "gateway"),
};

/** Which of a caller's limits refused. */
export interface ReachedLimit {
  readonly limit: "rpm" | "tpm" | "parallel" | "budget";
  readonly subject: "key" | "team";
}

export interface ErrorDetails {
  /** The field at fault, as OpenAI writes it: `messages[2].content`. */
  readonly param?: string;
  /** For the log only. */
  readonly cause?: unknown;
  /** For the log and the metrics. */
  readonly reached?: ReachedLimit;
  /** Seconds until a retry can succeed; becomes `Retry-After`. */
  readonly retryAfter?: number;
  /** Replaces the table's status where the upstream's own is more exact (a 4xx that a model's provider gave). */
  readonly status?: number;
  /** Extra response headers, such as `allow` or `x-ratelimit-*`. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A failure that a client may see: its message is written for the client and holds no secret and no internals. */
export class GatewayError extends Error {
  override readonly name = "GatewayError";
  readonly code: ErrorCode;
  readonly param: string | undefined;
  readonly reached: ReachedLimit | undefined;
  readonly retryAfter: number | undefined;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.param = details.param;
    this.reached = details.reached;
    this.retryAfter = details.retryAfter;
    this.status = details.status ?? ERROR_KINDS[code].status;
    this.headers = details.headers ?? {};
  }

  get kind(): ErrorKind {
    return ERROR_KINDS[this.code];
  }
}

/** Anything thrown, as a GatewayError: what is not one is our bug, and its text stays in the log. */
export function toGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  return new GatewayError("internal_error", "The gateway failed on this request. Its log has the reason.", {
    cause: error,
  });
}

/** The `default:` of a switch over a closed union: a compile error where a member is missed. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}

function kind(
  status: number,
  type: string,
  code: string | null,
  fault: ErrorKind["fault"],
  retryable = false,
): ErrorKind {
  return { status, type, code, fault, retryable };
}
