/**
 * The service's own way to Bedrock: Envoy's egress listener, plain HTTP on a Unix socket or a loopback port.
 *
 * The listener brings TLS, pooling and timeouts. Without one (a mesh that has none) a call goes straight to Bedrock.
 */
import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import type { Readable } from "node:stream";
import { GatewayError } from "../errors.ts";
import type { Endpoint } from "./endpoints.ts";

/** `unix:/path` or `http://host:port`, parsed. */
export type Egress = { readonly socketPath: string } | { readonly host: string; readonly port: number };

export interface OutgoingRequest {
  readonly endpoint: Pick<Endpoint, "authority" | "tls">;
  readonly method: "GET" | "POST";
  /** With its query. */
  readonly path: string;
  /** Signed; `host` included. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly signal: AbortSignal;
}

export interface IncomingAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** Pieces as they come. Destroy it to give up. */
  readonly body: Readable;
}

/** The egress listener sends to a plain-HTTP endpoint where this header says so; it never leaves Envoy. */
const PLAINTEXT_HEADER = { "x-gateway-upstream": "plaintext" };

/** Resolves with the answer's headers. Throws GatewayError `upstream_unavailable` when there is none. */
export function sendThrough(egress: Egress | undefined, request: OutgoingRequest): Promise<IncomingAnswer> {
  const { endpoint, method, path, headers, body, signal } = request;
  const direct = egress === undefined;
  const options = direct
    ? { ...hostAndPort(endpoint), headers }
    : { ...egress, headers: endpoint.tls ? headers : { ...headers, ...PLAINTEXT_HEADER } };
  const outgoing = (direct && endpoint.tls ? https : http).request({ ...options, method, path, signal });
  return new Promise((resolve, reject) => {
    outgoing.once("error", (cause) => {
      reject(new GatewayError("upstream_unavailable", "Amazon Bedrock can't be reached from the gateway.", { cause }));
    });
    outgoing.once("response", (response) => {
      resolve({ status: response.statusCode ?? 0, headers: headersOf(response), body: response });
    });
    outgoing.end(body);
  });
}

/** Reads a body to its end. Throws GatewayError when it breaks, or is longer than `limit` bytes. */
export async function readBody(body: AsyncIterable<Buffer>, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of body) {
      size += chunk.length;
      if (size > limit) throw new Error(`longer than ${limit} bytes`);
      chunks.push(chunk);
    }
  } catch (cause) {
    throw new GatewayError("upstream_unavailable", "Amazon Bedrock's answer did not arrive whole.", { cause });
  }
  return Buffer.concat(chunks, size).toString("utf8");
}

function headersOf(response: IncomingMessage): ReadonlyMap<string, string> {
  return new Map(Object.entries(response.headers).map(([name, value]) => [name, String(value)]));
}

function hostAndPort({ authority, tls }: Pick<Endpoint, "authority" | "tls">): { host: string; port: number } {
  const url = new URL(`${tls ? "https" : "http"}://${authority}`);
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port) || (tls ? 443 : 80) };
}
