/**
 * The judges of the simulator: AWS's own SDK, and raw calls signed by AWS's own signer.
 *
 * The SDK speaks HTTP/2 to Bedrock by default; the simulator speaks HTTP/1.1.
 */
import { Sha256 } from "@aws-crypto/sha256-js";
import { BedrockRuntimeClient, type ConverseStreamOutput } from "@aws-sdk/client-bedrock-runtime";
import { SignatureV4 } from "@aws-sdk/signature-v4";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { type Credentials, SIMULATOR_CREDENTIALS, type Simulator } from "../../src/simulator/simulator.ts";

export const MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
export const HELLO = [{ role: "user" as const, content: [{ text: "hello there" }] }];

export function sdkClient(simulator: Simulator, credentials: Credentials = SIMULATOR_CREDENTIALS) {
  return new BedrockRuntimeClient({
    region: "us-east-1",
    endpoint: simulator.url,
    credentials,
    requestHandler: new NodeHttpHandler(),
    maxAttempts: 1,
  });
}

export async function collect(stream: AsyncIterable<ConverseStreamOutput> | undefined) {
  const events: ConverseStreamOutput[] = [];
  for await (const event of stream ?? []) events.push(event);
  return events;
}

export function textOf(events: readonly ConverseStreamOutput[]): string {
  return events.map((event) => event.contentBlockDelta?.delta?.text ?? "").join("");
}

interface Call {
  readonly method?: string;
  readonly query?: Record<string, string>;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  readonly credentials?: Credentials;
  readonly region?: string;
  readonly service?: string;
  readonly signal?: AbortSignal;
}

/** Signs the call with AWS's signer and sends it with fetch. `path` is what goes on the request line. */
export async function signedFetch(simulator: Simulator, path: string, call: Call = {}): Promise<Response> {
  const { method = "GET", query = {}, headers = {}, body, signal } = call;
  const { hostname, port, host } = new URL(simulator.url);
  const signer = new SignatureV4({
    service: call.service ?? "bedrock",
    region: call.region ?? "us-east-1",
    credentials: call.credentials ?? SIMULATOR_CREDENTIALS,
    sha256: Sha256,
  });
  const request = {
    method,
    protocol: "http:",
    hostname,
    port: Number(port),
    path,
    query,
    headers: { host, ...headers },
  };
  const signed = await signer.sign(body === undefined ? request : { ...request, body });
  const search = new URLSearchParams(query).toString().replaceAll("+", "%20");
  const { host: _host, ...sent } = signed.headers;
  return fetch(`${simulator.url}${path}${search === "" ? "" : `?${search}`}`, {
    method,
    headers: sent,
    ...(body === undefined ? {} : { body }),
    ...(signal === undefined ? {} : { signal }),
  });
}
