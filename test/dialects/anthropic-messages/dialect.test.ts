import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { anthropicMessages } from "../../../src/dialects/anthropic-messages/index.ts";
import type { ListedModel } from "../../../src/dialects/dialect.ts";
import { type ErrorCode, GatewayError } from "../../../src/errors.ts";

const META = { id: "1", created: 1 };
const BODY = { model: "m", max_tokens: 9, messages: [{ role: "user", content: "Hi" }] };

describe("errors", () => {
  const cases: [ErrorCode, number, string][] = [
    ["invalid_request", 400, "invalid_request_error"],
    ["invalid_api_key", 401, "authentication_error"],
    ["access_denied", 403, "permission_error"],
    ["model_not_found", 404, "not_found_error"],
    ["method_not_allowed", 405, "invalid_request_error"],
    ["request_too_large", 413, "request_too_large"],
    ["rate_limit_exceeded", 429, "rate_limit_error"],
    ["insufficient_quota", 429, "rate_limit_error"],
    ["internal_error", 500, "api_error"],
    ["model_error", 502, "api_error"],
    ["model_timeout", 504, "timeout_error"],
    ["model_not_ready", 529, "overloaded_error"],
    ["upstream_unavailable", 529, "overloaded_error"],
    ["unavailable", 529, "overloaded_error"],
  ];
  for (const [code, status, type] of cases) {
    it(`gives ${code} the status ${status} and the type ${type}`, () => {
      const error = new GatewayError(code, "Why.");
      assert.equal(anthropicMessages.errorStatus?.(error), status);
      const body = { type: "error", error: { type, message: "Why." }, request_id: "req-1" };
      assert.deepEqual(anthropicMessages.errorBody(error, "req-1"), body);
      assert.deepEqual([...anthropicMessages.errorEvents(error, "req-1")], [{ event: "error", data: body }]);
    });
  }

  it("says of a prompt that is too long what makes Claude Code compact its conversation", () => {
    const message = (text: string) =>
      Object(anthropicMessages.errorBody(new GatewayError("context_length_exceeded", text))).error.message;
    assert.equal(message("Input is too long."), "prompt is too long: Input is too long.");
    assert.equal(message("Prompt is too long: 3 > 2"), "Prompt is too long: 3 > 2");
  });
});

describe("the header anthropic-beta", () => {
  const betas = (value: string, body: object = {}) =>
    anthropicMessages.decode(
      { ...BODY, ...body },
      { ...META, header: (name) => (name === "anthropic-beta" ? value : undefined) },
    ).intent.betas;

  it("is passed on as far as Bedrock knows its names", () => {
    assert.deepEqual(betas("claude-code-20250219, context-1m-2025-08-07,effort-2025-11-24,context-1m-2025-08-07"), [
      "context-1m-2025-08-07",
      "effort-2025-11-24",
    ]);
    assert.equal(betas("claude-code-20250219,prompt-caching-scope-2026-01-05"), undefined);
  });

  it("is put together with the body's betas", () => {
    assert.deepEqual(betas("context-1m-2025-08-07", { betas: ["effort-2025-11-24", "context-1m-2025-08-07"] }), [
      "context-1m-2025-08-07",
      "effort-2025-11-24",
    ]);
  });
});

describe("counting tokens", () => {
  it("needs no max_tokens, and never streams", () => {
    const { max_tokens: _, ...body } = BODY;
    const conversation = anthropicMessages.counting?.decode({ ...body, stream: true }, META);
    assert.deepEqual([conversation?.stream, conversation?.request.messages.length], [false, 1]);
    assert.deepEqual(anthropicMessages.counting?.reply(7), { input_tokens: 7 });
  });
});

describe("the list of models", () => {
  const models: ListedModel[] = ["a", "b", "c", "d", "e"].map((id, index) => ({ id, created: index * 86_400 }));
  const page = (query: string) => {
    const { data, ...rest } = Object(anthropicMessages.listing?.list(models, new URLSearchParams(query)));
    return { ids: data.map(({ id }: ListedModel) => id).join(""), ...rest };
  };

  it("is asked for by any anthropic-version", () => {
    const asked = (headers: Record<string, string>) => anthropicMessages.listing?.asked((name) => headers[name]);
    assert.equal(asked({ "anthropic-version": "2027-01-01" }), true);
    assert.equal(asked({}), false);
  });

  it("comes in pages, forwards and backwards", () => {
    assert.deepEqual(page(""), { ids: "abcde", has_more: false, first_id: "a", last_id: "e" });
    assert.deepEqual(page("limit=2"), { ids: "ab", has_more: true, first_id: "a", last_id: "b" });
    assert.deepEqual(page("limit=2&after_id=b"), { ids: "cd", has_more: true, first_id: "c", last_id: "d" });
    assert.deepEqual(page("limit=2&after_id=d"), { ids: "e", has_more: false, first_id: "e", last_id: "e" });
    assert.deepEqual(page("limit=2&before_id=e"), { ids: "cd", has_more: true, first_id: "c", last_id: "d" });
    assert.deepEqual(page("limit=2&before_id=c"), { ids: "ab", has_more: false, first_id: "a", last_id: "b" });
    assert.deepEqual(page("after_id=nowhere"), { ids: "", has_more: false, first_id: null, last_id: null });
  });

  for (const limit of ["0", "1001", "x", "1.5"]) {
    it(`refuses a limit of ${limit}`, () => assert.throws(() => page(`limit=${limit}`), { code: "invalid_request" }));
  }

  it("tells when a model came", () => {
    const info = Object(anthropicMessages.listing?.model({ id: "x", created: 1_764_633_600 }));
    assert.deepEqual(
      [info.type, info.id, info.display_name, info.created_at],
      ["model", "x", "x", "2025-12-02T00:00:00Z"],
    );
  });
});
