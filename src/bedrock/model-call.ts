/**
 * One signed request to a model in Bedrock's own API, its body as it is, ready for Envoy to send.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html: the operations that
 * run a model. What goes out is signed anew; nothing of a client's own signature is left.
 */
import type { SignedCall } from "./converse-call.ts";
import type { CredentialSource } from "./credentials.ts";
import type { Endpoint } from "./endpoints.ts";
import { createSigner } from "./sign.ts";

/** As the path ends. */
export const MODEL_OPERATIONS = ["converse", "converse-stream", "invoke", "invoke-with-response-stream"] as const;

export type ModelOperation = (typeof MODEL_OPERATIONS)[number];

export interface ModelCall {
  readonly region: string;
  /** An id or an ARN. */
  readonly modelId: string;
  readonly operation: ModelOperation;
  /** Signed with the rest. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface ModelCalls {
  /** Throws GatewayError `upstream_auth_error` when the gateway has no valid credentials. */
  sign(call: ModelCall): Promise<SignedCall>;
}

export interface ModelCallsOptions {
  readonly endpointOf: (region: string) => Endpoint;
  readonly credentials: CredentialSource;
  readonly now: () => number;
}

export function createModelCalls({ endpointOf, credentials, now }: ModelCallsOptions): ModelCalls {
  return {
    async sign({ region, modelId, operation, headers: given, body }) {
      const endpoint = endpointOf(region);
      // Encoded exactly once, however the client wrote it: `:` is %3A and `/` (in an ARN) %2F.
      const path = `${endpoint.basePath}/model/${encodeURIComponent(modelId)}/${operation}`;
      const { host: _, ...headers } = await createSigner(region).sign(
        { method: "POST", path, authority: endpoint.authority, headers: given, body },
        await credentials.get(),
        new Date(now()),
      );
      return { route: endpoint.tls ? "tls" : "plaintext", authority: endpoint.authority, path, headers, body };
    },
  };
}

export function isStreaming(operation: ModelOperation): boolean {
  return operation === "converse-stream" || operation === "invoke-with-response-stream";
}

/** Lower-case; of a client's headers those that are part of the request. */
export const REQUEST_HEADERS: readonly string[] = [
  "accept",
  "content-type",
  "x-amzn-bedrock-accept",
  "x-amzn-bedrock-guardrailidentifier",
  "x-amzn-bedrock-guardrailversion",
  "x-amzn-bedrock-performanceconfig-latency",
  "x-amzn-bedrock-request-metadata",
  "x-amzn-bedrock-service-tier",
  "x-amzn-bedrock-trace",
];
