/** Real servers on loopback, and a fetcher whose only exception from the public Internet is their address. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { TestContext } from "node:test";
import { GatewayError } from "../../src/errors.ts";
import { isPublicAddress } from "../../src/media/address-guard.ts";
import { createImageFetcher, type ImageFetcher, type ImageFetcherOptions } from "../../src/media/fetch-image.ts";

export const PARAM = "messages[0].content[1].image_url.url";
export const SERVER_ADDRESS = "127.0.0.1";

/** A whole PNG of one pixel. */
export const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
  "base64",
);

export interface ImageServer {
  readonly port: number;
  readonly requests: IncomingMessage[];
}

export async function startServer(
  t: TestContext,
  handler: RequestListener,
  tls?: { cert: string; key: string },
): Promise<ImageServer> {
  const requests: IncomingMessage[] = [];
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    requests.push(request);
    handler(request, response);
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  await new Promise<void>((resolve) => server.listen(0, SERVER_ADDRESS, resolve));
  t.after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return { port: address.port, requests };
}

export function sendPng(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { "content-type": "image/png" }).end(PNG);
}

/** Knows `*.test` as the server's address, and may connect there; everything else as in production. */
export function testFetcher(ports: readonly number[], options: Partial<ImageFetcherOptions> = {}): ImageFetcher {
  return createImageFetcher({
    enabled: true,
    allow: ports.flatMap((port) => [`*.test:${port}`, `127.0.0.1:${port}`, `127.0.0.2:${port}`]),
    maxBytes: 1024 * 1024,
    timeoutMs: 5_000,
    lookup: async () => [SERVER_ADDRESS],
    permits: (address) => address === SERVER_ADDRESS || isPublicAddress(address),
    ...options,
  });
}

export const UNREACHABLE = `${PARAM} could not be fetched, no public server answers there: send the image itself as "data:image/png;base64,...".`;

/** Awaits the client's error and checks what every one of them keeps: the code, the param, and no address in the text. */
export async function refused(fetching: Promise<unknown>, message: string | RegExp, cause?: RegExp): Promise<void> {
  const error = await fetching.then(
    () => assert.fail("it was fetched"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof GatewayError, String(error));
  assert.equal(error.code, "invalid_request", error.message);
  assert.equal(error.param, PARAM);
  assert.ok(error.message.startsWith(`${PARAM} `), error.message);
  assert.doesNotMatch(error.message, /\d+\.\d+\.\d+\.\d+|::/);
  if (typeof message === "string") assert.equal(error.message, message);
  else assert.match(error.message, message);
  if (cause !== undefined) assert.match(String(error.cause), cause);
}
