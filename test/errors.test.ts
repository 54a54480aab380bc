import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ERROR_KINDS, GatewayError, toGatewayError } from "../src/errors.ts";

describe("GatewayError", () => {
  it("takes its status from the table, unless it is given a more exact one", () => {
    assert.equal(new GatewayError("model_not_found", "no such model").status, 404);
    assert.equal(new GatewayError("model_error", "the model's provider refused", { status: 422 }).status, 422);
  });

  it("carries param, retryAfter and headers", () => {
    const error = new GatewayError("rate_limit_exceeded", "slow down", {
      param: "model",
      retryAfter: 3,
      headers: { "x-ratelimit-limit-requests": "5" },
    });
    assert.equal(error.param, "model");
    assert.equal(error.retryAfter, 3);
    assert.deepEqual(error.headers, { "x-ratelimit-limit-requests": "5" });
    assert.equal(error.kind, ERROR_KINDS.rate_limit_exceeded);
    assert.ok(error instanceof Error);
  });

  it("has no cause where none was given", () => {
    assert.equal("cause" in new GatewayError("internal_error", "x"), false);
    assert.equal(new GatewayError("internal_error", "x", { cause: 0 }).cause, 0);
  });
});

describe("toGatewayError", () => {
  it("leaves a GatewayError as it is", () => {
    const error = new GatewayError("invalid_request", "x");
    assert.equal(toGatewayError(error), error);
  });

  it("hides everything else behind internal_error, and keeps it as the cause", () => {
    for (const thrown of [new TypeError("secret internals"), "a string", undefined, null]) {
      const error = toGatewayError(thrown);
      assert.equal(error.code, "internal_error");
      assert.equal(error.status, 500);
      assert.doesNotMatch(error.message, /secret|string/);
      if (thrown !== undefined) assert.equal(error.cause, thrown);
    }
  });
});

describe("the table of errors", () => {
  it("gives every code an error status, and blames the client for 4xx alone", () => {
    for (const [code, { status, fault, retryable }] of Object.entries(ERROR_KINDS)) {
      assert.ok(status >= 400 && status <= 599, code);
      if (fault === "client") assert.ok(status < 500 && !retryable, code);
      if (fault === "bedrock" || fault === "gateway") assert.ok(status >= 500, code);
      if (fault === "limit") assert.equal(status, 429, code);
    }
  });

  // https://platform.openai.com/docs/guides/error-codes: what OpenAI's clients look at.
  for (const [code, status, type, openAiCode] of [
    ["invalid_request", 400, "invalid_request_error", null],
    ["context_length_exceeded", 400, "invalid_request_error", "context_length_exceeded"],
    ["invalid_api_key", 401, "invalid_request_error", "invalid_api_key"],
    ["model_not_allowed", 403, "permission_error", "model_not_allowed"],
    ["model_not_found", 404, "invalid_request_error", "model_not_found"],
    ["method_not_allowed", 405, "invalid_request_error", "method_not_allowed"],
    ["rate_limit_exceeded", 429, "rate_limit_error", "rate_limit_exceeded"],
    ["insufficient_quota", 429, "insufficient_quota", "insufficient_quota"],
    ["upstream_auth_error", 500, "server_error", "upstream_auth_error"],
    ["unavailable", 503, "server_error", "unavailable"],
  ] as const) {
    it(`sends ${code} as ${status}, ${type}, ${openAiCode}`, () => {
      const kind = ERROR_KINDS[code];
      assert.deepEqual([kind.status, kind.type, kind.code], [status, type, openAiCode]);
    });
  }

  it("calls a retry useful where waiting can help: throttling, capacity, time-outs, our own ledger", () => {
    const retryable = Object.entries(ERROR_KINDS).flatMap(([code, kind]) => (kind.retryable ? [code] : []));
    assert.deepEqual(retryable.sort(), [
      "model_not_ready",
      "model_timeout",
      "rate_limit_exceeded",
      "unavailable",
      "upstream_error",
      "upstream_unavailable",
    ]);
  });
});
