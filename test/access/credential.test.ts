import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { credentialFrom } from "../../src/access/credential.ts";
import { GatewayError } from "../../src/errors.ts";

describe("credentialFrom", () => {
  const accepted: [string, Record<string, string>, string | undefined][] = [
    ["a Bearer token", { authorization: "Bearer sk-a" }, "sk-a"],
    ["the scheme in any case", { authorization: "bEARER sk-a" }, "sk-a"],
    ["spaces around the token", { authorization: "  Bearer \t sk-a  " }, "sk-a"],
    ["x-api-key", { "x-api-key": " sk-b " }, "sk-b"],
    ["api-key", { "api-key": "sk-c" }, "sk-c"],
    [
      "Authorization before the others",
      { authorization: "Bearer sk-a", "x-api-key": "sk-b", "api-key": "sk-c" },
      "sk-a",
    ],
    ["x-api-key before api-key", { "x-api-key": "sk-b", "api-key": "sk-c" }, "sk-b"],
    ["an empty Authorization as none", { authorization: " ", "x-api-key": "sk-b" }, "sk-b"],
    [
      "Bearer without a token as no key, whatever else is there",
      { authorization: "Bearer", "x-api-key": "sk-b" },
      undefined,
    ],
    ["a second word as part of the key, which makes it wrong", { authorization: "Bearer sk-a x" }, "sk-a x"],
    ["no header at all", {}, undefined],
  ];
  for (const [title, headers, secret] of accepted) {
    it(`reads ${title}`, () =>
      assert.equal(
        credentialFrom((name) => headers[name]),
        secret,
      ));
  }

  for (const authorization of ["Basic dXNlcjpzay1hYmM=", "sk-secret-without-scheme", "BearerX sk-a"]) {
    it(`refuses ${authorization.split(" ")[0]}, even beside a good x-api-key, without repeating it`, () => {
      const headers: Record<string, string> = { authorization, "x-api-key": "sk-b" };
      assert.throws(
        () => credentialFrom((name) => headers[name]),
        (error: unknown) => {
          assert.ok(error instanceof GatewayError);
          assert.equal(error.code, "invalid_api_key");
          assert.ok(!error.message.includes(authorization.slice(6)));
          return true;
        },
      );
    });
  }

  it("tells a client that signs for AWS what to send instead", () => {
    const authorization = "AWS4-HMAC-SHA256 Credential=AKID/20261122/us-east-1/bedrock/aws4_request";
    assert.throws(
      () => credentialFrom((name) => (name === "authorization" ? authorization : undefined)),
      (error: unknown) => {
        assert.ok(error instanceof GatewayError);
        assert.equal(error.code, "invalid_api_key");
        assert.match(error.message, /AWS_BEARER_TOKEN_BEDROCK/);
        assert.ok(!error.message.includes("AKID"));
        return true;
      },
    );
  });
});
