/**
 * One signed Converse, ConverseStream or CountTokens request, ready for Envoy to send.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and API_runtime_CountTokens.html
 */
import { stringifyJson } from "../json.ts";
import type { ConverseRequest } from "./converse.ts";
import type { CredentialSource } from "./credentials.ts";
import type { Endpoint } from "./endpoints.ts";
import { createSigner } from "./sign.ts";

export interface SignedCall {
  /** Which of Envoy's upstream clusters takes it. */
  readonly route: "tls" | "plaintext";
  readonly authority: string;
  readonly path: string;
  /** Everything to send besides method, path and authority; `host` is left to the authority. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface ConverseCalls {
  /** Throws GatewayError `upstream_auth_error` when the gateway has no valid credentials. */
  prepare(call: UnsignedCall): Promise<SignedCall>;
}

export interface UnsignedCall {
  readonly region: string;
  /** An id or an ARN. */
  readonly modelId: string;
  readonly stream: boolean;
  readonly request: ConverseRequest;
  /** CountTokens for the request instead of an answer to it. It takes foundation models' ids alone. */
  readonly countOnly?: boolean;
}

export interface ConverseCallsOptions {
  readonly endpointOf: (region: string) => Endpoint;
  readonly credentials: CredentialSource;
  readonly now: () => number;
}

export function createConverseCalls({ endpointOf, credentials, now }: ConverseCallsOptions): ConverseCalls {
  return {
    async prepare({ region, modelId, stream, request, countOnly = false }) {
      const endpoint = endpointOf(region);
      const body = Buffer.from(stringifyJson(countOnly ? countInput(request) : request), "utf8");
      const operation = countOnly ? "count-tokens" : stream ? "converse-stream" : "converse";
      // Encoded exactly once: `:` is %3A and `/` (in an ARN) %2F. The signature encodes it a second time.
      const path = `${endpoint.basePath}/model/${encodeURIComponent(modelId)}/${operation}`;
      const { host: _, ...headers } = await createSigner(region).sign(
        {
          method: "POST",
          path,
          authority: endpoint.authority,
          headers: {
            "content-type": "application/json",
            accept: stream ? "application/vnd.amazon.eventstream" : "application/json",
          },
          body,
        },
        await credentials.get(),
        new Date(now()),
      );
      return { route: endpoint.tls ? "tls" : "plaintext", authority: endpoint.authority, path, headers, body };
    },
  };
}

/** What of a request has tokens: CountTokens takes nothing else. */
function countInput({ messages, system, toolConfig, additionalModelRequestFields }: ConverseRequest) {
  return { input: { converse: { messages, system, toolConfig, additionalModelRequestFields } } };
}
