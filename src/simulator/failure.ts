/**
 * A refusal as AWS writes it: an HTTP status, the exception's name in `x-amzn-errortype` and `{"message"}` as the body.
 *
 * Statuses follow the exceptions of the Bedrock Runtime service model and the errors that are common to all AWS
 * services: https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html
 */

const STATUS: Readonly<Record<string, number>> = {
  AccessDeniedException: 403,
  ConflictException: 400,
  ExpiredTokenException: 403,
  IncompleteSignatureException: 403,
  InternalServerException: 500,
  InvalidSignatureException: 403,
  LengthRequiredException: 411,
  MissingAuthenticationTokenException: 403,
  ModelErrorException: 424,
  ModelNotReadyException: 429,
  ModelStreamErrorException: 424,
  ModelTimeoutException: 408,
  RequestEntityTooLargeException: 413,
  ResourceNotFoundException: 404,
  SerializationException: 400,
  ServiceQuotaExceededException: 400,
  ServiceUnavailableException: 503,
  ThrottlingException: 429,
  UnknownOperationException: 404,
  UnrecognizedClientException: 403,
  ValidationException: 400,
};

/** The HTTP status of an exception type; 400 for a type that the table does not know. */
export function statusOf(type: string): number {
  return STATUS[type] ?? 400;
}

/** Thrown wherever the simulator refuses a request; the server renders it. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly type: string;
  readonly status: number;

  constructor(type: string, message: string) {
    super(message);
    this.type = type;
    this.status = statusOf(type);
  }
}
