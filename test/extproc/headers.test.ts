import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { corsHeaders, headersToHide, headersToRemove, preflightHeaders } from "../../src/extproc/headers.ts";

const named = (...names: string[]) => new Map(names.map((name) => [name, "x"]));

describe("the headers taken from the client's request", () => {
  for (const name of [
    "authorization",
    "x-api-key",
    "api-key",
    "cookie",
    "proxy-authorization",
    "accept-encoding",
    "user-agent",
    "openai-organization",
    "anthropic-beta",
    "x-stainless-os",
    "x-amz-date",
    "x-amz-security-token",
    "x-amzn-bedrock-trace",
    "x-forwarded-for",
    "x-gateway-upstream",
    "x-gateway-local-reply",
    "expect",
    "traceparent",
    "constructor",
    "x-whatever-is-new",
  ]) {
    it(`include ${name}`, () => assert.deepEqual(headersToRemove(named(name)), [name]));
  }

  it("are not those that HTTP or Envoy needs", () => {
    const needed = [":method", ":path", ":authority", ":scheme", "host", "content-type", "content-length"];
    assert.deepEqual(
      headersToRemove(named(...needed, "x-request-id", "x-forwarded-proto", "x-envoy-attempt-count")),
      [],
    );
  });
});

describe("the headers of Bedrock's answer that the client gets", () => {
  it("are its request id and those of HTTP and Envoy, and no others", () => {
    const kept = [":status", "date", "server", "x-request-id", "x-amzn-requestid", "x-envoy-upstream-service-time"];
    const hidden = [
      "content-type",
      "content-length",
      "x-amzn-errortype",
      "set-cookie",
      "transfer-encoding",
      "x-amzn-bedrock-cache",
    ];
    assert.deepEqual(headersToHide(named(...kept, ...hidden)), hidden);
  });
});

describe("CORS", () => {
  it("says nothing to a request without an origin", () => {
    assert.deepEqual(corsHeaders(named("authorization")), {});
  });

  it("lets pages of any origin read the answer, its limits and its request id", () => {
    const headers = corsHeaders(new Map([["origin", "https://app.example"]]));
    assert.equal(headers["access-control-allow-origin"], "*");
    for (const name of ["x-request-id", "retry-after", "x-ratelimit-remaining-requests", "x-gateway-warning"])
      assert.ok(headers["access-control-expose-headers"]?.split(", ").includes(name), name);
    assert.equal(headers["access-control-allow-credentials"], undefined);
  });

  it("allows in a preflight what the browser asks for", () => {
    const headers = preflightHeaders(
      new Map([
        ["origin", "https://app.example"],
        ["access-control-request-method", "POST"],
        ["access-control-request-headers", "authorization,x-stainless-os"],
      ]),
    );
    assert.equal(headers["access-control-allow-origin"], "*");
    assert.equal(headers["access-control-allow-methods"], "POST");
    assert.equal(headers["access-control-allow-headers"], "authorization,x-stainless-os");
  });

  it("allows the usual where the browser names nothing", () => {
    const headers = preflightHeaders(new Map([["origin", "null"]]));
    assert.match(headers["access-control-allow-methods"] ?? "", /POST/);
    assert.match(headers["access-control-allow-headers"] ?? "", /authorization/);
  });
});
