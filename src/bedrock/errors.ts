/**
 * Bedrock's errors, as HTTP answers and as exceptions inside a stream, to GatewayErrors.
 *
 * The type is in `x-amzn-errortype` (cut at the first colon) or in the body's `__type`; the text in `message` or
 * `Message`. Types alone do not tell enough: a ValidationException may be a prompt that is too long or a model id that
 * does not exist, so known texts refine them. Rows are tried in order and the first that matches wins.
 * https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html
 */
import { type ErrorCode, type ErrorDetails, GatewayError } from "../errors.ts";
import { isJsonObject, parseJson } from "../json.ts";

export interface BedrockFault {
  /** Exception name such as `ThrottlingException`; empty when Bedrock gave none. */
  readonly type: string;
  readonly message: string;
  /** HTTP status of the answer, or 0 inside a stream. */
  readonly status: number;
  /** The status that the model's provider gave, in ModelErrorException and ModelStreamErrorException. */
  readonly originalStatus?: number;
  /** Seconds, from `Retry-After`. */
  readonly retryAfter?: number;
}

interface Rule {
  readonly type?: RegExp;
  readonly status?: number;
  readonly text?: RegExp;
  readonly code: ErrorCode;
  /** Replaces Bedrock's text where that would mislead the client or tell it too much. */
  readonly message?: string;
}

const CONTEXT_LENGTH = new RegExp(
  [
    "input is too long",
    "prompt is too long",
    "exceeds? (the )?context (limit|window)",
    "too many total text bytes",
    "maximum context length",
    "too many input tokens",
    "expected maxLength",
    "prompt tokens \\(\\d+\\) exceed",
  ].join("|"),
  "i",
);

const BAD_CREDENTIALS =
  "The gateway could not authenticate to Amazon Bedrock. Its operator has to check the gateway's AWS credentials.";

const RULES: readonly Rule[] = [
  // Throttling texts come first: "Too many tokens, please wait" is about the quota, not about the prompt.
  { type: /^(Throttling|TooManyRequests|RequestLimitExceeded|SlowDown)/, code: "rate_limit_exceeded" },
  { type: /^ServiceQuotaExceeded/, code: "insufficient_quota" },
  { type: /^ModelNotReady/, code: "model_not_ready" },
  { type: /^ModelTimeout/, code: "model_timeout" },
  {
    type: /^(UnrecognizedClient|InvalidClientTokenId|InvalidSignature|SignatureDoesNotMatch|ExpiredToken|IncompleteSignature|RequestExpired|MissingAuthenticationToken|InvalidToken)/,
    code: "upstream_auth_error",
    message: BAD_CREDENTIALS,
  },
  // A rejected Bedrock API key comes as an access denied; the client would take its own key for the wrong one.
  {
    text: /\bAPI Key (is valid|format)|security token included/i,
    code: "upstream_auth_error",
    message: BAD_CREDENTIALS,
  },
  {
    // This text names the gateway's own role and account.
    text: /is not authorized to perform|^User: /,
    code: "access_denied",
    message: "The gateway's AWS identity may not invoke this model. Its operator has to extend its IAM policy.",
  },
  { type: /^Validation/, text: CONTEXT_LENGTH, code: "context_length_exceeded" },
  { type: /^Validation/, text: /model identifier is invalid/i, code: "model_not_found" },
  { type: /^Validation/, text: /with on-demand throughput isn.t supported/i, code: "inference_profile_required" },
  {
    type: /^Validation/,
    text: /action doesn.t support the model|doesn.t support the Converse/i,
    code: "model_not_supported",
  },
  { type: /^Validation|^Serialization|^Conflict/, code: "invalid_request" },
  { type: /^ResourceNotFound/, text: /use case details/i, code: "model_access_required" },
  { type: /^ResourceNotFound/, code: "model_not_found" },
  { type: /^AccessDenied/, code: "access_denied" },
  { type: /^Model(Stream)?Error/, text: CONTEXT_LENGTH, code: "context_length_exceeded" },
  { type: /^Model(Stream)?Error/, code: "model_error" },
  { type: /^(ServiceUnavailable|Overloaded)/i, code: "upstream_unavailable" },
  { type: /^InternalServer|^InternalFailure/, code: "upstream_error" },
  { type: /^UnknownOperation/, code: "upstream_invalid_response" },
  // Without a known type, the status decides.
  { status: 429, code: "rate_limit_exceeded" },
  { status: 403, code: "access_denied" },
  { status: 404, code: "model_not_found" },
  { status: 408, code: "model_timeout" },
  { status: 424, code: "model_error" },
  { status: 413, code: "request_too_large" },
  { status: 503, code: "upstream_unavailable" },
  { status: 529, code: "upstream_unavailable" },
  { status: 504, code: "model_timeout" },
];

/** Seconds to wait that a client is told when Bedrock throttles without saying for how long. */
const THROTTLED_RETRY_AFTER = 1;

/** Python's SDK does not try again after more seconds than these, and Node's would wait for days. */
const MAX_RETRY_AFTER = 120;

/** Far longer than any text of Bedrock's that says something. */
const MAX_MESSAGE_LENGTH = 4_000;

/** Of a provider's statuses those that would tell the client about its own key, proxy or connection. */
const MISLEADING_STATUSES: ReadonlySet<number> = new Set([401, 407, 421, 426, 431]);

export function bedrockError(fault: BedrockFault): GatewayError {
  const rule = RULES.find((candidate) => matches(candidate, fault));
  const code = rule?.code ?? codeOfStatus(fault.status);
  const text =
    readable(fault.message) ||
    `Amazon Bedrock answered ${fault.type || `with status ${fault.status}`} without a message.`;
  return new GatewayError(code, rule?.message ?? text + hint(code), details(code, fault));
}

/** What Bedrock itself had said. Undefined for an error that is not Bedrock's. */
export function faultOf({ cause }: GatewayError): BedrockFault | undefined {
  return isBedrockCause(cause) ? cause.bedrock : undefined;
}

/** Whether it speaks of the gateway's own AWS identity, of which a client should learn nothing. */
export function concernsGateway(error: GatewayError): boolean {
  const fault = faultOf(error);
  return fault !== undefined && RULES.find((rule) => matches(rule, fault))?.message !== undefined;
}

/** Reads an HTTP error answer. `header` gives a response header by its lower-case name. */
export function bedrockHttpError(
  status: number,
  header: (name: string) => string | undefined,
  body: string,
): GatewayError {
  return bedrockError(readFault(status, header, body));
}

export function readFault(status: number, header: (name: string) => string | undefined, body: string): BedrockFault {
  const json = parsed(body);
  const retryAfter = Number(header("retry-after"));
  const originalStatus = json?.originalStatusCode;
  return {
    type: typeName(header("x-amzn-errortype") ?? text(json?.__type)),
    message: text(json?.message) || text(json?.Message) || text(json?.originalMessage),
    status,
    ...(Number.isInteger(retryAfter) && retryAfter > 0 ? { retryAfter: Math.min(retryAfter, MAX_RETRY_AFTER) } : {}),
    ...(typeof originalStatus === "number" ? { originalStatus } : {}),
  };
}

/** `com.amazon.coral#ValidationException:http://…` is `ValidationException`; `validationException` too. */
export function typeName(raw: string): string {
  const name =
    raw.slice(raw.lastIndexOf("#", raw.includes(":") ? raw.indexOf(":") : raw.length) + 1).split(":")[0] ?? "";
  return name === "" ? "" : name[0]?.toUpperCase() + name.slice(1);
}

/** A status below 400 is no error: Bedrock's front end, or a proxy on the way, answered with something else. */
function codeOfStatus(status: number): ErrorCode {
  if (status > 0 && status < 400) return "upstream_invalid_response";
  return status >= 400 && status < 500 ? "invalid_request" : "upstream_error";
}

function matches(rule: Rule, fault: BedrockFault): boolean {
  if (rule.type !== undefined && !rule.type.test(fault.type)) return false;
  if (rule.status !== undefined && rule.status !== fault.status) return false;
  return rule.text === undefined || rule.text.test(fault.message);
}

function details(code: ErrorCode, fault: BedrockFault): ErrorDetails {
  const cause: BedrockCause = { bedrock: fault };
  if (code === "rate_limit_exceeded") return { cause, retryAfter: fault.retryAfter ?? THROTTLED_RETRY_AFTER };
  if (code === "model_error" && fault.originalStatus !== undefined && isClientStatus(fault.originalStatus)) {
    return { cause, status: fault.originalStatus };
  }
  return fault.retryAfter === undefined ? { cause } : { cause, retryAfter: fault.retryAfter };
}

function isClientStatus(status: number): boolean {
  return Number.isInteger(status) && status >= 400 && status < 500 && !MISLEADING_STATUSES.has(status);
}

/** Bedrock's text for a client: not endless, no control characters, and without the numbers of AWS accounts. */
function readable(message: string): string {
  return message
    .slice(0, MAX_MESSAGE_LENGTH)
    .toWellFormed()
    .replace(/\p{Cc}+/gu, " ")
    .replace(/\b(arn:aws[\w-]*:[\w-]*:[\w-]*:)\d{12}\b/g, "$1************")
    .trim();
}

interface BedrockCause {
  readonly bedrock: BedrockFault;
}

function isBedrockCause(cause: unknown): cause is BedrockCause {
  return typeof cause === "object" && cause !== null && "bedrock" in cause;
}

function hint(code: ErrorCode): string {
  if (code === "inference_profile_required") {
    return " Ask for the model by an inference profile's id, such as the same id with the prefix us., eu. or global. (GET /v1/models lists them).";
  }
  if (code === "model_access_required")
    return " The AWS account's owner has to submit them once in the Bedrock console.";
  return "";
}

function parsed(body: string) {
  try {
    const value = parseJson(body);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
