/**
 * Errors as Bedrock itself sends them: the exception's name in a header, `{"message"}` as the body.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors. AWS's SDKs
 * decide by name and status what they try again by themselves, so both are chosen for what the client should do:
 * - ThrottlingException (429) and 500, 502, 503, 504 are repeated after a pause, and `retry-after` is obeyed. So a minute's
 *   limit, a replica that restarts and whatever Bedrock may do better next time get one of those.
 * - 429 is repeated under any name, and waiting brings neither a spent budget back nor makes a prompt shorter than the
 *   limit: ServiceQuotaExceededException with its own status 400.
 * - UnrecognizedClientException is what AWS says to a key that it does not know. ExpiredToken and the like would send an SDK
 *   to fetch new credentials or to set its clock.
 * - AccessDeniedException for a model that the key may not use, as IAM says it.
 * - The gateway's own trouble with AWS is InternalServerException: the client's credentials are all right.
 */
import type { ErrorCode, GatewayError } from "../errors.ts";

interface AwsError {
  readonly type: string;
  /** Where it is not the error table's. */
  readonly status?: number;
}

const AWS_ERRORS: Readonly<Record<ErrorCode, AwsError>> = {
  invalid_request: { type: "ValidationException" },
  context_length_exceeded: { type: "ValidationException" },
  request_too_large: { type: "ValidationException" },
  unknown_path: { type: "UnknownOperationException" },
  method_not_allowed: { type: "UnknownOperationException" },
  invalid_api_key: { type: "UnrecognizedClientException" },
  model_not_allowed: { type: "AccessDeniedException" },
  model_not_found: { type: "ResourceNotFoundException" },
  model_not_supported: { type: "ValidationException" },
  inference_profile_required: { type: "ValidationException" },
  model_access_required: { type: "AccessDeniedException" },
  access_denied: { type: "AccessDeniedException" },
  upstream_auth_error: { type: "InternalServerException" },
  rate_limit_exceeded: { type: "ThrottlingException" },
  insufficient_quota: { type: "ServiceQuotaExceededException", status: 400 },
  model_not_ready: { type: "ServiceUnavailableException" },
  model_timeout: { type: "ServiceUnavailableException" },
  model_error: { type: "InternalServerException" },
  upstream_invalid_response: { type: "InternalServerException" },
  upstream_unavailable: { type: "ServiceUnavailableException" },
  upstream_error: { type: "InternalServerException" },
  unavailable: { type: "ServiceUnavailableException" },
  internal_error: { type: "InternalServerException" },
};

export function awsErrorBody(error: GatewayError): { message: string } {
  return { message: error.message };
}

/** Anthropic's SDK, which speaks Bedrock too, asks ten times with a wrong key if nobody tells it not to. */
export function awsErrorHeaders(error: GatewayError): Record<string, string> {
  const retryable = error.kind.retryable && !isHopeless(error);
  return { "x-amzn-errortype": awsError(error).type, ...(!retryable && { "x-should-retry": "false" }) };
}

export function awsErrorStatus(error: GatewayError): number {
  return awsError(error).status ?? error.status;
}

function awsError(error: GatewayError): AwsError {
  return AWS_ERRORS[isHopeless(error) ? "insufficient_quota" : error.code];
}

/** A limit that no waiting helps over says so by naming no time. */
function isHopeless({ code, retryAfter }: GatewayError): boolean {
  return code === "rate_limit_exceeded" && retryAfter === undefined;
}
