import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { SignedCall } from "../../src/bedrock/converse-call.ts";
import { createModelCalls, isStreaming, MODEL_OPERATIONS, type ModelCall } from "../../src/bedrock/model-call.ts";
import { verifySignature } from "../../src/simulator/signature.ts";

const NOW = Date.UTC(2026, 10, 22);
const CREDENTIALS = { kind: "sigv4", accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" } as const;
const ENDPOINT = { authority: "127.0.0.1:9000", tls: false, basePath: "/proxy" };
const ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
const BODY = Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]);

describe("a signed call of Bedrock's own API", () => {
  it("has the operation's path, the model encoded once, and a signature that Bedrock accepts", async () => {
    for (const operation of MODEL_OPERATIONS) {
      const call = await sign({ operation, modelId: ARN });
      assert.equal(call.path, `/proxy/model/${encodeURIComponent(ARN)}/${operation}`);
      assert.deepEqual([call.route, call.authority], ["plaintext", "127.0.0.1:9000"]);
      assert.equal(verify(call), "us-east-1");
    }
  });

  it("has the body that was given, to the byte, and signs it", async () => {
    const call = await sign({});
    assert.equal(call.body, BODY);
    assert.throws(() => verify({ ...call, body: Buffer.from("{}") }));
  });

  it("has the headers that were given, and signs them", async () => {
    const headers = { "content-type": "application/json", "x-amzn-bedrock-trace": "ENABLED" };
    const call = await sign({ headers });
    assert.equal(call.headers["x-amzn-bedrock-trace"], "ENABLED");
    assert.equal("host" in call.headers, false);
    assert.throws(() => verify({ ...call, headers: { ...call.headers, "x-amzn-bedrock-trace": "DISABLED" } }));
  });

  it("streams for two of the operations", () => {
    assert.deepEqual(MODEL_OPERATIONS.filter(isStreaming), ["converse-stream", "invoke-with-response-stream"]);
  });
});

function sign(call: Partial<ModelCall>): Promise<SignedCall> {
  const calls = createModelCalls({
    endpointOf: () => ENDPOINT,
    credentials: { get: async () => CREDENTIALS },
    now: () => NOW,
  });
  return calls.sign({ region: "us-east-1", modelId: "m", operation: "invoke", headers: {}, body: BODY, ...call });
}

/** The region that the signature names. Throws where it is wrong. */
function verify({ path, authority, headers, body }: SignedCall): string {
  const rawHeaders = Object.entries({ ...headers, host: authority }).flat();
  return verifySignature(
    { method: "POST", target: path, rawHeaders, body },
    { credentials: [CREDENTIALS], regions: ["us-east-1"], now: NOW },
  );
}
