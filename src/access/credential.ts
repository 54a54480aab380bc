/**
 * Where a request carries its key: `Authorization: Bearer`, `x-api-key` (Anthropic's clients) or `api-key` (Azure's).
 *
 * Authorization wins when it is there at all: a client that sends both means the first, and falling back to the other
 * would let a wrong key pass unseen. Its scheme is case-insensitive (RFC 9110, section 11.1).
 */
import { GatewayError } from "../errors.ts";

/**
 * The key that the request carries, or undefined. `header` looks one up by its lower-case name. Throws
 * `invalid_api_key` for an Authorization header that is not a Bearer one.
 */
export function credentialFrom(header: (name: string) => string | undefined): string | undefined {
  const authorization = header("authorization")?.trim();
  if (authorization) return bearerToken(authorization);
  return header("x-api-key")?.trim() || header("api-key")?.trim() || undefined;
}

function bearerToken(authorization: string): string | undefined {
  const scheme = /^[^ \t]+/.exec(authorization)?.[0] ?? "";
  if (/^aws4-/i.test(scheme)) {
    throw new GatewayError(
      "invalid_api_key",
      "This gateway takes its own keys, and no AWS signatures: set AWS_BEARER_TOKEN_BEDROCK to a gateway key (sk-…).",
    );
  }
  if (scheme.toLowerCase() !== "bearer") {
    throw new GatewayError(
      "invalid_api_key",
      "The Authorization header must be `Bearer` and a gateway key: `Authorization: Bearer sk-…`.",
    );
  }
  return authorization.slice(scheme.length).trim() || undefined;
}
