/**
 * Fetching an image that a client names by its http(s) URL.
 *
 * The gateway stands where the client does not, so a URL is a way to make it ask private services (server-side request
 * forgery, https://owasp.org/www-community/attacks/Server_Side_Request_Forgery). Therefore: off unless the operator turns
 * it on; public addresses alone, each one checked, and connections only to what was checked; redirects followed here, the
 * whole check again for each; size, time and the number of fetches at once are limited; what comes back must be an
 * image by its first bytes. No message tells a refused address from one where nobody answers; `cause` does, for the log.
 */
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import type { ImageBlock } from "../bedrock/converse.ts";
import { imageFormat } from "../bedrock/media.ts";
import { GatewayError } from "../errors.ts";
import { isPublicAddress } from "./address-guard.ts";
import { ANY_HOST, hostOf, parseHostRule, portOf } from "./host-rules.ts";
import { httpGet } from "./http-get.ts";
import { resolveHost } from "./resolve-host.ts";
import { createSlots } from "./slots.ts";

export interface ImageFetcherOptions {
  readonly enabled: boolean;
  /** Host rules (host-rules.ts); empty for every public host. */
  readonly allow: readonly string[];
  readonly maxBytes: number;
  /** For all of it: waiting for a place, redirects, the body. */
  readonly timeoutMs: number;
  /** Fetches at once; more wait. */
  readonly concurrency?: number;
  /** Addresses of a host; DNS by default. */
  readonly lookup?: (host: string, signal: AbortSignal) => Promise<readonly string[]>;
  /** Which addresses may be connected to; public ones by default. */
  readonly permits?: (address: string) => boolean;
  /** CA certificates in PEM; Node's by default. */
  readonly ca?: string;
}

export interface FetchedImage {
  readonly format: ImageBlock["format"];
  /** Base64. */
  readonly bytes: string;
}

/**
 * `param` is the field that holds the URL. Rejects with GatewayError: `invalid_request`, or `unavailable` when too many
 * fetches are under way.
 */
export type ImageFetcher = (url: string, param: string, signal?: AbortSignal) => Promise<FetchedImage>;

const CONCURRENCY = 8;
const MAX_WAITING = 200;
const MAX_REDIRECTS = 3;
const MAX_URL_LENGTH = 8_192;
/** What imageFormat looks at. */
const MAGIC_BYTES = 16;
/** Each costs microseconds however small it is: 5 MiB in chunks of one byte took 10 s of CPU (measured). */
const MAX_PIECES = 65_536;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

const REMEDY = 'send the image itself as "data:image/png;base64,..."';
const UNREACHABLE = `could not be fetched, no public server answers there: ${REMEDY}`;

type Fail = (problem: string, cause?: unknown) => GatewayError;

export function createImageFetcher(options: ImageFetcherOptions): ImageFetcher {
  const { enabled, maxBytes, timeoutMs, lookup = resolveHost, permits = isPublicAddress, ca } = options;
  const rules = options.allow.length === 0 ? [ANY_HOST] : options.allow.map(parseHostRule);
  const slots = createSlots({ places: options.concurrency ?? CONCURRENCY, line: MAX_WAITING });

  /** The image, or where the server sends us for it. */
  async function fetchOnce(url: URL, signal: AbortSignal, fail: Fail): Promise<FetchedImage | URL> {
    const addresses = await checkedAddresses(url, signal);
    const response = await httpGet({ url, addresses, permits, signal, ca });
    try {
      if (REDIRECTS.has(response.statusCode ?? 0)) return redirectTarget(response, url, fail);
      return await readImage(response, maxBytes, fail);
    } finally {
      response.destroy();
    }
  }

  /** Every address of the host, when the gateway may connect to every one. */
  async function checkedAddresses(url: URL, signal: AbortSignal): Promise<readonly string[]> {
    const host = hostOf(url).replace(/^\[|\]$/g, "");
    if (isLocalName(host)) throw new Error(`${host} is a name of a private network`);
    const addresses = isIP(host) === 0 ? await unlessAborted(lookup(host, signal), signal) : [host];
    const refused = addresses.find((address) => !permits(address));
    if (refused !== undefined) throw new Error(`${host} has the address ${refused}, which is not a public one`);
    if (addresses.length === 0) throw new Error(`${host} has no address`);
    return addresses;
  }

  function assertAllowed(url: URL, fail: Fail): void {
    const host = hostOf(url);
    if (rules.some((rule) => rule.allows(host, portOf(url)))) return;
    if (options.allow.length === 0) throw fail(`must use port 80 or 443: ${REMEDY}`);
    throw fail(`names a server that this gateway fetches no images from: ${REMEDY}`);
  }

  async function follow(start: URL, signal: AbortSignal, fail: Fail): Promise<FetchedImage> {
    let url = start;
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
      const result = await fetchOnce(url, signal, fail);
      if (!(result instanceof URL)) return result;
      assertAllowed(result, () => fail(`leads to a server that this gateway fetches no images from: ${REMEDY}`));
      url = result;
    }
    throw fail(`leads through more than ${MAX_REDIRECTS} redirects: ${REMEDY}`);
  }

  return async (text, param, signal) => {
    const fail: Fail = (problem, cause) =>
      new GatewayError("invalid_request", `${param} ${problem}.`, { param, ...(cause !== undefined && { cause }) });
    if (!enabled) {
      throw fail(`is a link, and this gateway fetches none: ${REMEDY}, or ask its operator to enable images.fetch`);
    }
    const url = parseUrl(text, fail);
    assertAllowed(url, fail);

    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(new Error(`took longer than ${timeoutMs} ms`)), timeoutMs);
    const abort = () => stop.abort(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
    try {
      const release = await slots.take(stop.signal).catch((cause: unknown) => {
        throw new GatewayError("unavailable", "The gateway is fetching too many images. Try again in a moment.", {
          cause,
        });
      });
      try {
        return await follow(url, stop.signal, fail);
      } finally {
        release();
      }
    } catch (error) {
      throw error instanceof GatewayError ? error : fail(UNREACHABLE, error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  };
}

function parseUrl(text: string, fail: Fail): URL {
  const url = text.length <= MAX_URL_LENGTH && URL.canParse(text) ? new URL(text) : undefined;
  const problem = url === undefined ? `must be a URL of at most ${MAX_URL_LENGTH} characters` : urlProblem(url);
  if (url === undefined || problem !== undefined) throw fail(`${problem}: ${REMEDY}`);
  return withoutFinalDot(url);
}

/** What is wrong with a URL by itself. */
function urlProblem(url: URL): string | undefined {
  if (url.protocol !== "http:" && url.protocol !== "https:") return "must be an http or https URL";
  if (url.username !== "" || url.password !== "") return "must not hold a user name or a password";
  return hostOf(url) === "" ? "must name a host" : undefined;
}

/** TLS names no host with a dot at its end, and rules and lookups must see what the connection sees. */
function withoutFinalDot(url: URL): URL {
  const same = new URL(url);
  same.hostname = hostOf(url);
  return same;
}

/** Names that can only mean this machine or its private network (RFC 6761, 6762, 8375, 9476), and single words. */
function isLocalName(host: string): boolean {
  if (isIP(host) !== 0) return false;
  return !host.includes(".") || /\.(localhost|local|internal|home\.arpa|onion|alt)$/i.test(host);
}

function redirectTarget(response: IncomingMessage, from: URL, fail: Fail): URL {
  const location = response.headers.location ?? "";
  const refuse = () => fail(`leads to a URL that this gateway does not fetch: ${REMEDY}`);
  if (location === "" || location.length > MAX_URL_LENGTH || !URL.canParse(location, from.href)) throw refuse();
  const url = new URL(location, from.href);
  const downgrade = from.protocol === "https:" && url.protocol !== "https:";
  if (downgrade || urlProblem(url) !== undefined) throw refuse();
  return withoutFinalDot(url);
}

async function readImage(response: IncomingMessage, maxBytes: number, fail: Fail): Promise<FetchedImage> {
  if (response.statusCode !== 200) {
    throw fail(`was answered with status ${response.statusCode} by its server: ${REMEDY}`);
  }
  const encoding = response.headers["content-encoding"]?.trim().toLowerCase() ?? "";
  if (encoding !== "" && encoding !== "identity") throw fail(`is sent compressed by its server: ${REMEDY}`);
  const tooLarge = `is larger than the ${maxBytes} bytes that this gateway fetches: send a smaller image`;
  if (Number(response.headers["content-length"] ?? 0) > maxBytes) throw fail(tooLarge);

  const body = growingBuffer(maxBytes);
  let pieces = 0;
  let format: ImageBlock["format"] | undefined;
  try {
    for await (const piece of bytesOf(response)) {
      pieces += 1;
      if (pieces > MAX_PIECES) throw fail(`is sent in too small pieces by its server: ${REMEDY}`);
      if (!body.append(piece)) throw fail(tooLarge);
      // Nothing but an image is worth waiting for.
      if (format === undefined && body.bytes().length >= MAGIC_BYTES) format = requireFormat(body.bytes(), fail);
    }
  } catch (error) {
    throw error instanceof GatewayError ? error : fail(`was not sent completely or in time: ${REMEDY}`, error);
  }
  return { format: format ?? requireFormat(body.bytes(), fail), bytes: body.bytes().toString("base64") };
}

function requireFormat(bytes: Buffer, fail: Fail): ImageBlock["format"] {
  const format = imageFormat({ mediaType: "", bytes: bytes.subarray(0, MAGIC_BYTES * 2).toString("base64") });
  if (format === undefined) throw fail("must lead to a PNG, JPEG, GIF or WebP image");
  return format;
}

/** Copies what it gets: a list of pieces would keep the network's buffer, 64 KiB, for a piece of one byte. */
function growingBuffer(limit: number) {
  let buffer = Buffer.allocUnsafe(Math.min(limit, 64 * 1024));
  let size = 0;
  return {
    bytes: () => buffer.subarray(0, size),
    /** False, and nothing is appended, when it would be more than the limit. */
    append(piece: Buffer): boolean {
      const end = size + piece.length;
      if (end > limit) return false;
      if (end > buffer.length) {
        const larger = Buffer.allocUnsafe(Math.min(limit, Math.max(end, buffer.length * 2)));
        buffer.copy(larger, 0, 0, size);
        buffer = larger;
      }
      piece.copy(buffer, size);
      size = end;
      return true;
    },
  };
}

async function* bytesOf(response: IncomingMessage): AsyncGenerator<Buffer> {
  for await (const piece of response) {
    if (!Buffer.isBuffer(piece)) throw new Error("the body was decoded as text");
    yield piece;
  }
}

/** For a lookup that does not heed the signal. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const abort = () => reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  return promise;
}
