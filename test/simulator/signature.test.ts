import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { Refusal } from "../../src/simulator/failure.ts";
import { canonicalRequest, stringToSign, verifySignature } from "../../src/simulator/signature.ts";

interface Vector {
  name: string;
  method: string;
  host: string;
  path: string;
  query: string;
  body: string;
  region: string;
  service: string;
  sessionToken: string | null;
  amzDate: string;
  headers: Record<string, string>;
  canonicalRequest: string;
  stringToSign: string;
  authorization: string;
}

const vectors: Vector[] = JSON.parse(readFileSync(new URL("../data/sigv4_vectors.json", import.meta.url), "utf8"));
/** The example secret of AWS's documentation: the vectors are signed with it. */
const SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SIGNED_AT = Date.UTC(2026, 10, 22);
const plain = named("llama-profile");

function named(name: string): Vector {
  const vector = vectors.find((one) => one.name === name);
  assert.ok(vector);
  return vector;
}

function request(
  vector: Vector,
  change: { header?: [string, string]; drop?: string; body?: string; path?: string } = {},
) {
  const headers = new Map<string, string>([
    ...Object.entries(vector.headers),
    ["Host", vector.host],
    ["X-Amz-Date", vector.amzDate],
    ["Authorization", vector.authorization],
  ]);
  if (vector.sessionToken !== null) headers.set("X-Amz-Security-Token", vector.sessionToken);
  if (change.header) headers.set(...change.header);
  if (change.drop) headers.delete(change.drop);
  return {
    method: vector.method,
    target: (change.path ?? vector.path) + (vector.query === "" ? "" : `?${vector.query}`),
    rawHeaders: [...headers].flat(),
    body: Buffer.from(change.body ?? vector.body),
  };
}

function rules(vector: Vector, now = SIGNED_AT) {
  const token = vector.sessionToken === null ? {} : { sessionToken: vector.sessionToken };
  return {
    credentials: [{ accessKeyId: "AKIDEXAMPLE", secretAccessKey: SECRET, ...token }],
    regions: [vector.region],
    now,
  };
}

function refused(type: string, message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof Refusal);
    assert.equal(error.type, type);
    assert.equal(error.status, 403);
    assert.match(error.message, message);
    return true;
  };
}

describe("the simulator's signature check", () => {
  for (const vector of vectors) {
    it(`accepts what botocore signed: ${vector.name}`, () => {
      const signedHeaders = /SignedHeaders=([^,]+)/.exec(vector.authorization)?.[1]?.split(";") ?? [];
      const payloadHash = vector.canonicalRequest.slice(-64);
      const canonical = canonicalRequest(request(vector), signedHeaders, payloadHash);
      assert.equal(canonical, vector.canonicalRequest);
      const scope = { date: vector.amzDate.slice(0, 8), region: vector.region, service: vector.service };
      assert.equal(stringToSign(canonical, vector.amzDate, scope), vector.stringToSign);
      assert.equal(verifySignature(request(vector), rules(vector)), vector.region);
    });
  }

  it("refuses a changed body, path, host or signed header, and says what it would have signed", () => {
    const changes = [
      { body: `${plain.body} ` },
      { path: plain.path.replace("%3A", ":") },
      { header: ["Host", "bedrock-runtime.us-west-2.amazonaws.com"] as [string, string] },
      { header: ["Content-Type", "application/json; charset=utf-8"] as [string, string] },
    ];
    for (const change of changes)
      assert.throws(
        () => verifySignature(request(plain, change), rules(plain)),
        refused("InvalidSignatureException", /The Canonical String for this request should have been\n'POST\n/),
      );
  });

  it("takes a host header with its port as it arrived", () => {
    assert.throws(
      () => verifySignature(request(plain, { header: ["Host", `${plain.host}:8080`] }), rules(plain)),
      refused("InvalidSignatureException", /host:bedrock-runtime\.us-east-1\.amazonaws\.com:8080\n/),
    );
  });

  it("refuses another secret, and an access key that it does not know", () => {
    const [known] = rules(plain).credentials;
    assert.ok(known);
    assert.throws(
      () => verifySignature(request(plain), { ...rules(plain), credentials: [{ ...known, secretAccessKey: "other" }] }),
      refused("InvalidSignatureException", /does not match/),
    );
    assert.throws(
      () => verifySignature(request(plain), { ...rules(plain), credentials: [{ ...known, accessKeyId: "AKIDOTHER" }] }),
      refused("UnrecognizedClientException", /security token .* invalid/),
    );
  });

  it("refuses a signature more than five minutes old or early", () => {
    const minutes = 60_000;
    assert.equal(verifySignature(request(plain), rules(plain, SIGNED_AT + 5 * minutes)), "us-east-1");
    assert.throws(
      () => verifySignature(request(plain), rules(plain, SIGNED_AT + 5 * minutes + 1)),
      refused("InvalidSignatureException", /^Signature expired: 20261122T000000Z is now earlier than 20261122T000000Z/),
    );
    assert.throws(
      () => verifySignature(request(plain), rules(plain, SIGNED_AT - 6 * minutes)),
      refused("InvalidSignatureException", /^Signature not yet current/),
    );
  });

  it("refuses a missing, a wrong, a superfluous and an expired session token", () => {
    const vector = named("session-token");
    const unrecognized = refused("UnrecognizedClientException", /invalid/);
    assert.throws(
      () => verifySignature(request(vector, { drop: "X-Amz-Security-Token" }), rules(vector)),
      unrecognized,
    );
    const wrong = request(vector, { header: ["X-Amz-Security-Token", "OTHER"] });
    assert.throws(() => verifySignature(wrong, rules(vector)), unrecognized);
    assert.throws(() => verifySignature(request(vector), rules(plain)), unrecognized);
    const [known] = rules(vector).credentials;
    assert.ok(known);
    const expired = { ...rules(vector), credentials: [{ ...known, expiresAt: SIGNED_AT - 1 }] };
    assert.throws(() => verifySignature(request(vector), expired), refused("ExpiredTokenException", /expired/));
  });

  it("refuses a region that it does not serve, another service, and a scope date that is not the request's", () => {
    assert.throws(
      () => verifySignature(request(plain), { ...rules(plain), regions: ["eu-west-1"] }),
      refused("InvalidSignatureException", /valid region: eu-west-1, not 'us-east-1'/),
    );
    const scoped = (from: string, to: string) =>
      request(plain, { header: ["Authorization", plain.authorization.replace(from, to)] });
    assert.throws(
      () => verifySignature(scoped("/bedrock/", "/bedrock-runtime/"), rules(plain)),
      refused("InvalidSignatureException", /correct service: 'bedrock', not 'bedrock-runtime'/),
    );
    assert.throws(
      () => verifySignature(scoped("/20261122/", "/20261121/"), rules(plain)),
      refused("InvalidSignatureException", /Date in Credential scope/),
    );
  });

  it("wants every signed header to arrive, host signed, and every x-amz- header signed", () => {
    assert.throws(
      () => verifySignature(request(plain, { drop: "Content-Type" }), rules(plain)),
      refused("InvalidSignatureException", /'content-type' is not in the request/),
    );
    const withoutHost = plain.authorization.replace("content-type;host;", "content-type;");
    assert.throws(
      () => verifySignature(request(plain, { header: ["Authorization", withoutHost] }), rules(plain)),
      refused("InvalidSignatureException", /'Host' must be/),
    );
    assert.throws(
      () => verifySignature(request(plain, { header: ["x-amz-target", "x"] }), rules(plain)),
      refused("InvalidSignatureException", /'x-amz-target' must be/),
    );
  });

  it("names what is missing in the Authorization header", () => {
    assert.throws(
      () => verifySignature(request(plain, { drop: "Authorization" }), rules(plain)),
      refused("MissingAuthenticationTokenException", /Missing/),
    );
    for (const header of ["Basic eDp5", "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0"])
      assert.throws(
        () => verifySignature(request(plain, { header: ["Authorization", header] }), rules(plain)),
        refused("IncompleteSignatureException", /Authorization/),
      );
    assert.throws(
      () => verifySignature(request(plain, { drop: "X-Amz-Date" }), rules(plain)),
      refused("IncompleteSignatureException", /X-Amz-Date/),
    );
  });

  it("refuses a claimed payload hash that is not the body's", () => {
    assert.throws(
      () => verifySignature(request(plain, { header: ["x-amz-content-sha256", "UNSIGNED-PAYLOAD"] }), rules(plain)),
      refused("InvalidSignatureException", /must be a 'SignedHeader'/),
    );
    const signedHash = plain.authorization.replace("x-amz-date,", "x-amz-content-sha256;x-amz-date,");
    const claimed = request(plain, { header: ["Authorization", signedHash] });
    claimed.rawHeaders.push("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    assert.throws(
      () => verifySignature(claimed, rules(plain)),
      refused("InvalidSignatureException", /x-amz-content-sha256 is UNSIGNED-PAYLOAD/),
    );
  });
});
