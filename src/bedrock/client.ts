/**
 * The service's own reading calls to Bedrock: the model catalog.
 */
import { GatewayError } from "../errors.ts";
import type { CredentialSource } from "./credentials.ts";
import { type Egress, readBody, sendThrough } from "./egress.ts";
import type { Endpoint } from "./endpoints.ts";
import { bedrockHttpError } from "./errors.ts";
import { createSigner } from "./sign.ts";

export interface BedrockClientOptions {
  readonly region: string;
  readonly endpoint: Endpoint;
  readonly egress: Egress | undefined;
  readonly credentials: CredentialSource;
}

export interface BedrockClient {
  /** The parsed JSON answer. Throws GatewayError for Bedrock's errors and for a call that fails or takes too long. */
  get(path: string, query: Readonly<Record<string, string>>, timeoutMs: number): Promise<unknown>;
}

/** A page of the catalog is some hundred kilobytes. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const NO_BODY = Buffer.alloc(0);

export function createBedrockClient({ region, endpoint, egress, credentials }: BedrockClientOptions): BedrockClient {
  const signer = createSigner(region);
  return {
    async get(path, query, timeoutMs) {
      const wirePath = endpoint.basePath + path;
      const headers = await signer.sign(
        {
          method: "GET",
          path: wirePath,
          query,
          authority: endpoint.authority,
          headers: { accept: "application/json" },
          body: NO_BODY,
        },
        await credentials.get(),
        new Date(),
      );
      const search = queryString(query);
      const answer = await sendThrough(egress, {
        endpoint,
        method: "GET",
        path: search === "" ? wirePath : `${wirePath}?${search}`,
        headers,
        signal: AbortSignal.timeout(timeoutMs),
      });
      const body = await readBody(answer.body, MAX_ANSWER_BYTES);
      if (answer.status !== 200) throw bedrockHttpError(answer.status, (name) => answer.headers.get(name), body);
      try {
        return JSON.parse(body);
      } catch (cause) {
        throw new GatewayError("upstream_invalid_response", "Amazon Bedrock's answer is not JSON.", { cause });
      }
    },
  };
}

/** Encoded as the signature encodes it, or a space in a value would be signed as %20 and sent as +. */
function queryString(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .join("&");
}
