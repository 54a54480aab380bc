/**
 * The service's own calls to Bedrock (the model catalog now), through Envoy's egress listener.
 *
 * The egress listener takes plain HTTP on a Unix socket or a loopback port and brings TLS, pooling and timeouts. Without
 * one (a mesh that has none) the call goes straight to Bedrock.
 */
import http from "node:http";
import https from "node:https";
import { GatewayError } from "../errors.ts";
import type { CredentialSource } from "./credentials.ts";
import type { Endpoint } from "./endpoints.ts";
import { bedrockHttpError } from "./errors.ts";
import { createSigner } from "./sign.ts";

/** `unix:/path` or `http://host:port`, parsed. */
export type Egress = { readonly socketPath: string } | { readonly host: string; readonly port: number };

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

/** The egress listener sends to a plain-HTTP endpoint where this header says so; it never leaves Envoy. */
const PLAINTEXT_HEADER = { "x-gateway-upstream": "plaintext" };

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
      const answer = await send({
        endpoint,
        egress,
        path: search === "" ? wirePath : `${wirePath}?${search}`,
        headers,
        timeoutMs,
      });
      if (answer.status !== 200) throw bedrockHttpError(answer.status, answer.header, answer.body);
      try {
        return JSON.parse(answer.body);
      } catch (cause) {
        throw new GatewayError("upstream_invalid_response", "Amazon Bedrock's answer is not JSON.", { cause });
      }
    },
  };
}

interface Outgoing {
  readonly endpoint: Endpoint;
  readonly egress: Egress | undefined;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly timeoutMs: number;
}

interface Answer {
  readonly status: number;
  readonly header: (name: string) => string | undefined;
  readonly body: string;
}

function send({ endpoint, egress, path, headers, timeoutMs }: Outgoing): Promise<Answer> {
  const direct = egress === undefined;
  const options = direct
    ? { ...hostAndPort(endpoint), path, headers }
    : { ...egress, path, headers: endpoint.tls ? headers : { ...headers, ...PLAINTEXT_HEADER } };
  const request = (direct && endpoint.tls ? https : http).request({
    ...options,
    signal: AbortSignal.timeout(timeoutMs),
  });
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) =>
      reject(new GatewayError("upstream_unavailable", "Amazon Bedrock can't be reached from the gateway.", { cause }));
    request.once("error", fail);
    request.once("response", (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_ANSWER_BYTES) response.destroy(new Error(`answer larger than ${MAX_ANSWER_BYTES} bytes`));
        else chunks.push(chunk);
      });
      response.once("error", fail);
      response.once("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          header: (name) => response.headers[name]?.toString(),
          body: Buffer.concat(chunks).toString("utf8"),
        }),
      );
    });
    request.end();
  });
}

function hostAndPort({ authority, tls }: Endpoint): { host: string; port: number } {
  const url = new URL(`${tls ? "https" : "http"}://${authority}`);
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port) || (tls ? 443 : 80) };
}

/** Encoded as the signature encodes it, or a space in a value would be signed as %20 and sent as +. */
function queryString(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .join("&");
}
