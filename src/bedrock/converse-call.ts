/**
 * One signed Converse or ConverseStream request, ready for Envoy to send.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
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
  prepare(call: { modelId: string; stream: boolean; request: ConverseRequest }): Promise<SignedCall>;
}

export interface ConverseCallsOptions {
  readonly region: string;
  readonly endpoint: Endpoint;
  readonly credentials: CredentialSource;
  readonly now: () => number;
}

export function createConverseCalls({ region, endpoint, credentials, now }: ConverseCallsOptions): ConverseCalls {
  const signer = createSigner(region);
  return {
    async prepare({ modelId, stream, request }) {
      const body = Buffer.from(stringifyJson(request), "utf8");
      // Encoded exactly once: `:` is %3A and `/` (in an ARN) %2F. The signature encodes it a second time.
      const path = `${endpoint.basePath}/model/${encodeURIComponent(modelId)}/${stream ? "converse-stream" : "converse"}`;
      const { host: _, ...headers } = await signer.sign(
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
