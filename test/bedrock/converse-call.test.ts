import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConverseRequest } from "../../src/bedrock/converse.ts";
import { type ConverseCallsOptions, createConverseCalls, type SignedCall } from "../../src/bedrock/converse-call.ts";
import { GatewayError } from "../../src/errors.ts";
import { isJsonObject, parseJson } from "../../src/json.ts";
import { verifySignature } from "../../src/simulator/signature.ts";

const NOW = Date.UTC(2026, 10, 22);
const CREDENTIALS = { kind: "sigv4", accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" } as const;
const REQUEST: ConverseRequest = { messages: [{ role: "user", content: [{ text: "naïve" }] }] };

describe("createConverseCalls", () => {
  it("prepares a Converse call that Bedrock's signature check accepts", async () => {
    const call = await calls().prepare({
      region: "us-east-1",
      modelId: "amazon.nova-lite-v1:0",
      stream: false,
      request: REQUEST,
    });
    assert.equal(call.path, "/model/amazon.nova-lite-v1%3A0/converse");
    assert.equal(call.authority, "bedrock-runtime.us-east-1.amazonaws.com");
    assert.equal(call.route, "tls");
    assert.equal(call.headers["content-type"], "application/json");
    assert.equal(call.headers.accept, "application/json");
    assert.deepEqual(JSON.parse(call.body.toString("utf8")), REQUEST);
    assert.equal(verify(call), "us-east-1");
  });

  it("prepares a ConverseStream call", async () => {
    const call = await calls().prepare({ region: "us-east-1", modelId: "m", stream: true, request: REQUEST });
    assert.equal(call.path, "/model/m/converse-stream");
    assert.equal(call.headers.accept, "application/vnd.amazon.eventstream");
    assert.equal(verify(call), "us-east-1");
  });

  it("prepares a CountTokens call with what has tokens, and nothing else", async () => {
    const counted: ConverseRequest = {
      ...REQUEST,
      system: [{ text: "Be brief." }],
      toolConfig: { tools: [{ toolSpec: { name: "a", inputSchema: { json: { type: "object" } } } }] },
      additionalModelRequestFields: { top_k: 1 },
    };
    const request = { ...counted, inferenceConfig: { maxTokens: 1 }, requestMetadata: { a: "b" } };
    const call = await calls().prepare({ region: "us-east-1", modelId: "m", stream: false, request, countOnly: true });
    assert.equal(call.path, "/model/m/count-tokens");
    assert.deepEqual(JSON.parse(call.body.toString("utf8")), { input: { converse: counted } });
    assert.equal(verify(call), "us-east-1");
  });

  it("leaves the host to the authority, which has the endpoint's port", async () => {
    const endpoint = { authority: "127.0.0.1:9000", tls: false, basePath: "/proxy" };
    const call = await calls({ endpointOf: () => endpoint }).prepare({
      region: "us-east-1",
      modelId: "m",
      stream: false,
      request: REQUEST,
    });
    assert.equal("host" in call.headers, false);
    assert.equal(call.authority, "127.0.0.1:9000");
    assert.equal(call.route, "plaintext");
    assert.equal(call.path, "/proxy/model/m/converse");
    assert.equal(verify(call), "us-east-1");
  });

  it("encodes an ARN once, its slash too", async () => {
    const modelId = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
    const call = await calls().prepare({ region: "us-east-1", modelId, stream: false, request: REQUEST });
    assert.equal(call.path.split("/").length, 4);
    assert.equal(decodeURIComponent(call.path.split("/")[2] ?? ""), modelId);
    assert.equal(verify(call), "us-east-1");
  });

  it("writes the same bytes for the same request, digits of long numbers included", async () => {
    const input = parseJson('{"id":9007199254740993}');
    assert.ok(isJsonObject(input));
    const request: ConverseRequest = {
      messages: [{ role: "assistant", content: [{ toolUse: { toolUseId: "t", name: "n", input } }] }],
    };
    const [first, second] = await Promise.all(
      [1, 2].map(() => calls().prepare({ region: "us-east-1", modelId: "m", stream: false, request })),
    );
    assert.match(first?.body.toString() ?? "", /9007199254740993/);
    assert.deepEqual(first, second);
  });

  it("signs for the region that is called, at that region's endpoint", async () => {
    const call = await calls().prepare({ region: "eu-west-1", modelId: "m", stream: false, request: REQUEST });
    assert.equal(call.authority, "bedrock-runtime.eu-west-1.amazonaws.com");
    assert.match(call.headers.authorization ?? "", /\/eu-west-1\/bedrock\/aws4_request/);
  });

  it("sends a Bedrock API key instead of a signature", async () => {
    const credentials = { get: async () => ({ kind: "bearer", token: "ABSKx" }) as const };
    const { headers } = await calls({ credentials }).prepare({
      region: "us-east-1",
      modelId: "m",
      stream: false,
      request: REQUEST,
    });
    assert.deepEqual(headers, {
      "content-type": "application/json",
      accept: "application/json",
      authorization: "Bearer ABSKx",
    });
  });

  it("fails as the credentials fail", async () => {
    const failure = new GatewayError("upstream_auth_error", "none");
    const broken = calls({ credentials: { get: () => Promise.reject(failure) } });
    await assert.rejects(
      broken.prepare({ region: "us-east-1", modelId: "m", stream: false, request: REQUEST }),
      failure,
    );
  });
});

function calls(options: Partial<ConverseCallsOptions> = {}) {
  return createConverseCalls({
    endpointOf: (region) => ({ authority: `bedrock-runtime.${region}.amazonaws.com`, tls: true, basePath: "" }),
    credentials: { get: async () => CREDENTIALS },
    now: () => NOW,
    ...options,
  });
}

function verify({ path, authority, headers, body }: SignedCall): string {
  return verifySignature(
    { method: "POST", target: path, rawHeaders: ["host", authority, ...Object.entries(headers).flat()], body },
    { credentials: [CREDENTIALS], regions: ["us-east-1"], now: NOW },
  );
}
