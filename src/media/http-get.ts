/**
 * One HTTP GET to addresses that were checked before: nothing is resolved here, so a name that changes its mind
 * (DNS rebinding) changes nothing.
 *
 * No redirects, proxies, cookies, kept connections or compressed bodies. HTTP/1.1.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { isIPv6, type LookupFunction } from "node:net";

export interface GetOptions {
  readonly url: URL;
  /** At least one. Ignored when the URL's host is an address itself. */
  readonly addresses: readonly string[];
  /** Asked once more about the address that the connection has. */
  readonly permits: (address: string) => boolean;
  readonly signal: AbortSignal;
  /** CA certificates in PEM; undefined for Node's. */
  readonly ca: string | undefined;
}

const MAX_HEADER_BYTES = 16 * 1024;
/** So many addresses of a host are tried, and each so long while there are others. */
const MAX_ADDRESSES = 8;
const ATTEMPT_MS = 1_000;

/** Resolves with the response's head; its body has to be read or destroyed. Rejects with Node's own errors. */
export function httpGet({ url, addresses, permits, signal, ca }: GetOptions): Promise<IncomingMessage> {
  const options = {
    signal,
    lookup: fixedLookup(addresses),
    autoSelectFamilyAttemptTimeout: ATTEMPT_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
    headers: { accept: "image/*", "accept-encoding": "identity", "user-agent": "bedrock-gateway" },
  };
  // Agents of our own: Node's global ones may have been given a proxy by the environment.
  const request =
    url.protocol === "https:"
      ? httpsRequest(url, { ...options, agent: new HttpsAgent({ keepAlive: false }), ...(ca !== undefined && { ca }) })
      : httpRequest(url, { ...options, agent: new HttpAgent({ keepAlive: false }) });

  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  request.on("socket", (socket) => {
    socket.once("connect", () => {
      if (!permits(socket.remoteAddress ?? "")) request.destroy(new Error(`connected to ${socket.remoteAddress}`));
    });
  });
  request.on("response", resolve);
  request.on("error", reject);
  request.on("close", () => reject(new Error("the connection was closed without an answer")));
  request.end();
  return promise;
}

function fixedLookup(addresses: readonly string[]): LookupFunction {
  const entries = addresses.slice(0, MAX_ADDRESSES).map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));
  return (_host, options, callback) => {
    const [first] = entries;
    if (first === undefined) callback(new Error("no address"), "");
    else if (options.all === true) callback(null, entries);
    else callback(null, first.address, first.family);
  };
}
