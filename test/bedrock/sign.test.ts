import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { createSigner, type UnsignedRequest } from "../../src/bedrock/sign.ts";
import { verifySignature } from "../../src/simulator/signature.ts";

interface Vector {
  readonly name: string;
  readonly method: "GET" | "POST";
  readonly host: string;
  readonly path: string;
  readonly query: string;
  readonly body: string;
  readonly region: string;
  readonly sessionToken: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly canonicalRequest: string;
  readonly authorization: string;
}

/** Made with botocore, which signs no x-amz-content-sha256. */
const vectors: Vector[] = JSON.parse(readFileSync(new URL("../data/sigv4_vectors.json", import.meta.url), "utf8"));
/** AWS's documentation signs its examples with it. */
const SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW = new Date(Date.UTC(2026, 10, 22));
const CREDENTIALS = { kind: "sigv4", accessKeyId: "AKIDEXAMPLE", secretAccessKey: SECRET } as const;

describe("the signer", () => {
  for (const vector of vectors) {
    it(`signs ${vector.name} as botocore would with x-amz-content-sha256 among its headers`, async () => {
      // First that the derivation below is botocore's own, then that the signer's agrees with it.
      assert.equal(authorizationFor(vector.canonicalRequest, vector.region), vector.authorization);
      const headers = await sign(vector);
      assert.equal(headers.authorization, authorizationFor(withBodyHash(vector.canonicalRequest), vector.region));
      assert.equal(headers["x-amz-content-sha256"], sha256(vector.body));
      assert.equal(headers["x-amz-security-token"], vector.sessionToken ?? undefined);
      assert.equal(headers.host, vector.host);
    });

    it(`signs ${vector.name} so that a verifier of its own accepts it`, async () => {
      const region = verify(vector, await sign(vector));
      assert.equal(region, vector.region);
    });
  }

  it("signs an ARN's slash and colons encoded twice: once as on the wire, once for the signature", async () => {
    const path = `/model/${encodeURIComponent("arn:aws:bedrock:us-east-1:1:application-inference-profile/a")}/converse`;
    const request = { ...post("bedrock-runtime.us-east-1.amazonaws.com"), path };
    const headers = await createSigner("us-east-1").sign(request, CREDENTIALS, NOW);
    assert.equal(verifySigned(request, headers), "us-east-1");
    assert.throws(() => verifySigned({ ...request, path: path.replace("%2F", "/") }, headers));
  });

  it("signs the host with its port", async () => {
    const request = post("127.0.0.1:8099");
    const headers = await createSigner("eu-west-1").sign(request, CREDENTIALS, NOW);
    assert.equal(headers.host, "127.0.0.1:8099");
    assert.equal(verifySigned(request, headers, "eu-west-1"), "eu-west-1");
    assert.throws(() =>
      verifySigned({ ...request, authority: "127.0.0.1" }, { ...headers, host: "127.0.0.1" }, "eu-west-1"),
    );
  });

  it("signs no content-length, which Envoy sets, and all that it was given", async () => {
    const headers = await createSigner("us-east-1").sign(post("h"), CREDENTIALS, NOW);
    assert.match(
      headers.authorization ?? "",
      /SignedHeaders=accept;content-type;host;x-amz-content-sha256;x-amz-date, /,
    );
    assert.deepEqual(Object.keys(headers).sort(), [
      "accept",
      "authorization",
      "content-type",
      "host",
      "x-amz-content-sha256",
      "x-amz-date",
    ]);
  });

  it("gives the same bytes for the same request, time and credentials", async () => {
    const sign = () => createSigner("us-east-1").sign(post("h"), CREDENTIALS, NOW);
    assert.deepEqual(await sign(), await sign());
  });

  it("signs with the credentials and the time of each request", async () => {
    const signer = createSigner("us-east-1");
    const first = await signer.sign(post("h"), CREDENTIALS, NOW);
    const second = await signer.sign(
      post("h"),
      { ...CREDENTIALS, accessKeyId: "AKIDOTHER", secretAccessKey: "x" },
      NOW,
    );
    const third = await signer.sign(post("h"), CREDENTIALS, new Date(NOW.getTime() + 86_400_000));
    assert.match(first.authorization ?? "", /Credential=AKIDEXAMPLE\/20261122\/us-east-1\/bedrock\/aws4_request,/);
    assert.match(second.authorization ?? "", /Credential=AKIDOTHER\/20261122/);
    assert.match(third.authorization ?? "", /Credential=AKIDEXAMPLE\/20261123/);
    assert.equal(third["x-amz-date"], "20261123T000000Z");
  });

  it("hashes an empty body too", async () => {
    const headers = await createSigner("us-east-1").sign({ ...post("h"), body: Buffer.alloc(0) }, CREDENTIALS, NOW);
    assert.equal(headers["x-amz-content-sha256"], sha256(""));
  });

  it("sends a Bedrock API key as a bearer token and nothing of a signature", async () => {
    const headers = await createSigner("us-east-1").sign(
      post("h:1"),
      { kind: "bearer", token: "bedrock-api-key-x" },
      NOW,
    );
    assert.deepEqual(headers, {
      "content-type": "application/json",
      accept: "application/json",
      host: "h:1",
      authorization: "Bearer bedrock-api-key-x",
    });
  });
});

function post(authority: string): UnsignedRequest {
  return {
    method: "POST",
    path: "/model/amazon.nova-lite-v1%3A0/converse",
    authority,
    headers: { "content-type": "application/json", accept: "application/json" },
    body: Buffer.from('{"messages":[]}'),
  };
}

function sign(vector: Vector): Promise<Record<string, string>> {
  return createSigner(vector.region).sign(
    {
      method: vector.method,
      path: vector.path,
      query: Object.fromEntries(new URLSearchParams(vector.query)),
      authority: vector.host,
      headers: Object.fromEntries(Object.entries(vector.headers).map(([name, value]) => [name.toLowerCase(), value])),
      body: Buffer.from(vector.body),
    },
    { ...CREDENTIALS, ...(vector.sessionToken === null ? {} : { sessionToken: vector.sessionToken }) },
    NOW,
  );
}

function verify(vector: Vector, headers: Record<string, string>): string {
  const token = vector.sessionToken === null ? {} : { sessionToken: vector.sessionToken };
  return verifySignature(
    {
      method: vector.method,
      target: vector.path + (vector.query === "" ? "" : `?${vector.query}`),
      rawHeaders: Object.entries(headers).flat(),
      body: Buffer.from(vector.body),
    },
    { credentials: [{ ...CREDENTIALS, ...token }], regions: [vector.region], now: NOW.getTime() },
  );
}

function verifySigned(request: UnsignedRequest, headers: Record<string, string>, region = "us-east-1"): string {
  const { method, path, body } = request;
  const rawHeaders = Object.entries(headers).flat();
  return verifySignature(
    { method, target: path, rawHeaders, body },
    { credentials: [CREDENTIALS], regions: [region], now: NOW.getTime() },
  );
}

/** The same canonical request with the one header more, at its place in the alphabet. */
function withBodyHash(canonical: string): string {
  const bodyHash = canonical.slice(-64);
  return canonical
    .replace("\nx-amz-date:", `\nx-amz-content-sha256:${bodyHash}\nx-amz-date:`)
    .replace(";x-amz-date", ";x-amz-content-sha256;x-amz-date");
}

function authorizationFor(canonical: string, region: string): string {
  const signedHeaders = canonical.split("\n").at(-2);
  const scope = `20261122/${region}/bedrock/aws4_request`;
  const toSign = `AWS4-HMAC-SHA256\n20261122T000000Z\n${scope}\n${sha256(canonical)}`;
  const key = scope.split("/").reduce<string | Buffer>((secret, part) => hmac(secret, part), `AWS4${SECRET}`);
  const signature = hmac(key, toSign).toString("hex");
  return `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/${scope}, SignedHeaders=${signedHeaders}, Signature=${signature}`;
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
