import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { bedrockError, bedrockHttpError, readFault, typeName } from "../../src/bedrock/errors.ts";
import type { ErrorCode } from "../../src/errors.ts";

const ROLE = "arn:aws:sts::123456789012:assumed-role/gateway/i-0abc";
const NOT_AUTHORIZED = `User: ${ROLE} is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1::foundation-model/x because no identity-based policy allows it`;

const noHeaders = () => undefined;

/** What Bedrock answers, and what the client gets. */
const ANSWERS: readonly (readonly [type: string, status: number, text: string, code: ErrorCode, sent: number])[] = [
  ["ValidationException", 400, "temperature must be at most 1", "invalid_request", 400],
  ["ValidationException", 400, "Input is too long for requested model.", "context_length_exceeded", 400],
  ["ValidationException", 400, "prompt is too long: 210000 tokens > 200000 maximum", "context_length_exceeded", 400],
  [
    "ValidationException",
    400,
    "input length and `max_tokens` exceed context limit: 199000 + 8000 > 200000",
    "context_length_exceeded",
    400,
  ],
  ["ValidationException", 400, "too many total text bytes: 30000000 > 25000000", "context_length_exceeded", 400],
  ["ValidationException", 400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded", 400],
  ["ValidationException", 400, "Too many input tokens. Max input tokens: 8192", "context_length_exceeded", 400],
  ["ValidationException", 400, "Malformed input request: expected maxLength: 20000", "context_length_exceeded", 400],
  ["ValidationException", 400, "prompt tokens (9000) exceed model maximum (8000)", "context_length_exceeded", 400],
  ["ValidationException", 400, "The provided model identifier is invalid.", "model_not_found", 404],
  [
    "ValidationException",
    400,
    "Invocation of model ID amazon.nova-x with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an inference profile that contains this model.",
    "inference_profile_required",
    400,
  ],
  ["ValidationException", 400, "This action doesn't support the model that you provided.", "model_not_supported", 400],
  ["ValidationException", 400, "The model doesn't support the Converse operation.", "model_not_supported", 400],
  ["ResourceNotFoundException", 404, "Could not resolve the foundation model", "model_not_found", 404],
  ["ResourceNotFoundException", 404, "This model version has reached the end of its life.", "model_not_found", 404],
  [
    "ResourceNotFoundException",
    404,
    "Model use case details have not been submitted for this account.",
    "model_access_required",
    403,
  ],
  ["AccessDeniedException", 403, NOT_AUTHORIZED, "access_denied", 403],
  ["AccessDeniedException", 403, "You don't have access to the model with the specified ID.", "access_denied", 403],
  ["AccessDeniedException", 403, "Model access is denied: INVALID_PAYMENT_INSTRUMENT", "access_denied", 403],
  ["UnrecognizedClientException", 403, "The security token is invalid.", "upstream_auth_error", 500],
  ["InvalidClientTokenId", 403, "The security token is invalid.", "upstream_auth_error", 500],
  ["InvalidSignatureException", 403, "The request signature does not match", "upstream_auth_error", 500],
  ["ExpiredTokenException", 403, "The security token is expired", "upstream_auth_error", 500],
  ["IncompleteSignatureException", 400, "Authorization header requires…", "upstream_auth_error", 500],
  ["RequestExpired", 400, "Request has expired", "upstream_auth_error", 500],
  [
    "AccessDeniedException",
    403,
    "Authentication failed: Please make sure your API Key is valid.",
    "upstream_auth_error",
    500,
  ],
  ["", 403, "Invalid API Key format: Must start with pre-defined prefix", "upstream_auth_error", 500],
  ["", 403, "The security token included in the request is expired", "upstream_auth_error", 500],
  ["MissingAuthenticationTokenException", 403, "Missing Authentication Token", "upstream_auth_error", 500],
  ["ThrottlingException", 429, "Too many requests, please wait before trying again.", "rate_limit_exceeded", 429],
  ["ThrottlingException", 429, "Too many tokens, please wait before trying again.", "rate_limit_exceeded", 429],
  ["ThrottlingException", 429, "Too many tokens per day, please wait.", "rate_limit_exceeded", 429],
  ["ServiceQuotaExceededException", 400, "Your account has reached its quota.", "insufficient_quota", 429],
  ["ModelNotReadyException", 429, "The model is not ready.", "model_not_ready", 503],
  ["ModelTimeoutException", 408, "The request took too long.", "model_timeout", 504],
  ["ModelErrorException", 424, "The model returned the following errors: …", "model_error", 502],
  ["ModelErrorException", 424, "prompt is too long: 3 > 2", "context_length_exceeded", 400],
  ["ModelStreamErrorException", 424, "broke", "model_error", 502],
  ["InternalServerException", 500, "Unexpected error", "upstream_error", 500],
  ["ServiceUnavailableException", 503, "Bedrock is unable to process your request.", "upstream_unavailable", 503],
  ["overloaded_error", 529, "Overloaded", "upstream_unavailable", 503],
  ["UnknownOperationException", 404, "", "upstream_invalid_response", 502],
  ["ConflictException", 400, "conflict", "invalid_request", 400],
  ["SerializationException", 400, "STRING_VALUE cannot be converted", "invalid_request", 400],
];

describe("bedrockHttpError", () => {
  for (const [type, status, text, code, sent] of ANSWERS) {
    it(`makes ${code}, ${sent} of ${type}: ${text.slice(0, 60)}`, () => {
      const header = (name: string) =>
        name === "x-amzn-errortype" ? `${type}:http://internal.amazon.com/` : undefined;
      const error = bedrockHttpError(status, header, JSON.stringify({ message: text }));
      assert.deepEqual([error.code, error.status], [code, sent]);
    });
  }

  for (const [status, code, sent] of [
    [200, "upstream_invalid_response", 502],
    [400, "invalid_request", 400],
    [403, "access_denied", 403],
    [404, "model_not_found", 404],
    [408, "model_timeout", 504],
    [413, "request_too_large", 413],
    [418, "invalid_request", 400],
    [424, "model_error", 502],
    [429, "rate_limit_exceeded", 429],
    [500, "upstream_error", 500],
    [503, "upstream_unavailable", 503],
    [504, "model_timeout", 504],
    [529, "upstream_unavailable", 503],
  ] as const) {
    it(`goes by the status alone where Bedrock names no type: ${status} is ${code}`, () => {
      for (const body of ["", "<html>nginx</html>", '{"message":"words"}', "[]"]) {
        const error = bedrockHttpError(status, noHeaders, body);
        assert.deepEqual([error.code, error.status], [code, sent]);
        assert.match(error.message, body.includes("words") ? /words/ : new RegExp(`status ${status}`));
        assert.doesNotMatch(error.message, /html/);
      }
    });
  }

  it("does not tell clients the gateway's own role and account, whatever the type", () => {
    for (const type of ["AccessDeniedException", "", "ForbiddenException", "ValidationException"]) {
      for (const text of [
        NOT_AUTHORIZED,
        `${NOT_AUTHORIZED} with an explicit deny`,
        `Role ${ROLE} is not authorized to perform: x`,
      ]) {
        const error = bedrockError({ type, message: text, status: 403 });
        assert.equal(error.code, "access_denied", type);
        assert.doesNotMatch(error.message, /arn:|123456789012|gateway\/i-/);
        assert.match(error.message, /operator/);
      }
    }
  });

  it("does not tell clients about the gateway's credentials", () => {
    const error = bedrockError({
      type: "InvalidSignatureException",
      message: "The Canonical String … AKIDEXAMPLE",
      status: 403,
    });
    assert.doesNotMatch(error.message, /AKIDEXAMPLE|Canonical/);
    assert.equal(error.kind.fault, "operator");
  });

  it("keeps the whole fault as the cause, for the log", () => {
    const error = bedrockHttpError(
      403,
      noHeaders,
      JSON.stringify({ __type: "AccessDeniedException", Message: NOT_AUTHORIZED }),
    );
    assert.deepEqual(error.cause, {
      bedrock: { type: "AccessDeniedException", message: NOT_AUTHORIZED, status: 403 },
    });
  });

  it("keeps Bedrock's own text where it may be told, with a hint where one helps", () => {
    assert.equal(
      bedrockError({ type: "ValidationException", message: "temperature: 3 > 1", status: 400 }).message,
      "temperature: 3 > 1",
    );
    const profile = bedrockError({
      type: "ValidationException",
      message: "with on-demand throughput isn't supported.",
      status: 400,
    });
    assert.match(profile.message, /us\., eu\. or global\./);
  });
});

describe("Retry-After", () => {
  const throttled = (retryAfter?: string) =>
    bedrockHttpError(429, (name) => (name === "retry-after" ? retryAfter : undefined), "{}").retryAfter;

  it("is what Bedrock says, else one second when it throttles", () => {
    assert.equal(throttled("17"), 17);
    assert.equal(throttled(undefined), 1);
  });

  it("is not taken from a date, zero or nonsense", () => {
    for (const value of ["Wed, 21 Oct 2026 07:28:00 GMT", "0", "-5", "1.5", "", "soon"])
      assert.equal(throttled(value), 1);
  });

  it("is passed on with other errors only when Bedrock sent one", () => {
    const at = (retryAfter?: string) =>
      bedrockHttpError(503, (name) => (name === "retry-after" ? retryAfter : undefined), "{}").retryAfter;
    assert.equal(at("9"), 9);
    assert.equal(at("99999999999"), 120);
    assert.equal(at("1e300"), 120);
    assert.equal(at(undefined), undefined);
  });
});

describe("Bedrock's text", () => {
  const said = (message: string) => bedrockError({ type: "ValidationException", message, status: 400 }).message;
  it("reaches the client without control characters, and not at any length", () => {
    assert.equal(said("a\r\nSet-Cookie: b\u0000\u001b[31m \ud800"), "a Set-Cookie: b [31m \ufffd");
    assert.equal(said("m".repeat(1_000_000)).length, 4_000);
    assert.match(said("\n \u0000"), /without a message/);
  });
  it("keeps the account's number from the client", () => {
    const arn = (account: string) =>
      `arn:aws-us-gov:bedrock:us-gov-west-1:${account}:application-inference-profile/abc`;
    assert.equal(said(`No ${arn("123456789012")} for 5.`), `No ${arn("************")} for 5.`);
    assert.equal(said("(arn:aws:sts::123456789012:assumed-role/x)"), "(arn:aws:sts::************:assumed-role/x)");
    assert.equal(said("at most 123456789012 tokens"), "at most 123456789012 tokens");
  });
});

describe("a model provider's own status", () => {
  it("is sent where it is a 4xx, and 502 otherwise", () => {
    const status = (originalStatus?: number) =>
      bedrockError({
        type: "ModelErrorException",
        message: "x",
        status: 424,
        ...(originalStatus === undefined ? {} : { originalStatus }),
      }).status;
    assert.deepEqual([400, 422, 499, 500, 399, 200, undefined].map(status), [400, 422, 499, 502, 502, 502, 502]);
    // A status that is none would leave the call's row open; a 401 would make the client doubt its own key.
    assert.deepEqual([400.5, 401, 407, 421, 426, 431].map(status), [502, 502, 502, 502, 502, 502]);
  });

  it("is read from the body", () => {
    assert.equal(readFault(424, noHeaders, '{"originalStatusCode":422,"originalMessage":"no"}').originalStatus, 422);
    assert.equal(readFault(424, noHeaders, '{"originalStatusCode":"422"}').originalStatus, undefined);
  });
});

describe("readFault", () => {
  it("takes the type from the header before the body's", () => {
    const header = (name: string) => (name === "x-amzn-errortype" ? "ThrottlingException" : undefined);
    assert.equal(readFault(429, header, '{"__type":"Other"}').type, "ThrottlingException");
    assert.equal(readFault(429, noHeaders, '{"__type":"com.amazon.coral#Other"}').type, "Other");
    assert.equal(readFault(429, noHeaders, "").type, "");
  });

  it("takes the text from message, Message or originalMessage", () => {
    assert.equal(readFault(400, noHeaders, '{"message":"a","Message":"b"}').message, "a");
    assert.equal(readFault(400, noHeaders, '{"Message":"b"}').message, "b");
    assert.equal(readFault(400, noHeaders, '{"originalMessage":"c"}').message, "c");
    assert.equal(readFault(400, noHeaders, '{"message":{"x":1}}').message, "");
  });
});

describe("typeName", () => {
  for (const [raw, name] of [
    ["ValidationException", "ValidationException"],
    ["validationException", "ValidationException"],
    ["ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/", "ValidationException"],
    ["ValidationException:http://internal.amazon.com/coral/#fragment", "ValidationException"],
    ["com.amazon.coral.service#UnknownOperationException", "UnknownOperationException"],
    ["com.amazon.coral#AccessDeniedException:http://x/#y", "AccessDeniedException"],
    ["", ""],
    [":", ""],
    ["#", ""],
  ] as const) {
    it(`is ${JSON.stringify(name)} for ${JSON.stringify(raw)}`, () => assert.equal(typeName(raw), name));
  }
});
