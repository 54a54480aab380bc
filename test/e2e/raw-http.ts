/** HTTP by node:http and node:http2: what fetch will not send, or hides. */
import { type IncomingHttpHeaders, type IncomingMessage, type RequestOptions, request } from "node:http";
import { connect, constants, type SecureClientSessionOptions } from "node:http2";
import { request as tlsRequest } from "node:https";

export interface RawReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface RawOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Sends the body in chunks of this size, without a content-length. */
  readonly chunkSize?: number;
  readonly ca?: string;
  /** Hears `100 Continue`; the body waits for it. */
  readonly onContinue?: () => void;
}

/** One request on a connection of its own. Resolves with the first whole answer, even when it comes before the body is sent. */
export function rawRequest(url: string, options: RawOptions = {}): Promise<RawReply> {
  const { method = "GET", headers = {}, body, chunkSize, ca, onContinue } = options;
  const settings: RequestOptions = { method, headers, agent: false };
  const call = url.startsWith("https:") ? tlsRequest(url, { ...settings, ca }) : request(url, settings);
  return new Promise((resolve, reject) => {
    let answered = false;
    call.once("response", (response) => {
      answered = true;
      readAll(response).then(resolve, reject);
    });
    // The server may answer and close while the body is still on its way.
    call.on("error", (error) => {
      if (!answered) reject(error);
    });
    if (onContinue === undefined) return sendBody();
    call.once("continue", () => {
      onContinue();
      sendBody();
    });
    call.flushHeaders();

    function sendBody(): void {
      if (chunkSize === undefined || body === undefined) {
        call.end(body);
        return;
      }
      const bytes = Buffer.from(body);
      for (let start = 0; start < bytes.length; start += chunkSize)
        call.write(bytes.subarray(start, start + chunkSize));
      call.end();
    }
  });
}

async function readAll(response: IncomingMessage): Promise<RawReply> {
  const chunks: Buffer[] = await response.toArray();
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(chunks).toString("utf8"),
  };
}

export interface Http2Client extends Disposable {
  request(headers: Readonly<Record<string, string>>, body?: string): Promise<RawReply>;
}

/** One HTTP/2 connection: by prior knowledge to http URLs, by ALPN to https ones. */
export function http2Client(url: string, options: SecureClientSessionOptions = {}): Http2Client {
  const session = connect(url, options);
  const broken = new Promise<never>((_, reject) => session.once("error", reject));
  broken.catch(() => {});
  return {
    request: (headers, body) =>
      Promise.race([
        broken,
        new Promise<RawReply>((resolve, reject) => {
          const stream = session.request(headers, { endStream: body === undefined });
          stream.once("error", reject);
          stream.once("response", (received) => {
            const status = Number(received[constants.HTTP2_HEADER_STATUS]);
            stream.toArray().then((chunks: Buffer[]) => {
              resolve({ status, headers: received, body: Buffer.concat(chunks).toString("utf8") });
            }, reject);
          });
          if (body !== undefined) stream.end(body);
        }),
      ]),
    [Symbol.dispose]: () => session.destroy(),
  };
}
