/** Bedrock's errors as the client gets them, with and without a stream: status, type, code, text and headers. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { type Answer, fails } from "../../src/simulator/simulator.ts";
import { ask, readError, startTestGateway, uniqueModel } from "./harness.ts";

const gateway = await startTestGateway();
after(() => gateway.stop());

interface Expected {
  readonly status: number;
  readonly code: string | null;
  readonly type?: string;
  readonly message?: RegExp;
  readonly headers?: Readonly<Record<string, string | null>>;
  /** How often Bedrock is asked; once by default. */
  readonly attempts?: number;
}

interface Case {
  readonly name: string;
  readonly answer: Answer;
  readonly expected: Expected;
}

const LOGIN = "The gateway could not authenticate to Amazon Bedrock";
const THROTTLED = { status: 429, code: "rate_limit_exceeded", type: "rate_limit_error", attempts: 3 };
const TOO_LONG = { status: 400, code: "context_length_exceeded", type: "invalid_request_error" };

const CASES: Case[] = [
  bedrock("ValidationException", "temperature must be below 1", { status: 400, code: null }),
  ...[
    "Input is too long for requested model.",
    "prompt is too long: 200001 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 1 + 2 > 3",
    "too many total text bytes: 9 > 8",
    "This model's maximum context length is 8192 tokens.",
    "Too many input tokens. Max input tokens: 1, request input token count: 2",
    "Malformed input request: expected maxLength: 5, actual: 6",
    "prompt tokens (9) exceed model maximum (8)",
  ].map((text) => bedrock("ValidationException", text, TOO_LONG)),
  bedrock("ValidationException", "The provided model identifier is invalid.", { status: 404, code: "model_not_found" }),
  bedrock(
    "ValidationException",
    "Invocation of model ID x with on-demand throughput isn't supported. Retry your request with the ID or ARN of an inference profile.",
    { status: 400, code: "inference_profile_required", message: /on-demand.*us\., eu\. or global\./ },
  ),
  bedrock("ValidationException", "This action doesn't support the model that you provided.", {
    status: 400,
    code: "model_not_supported",
  }),
  bedrock("ResourceNotFoundException", "This model version has reached the end of its life.", {
    status: 404,
    code: "model_not_found",
  }),
  bedrock("ResourceNotFoundException", "Model use case details have not been submitted for this account.", {
    status: 403,
    code: "model_access_required",
    type: "permission_error",
    message: /console/,
  }),
  bedrock("AccessDeniedException", "You don't have access to the model with the specified model ID.", {
    status: 403,
    code: "access_denied",
    type: "permission_error",
  }),
  {
    name: "AccessDeniedException that names the role",
    answer: fails("AccessDeniedException", {
      message: "User: arn:aws:sts::123456789012:assumed-role/gw/i-1 is not authorized to perform: bedrock:InvokeModel",
    }),
    expected: { status: 403, code: "access_denied", message: /^(?!.*123456789012).*IAM policy/ },
  },
  ...["UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"].map((type) => ({
    name: type,
    answer: fails(type, { message: "The security token AKIASECRET included in the request is invalid." }),
    expected: { status: 500, code: "upstream_auth_error", type: "server_error", message: new RegExp(`^${LOGIN}`) },
  })),
  bedrock("ThrottlingException", "Too many tokens, please wait before trying again.", {
    ...THROTTLED,
    headers: { "retry-after": "1", "retry-after-ms": "1000" },
  }),
  {
    name: "ThrottlingException with Retry-After",
    answer: fails("ThrottlingException", { times: 9, headers: { "retry-after": "7" } }),
    expected: { ...THROTTLED, headers: { "retry-after": "7", "x-should-retry": null } },
  },
  bedrock("ServiceQuotaExceededException", "Your quota is spent.", {
    status: 429,
    code: "insufficient_quota",
    type: "insufficient_quota",
    headers: { "x-should-retry": "false" },
  }),
  bedrock("ModelNotReadyException", "Wait.", {
    status: 503,
    code: "model_not_ready",
    type: "server_error",
    attempts: 3,
  }),
  bedrock("ModelTimeoutException", "Slow.", { status: 504, code: "model_timeout", type: "timeout_error" }),
  bedrock("ModelErrorException", "The model failed.", { status: 502, code: "model_error", type: "server_error" }),
  {
    name: "ModelErrorException of a provider's 422",
    answer: fails("ModelErrorException", { body: { message: "Bad image.", originalStatusCode: 422 } }),
    expected: { status: 422, code: "model_error", message: /^Bad image\.$/ },
  },
  bedrock("InternalServerException", "Oops.", {
    status: 500,
    code: "upstream_error",
    type: "server_error",
    attempts: 3,
  }),
  bedrock("ServiceUnavailableException", "Busy.", { status: 503, code: "upstream_unavailable", attempts: 3 }),
  {
    name: "a body of {}",
    answer: fails("ValidationException", { body: {} }),
    expected: { status: 400, code: null, message: /ValidationException without a message/ },
  },
  {
    name: "a body whose Message is upper case",
    answer: fails("AccessDeniedException", { body: { Message: "Not you." } }),
    expected: { status: 403, code: "access_denied", message: /^Not you\.$/ },
  },
  {
    name: "a type in the body alone",
    answer: {
      kind: "json",
      status: 400,
      body: { __type: "com.amazon.coral.service#ThrottlingException", message: "Slow down." },
    },
    expected: { status: 429, code: "rate_limit_exceeded" },
  },
  {
    name: "an HTML page",
    answer: html(502, "<html><h1>Bad Gateway</h1></html>"),
    expected: { status: 500, code: "upstream_error", message: /^(?!.*<html>)/ },
  },
  {
    name: "an HTML page that forbids",
    answer: html(403, "<html>Forbidden</html>"),
    expected: { status: 403, code: "access_denied", message: /status 403/ },
  },
  {
    name: "an empty body",
    answer: { kind: "json", status: 404, body: undefined },
    expected: { status: 404, code: "model_not_found", message: /status 404 without a message/ },
  },
  {
    name: "an error in JSON of another kind",
    answer: { kind: "json", status: 400, body: ["what", 1] },
    expected: { status: 400, code: null },
  },
  {
    name: "200 with an unknown operation",
    answer: {
      kind: "json",
      body: { Output: { __type: "com.amazon.coral#UnknownOperationException" }, Version: "1.0" },
    },
    expected: { status: 502, code: "upstream_invalid_response", type: "server_error" },
  },
  {
    name: "200 with broken JSON",
    answer: { kind: "json", body: Buffer.from('{"output":') },
    expected: { status: 502, code: "upstream_invalid_response" },
  },
  {
    name: "200 with an empty body",
    answer: { kind: "json", body: undefined },
    expected: { status: 502, code: "upstream_invalid_response" },
  },
  {
    name: "200 without a message",
    answer: { kind: "json", body: { stopReason: "end_turn" } },
    expected: { status: 502, code: "upstream_invalid_response" },
  },
  {
    name: "a redirect",
    answer: { kind: "json", status: 302, body: {}, headers: { location: "https://elsewhere.example/" } },
    expected: { status: 502, code: "upstream_invalid_response", headers: { location: null } },
  },
];

describe("Bedrock's error", { concurrency: 8 }, () => {
  for (const { name, answer, expected } of CASES) {
    for (const stream of [false, true]) {
      it(`${name} becomes ${expected.status} ${expected.code}${stream ? " for a stream" : ""}`, async () => {
        const model = uniqueModel();
        gateway.simulator.scriptModel(model, { times: expected.attempts ?? 1, ...answer });
        const error = await readError(await gateway.chat(ask(model, { stream })));
        assert.deepEqual([error.status, error.code], [expected.status, expected.code], error.message);
        if (expected.type !== undefined) assert.equal(error.type, expected.type);
        if (expected.message !== undefined) assert.match(error.message, expected.message);
        for (const [header, value] of Object.entries(expected.headers ?? {}))
          assert.equal(error.headers.get(header), value, header);

        const { closing } = await gateway.closedCall(error.headers.get("x-request-id"));
        assert.deepEqual([closing?.status, closing?.httpStatus], ["error", expected.status]);
        assert.deepEqual([closing?.usage.inputTokens, closing?.usage.outputTokens], [0, 0]);
        const attempts = gateway.simulator.requests.filter(({ modelId }) => modelId === model);
        assert.equal(attempts.length, expected.attempts ?? 1);
      });
    }
  }

  it("an event stream where none was asked for becomes 502", async () => {
    const model = uniqueModel();
    gateway.simulator.scriptModel(model, {
      kind: "events",
      steps: [{ event: "messageStart", payload: { role: "assistant" } }],
    });
    const error = await readError(await gateway.chat(ask(model)));
    assert.deepEqual([error.status, error.code], [502, "upstream_invalid_response"]);
  });

  it("a whole answer where a stream was asked for becomes 502", async () => {
    const model = uniqueModel();
    const body = {
      output: { message: { role: "assistant", content: [{ text: "Hi" }] } },
      stopReason: "end_turn",
      usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 },
    };
    gateway.simulator.scriptModel(model, { kind: "json", body });
    const error = await readError(await gateway.chat(ask(model, { stream: true })));
    assert.deepEqual([error.status, error.code], [502, "upstream_invalid_response"]);
  });
});

function bedrock(type: string, message: string, expected: Expected): Case {
  return { name: `${type} "${message}"`, answer: fails(type, { message }), expected };
}

function html(status: number, text: string): Answer {
  return { kind: "json", status, body: Buffer.from(text), headers: { "content-type": "text/html" } };
}
