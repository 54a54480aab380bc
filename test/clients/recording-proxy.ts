/**
 * Stands between a client and the gateway, and writes down what the client really sends.
 *
 * It is also the client's HTTP(S)_PROXY: what is meant for anybody but the gateway is refused, and the host noted. Bytes pass as
 * they come, in both directions, and so do broken connections.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import type { TestCertificate } from "../envoy/certificate.ts";

export interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  body: string;
  /** 0 until the answer has begun. */
  status: number;
  contentType: string;
  answer: string;
  /** The whole answer has passed. */
  complete: boolean;
}

export interface RecordingProxy extends AsyncDisposable {
  readonly url: string;
  /** The file of the certificate that it shows. */
  readonly ca: string | undefined;
  /** In the order of their arrival. */
  readonly exchanges: readonly Exchange[];
  /** Hosts besides the gateway that the client wanted to reach, and did not. */
  readonly refused: ReadonlySet<string>;
  /** Forgets what it has recorded. */
  reset(): void;
}

/** Server-sent events, or AWS's own. */
export function isEventStream(contentType: string): boolean {
  return /^(text\/event-stream|application\/vnd\.amazon\.eventstream)\b/.test(contentType);
}

/** With a certificate it speaks TLS to the client. */
export async function startRecordingProxy(gatewayUrl: string, certificate?: TestCertificate): Promise<RecordingProxy> {
  const gateway = new URL(gatewayUrl);
  const exchanges: Exchange[] = [];
  const refused = new Set<string>();
  const onRequest = (incoming: IncomingMessage, response: ServerResponse) => {
    if (!incoming.url?.startsWith("/")) {
      refused.add(new URL(incoming.url ?? "", "http://unknown").host);
      response.writeHead(403).end();
      return;
    }
    const exchange: Exchange = {
      method: incoming.method ?? "",
      path: incoming.url,
      headers: incoming.headers,
      body: "",
      status: 0,
      contentType: "",
      answer: "",
      complete: false,
    };
    exchanges.push(exchange);
    // A connection that breaks on one side is broken on the other by the pipelines; there is nobody else to tell.
    void forward(gateway, exchange, incoming, response).catch(() => response.destroy());
  };
  const server =
    certificate === undefined
      ? createServer(onRequest)
      : createTlsServer({ key: readFileSync(certificate.key), cert: readFileSync(certificate.cert) }, onRequest);
  server.on("connect", ({ url = "" }, socket) => {
    refused.add(url);
    socket.on("error", () => {});
    socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `${certificate === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    ca: certificate?.cert,
    exchanges,
    refused,
    reset() {
      exchanges.length = 0;
      refused.clear();
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function forward(
  gateway: URL,
  exchange: Exchange,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method, path, headers } = exchange;
  const outgoing = request({ host: gateway.hostname, port: gateway.port, method, path, headers });
  response.on("close", () => outgoing.destroy());
  const answered = once(outgoing, "response") as Promise<[IncomingMessage]>;
  answered.catch(() => {});
  await pipeline(
    incoming,
    noting((text) => (exchange.body += text)),
    outgoing,
  );
  const [answer] = await answered;
  exchange.status = answer.statusCode ?? 0;
  exchange.contentType = answer.headers["content-type"] ?? "";
  response.writeHead(exchange.status, answer.rawHeaders);
  // Headers at once: a stream may be silent at first.
  response.flushHeaders();
  await pipeline(
    answer,
    noting((text) => (exchange.answer += text)),
    response,
  );
  exchange.complete = true;
}

function noting(note: (text: string) => void) {
  return async function* (chunks: AsyncIterable<Buffer>) {
    const decoder = new TextDecoder();
    for await (const chunk of chunks) {
      note(decoder.decode(chunk, { stream: true }));
      yield chunk;
    }
  };
}
