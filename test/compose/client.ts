/** The client of the proof: chat completions over a connection of its own each, so that none hides a restart. */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { TLSSocket } from "node:tls";

export interface Answer {
  readonly status: number;
  readonly body: string;
  /** The common name of the server's certificate, over TLS. */
  readonly servedName: string | undefined;
}

export interface Call {
  readonly port: number;
  readonly tls: boolean;
  readonly path: string;
  readonly key?: string;
  readonly body?: string;
  /** Called once, with the first bytes of the answer. */
  readonly onFirst?: () => void;
}

const MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0";

export function chatBody(stream: boolean): string {
  return JSON.stringify({ model: MODEL, messages: [{ role: "user", content: "Say hello." }], stream });
}

/** Rejects when the connection is refused or cut. */
export function call({ port, tls, path, key, body, onFirst }: Call): Promise<Answer> {
  const headers = {
    ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    ...(body === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
  };
  const options = { host: "127.0.0.1", port, path, method: body === undefined ? "GET" : "POST", headers, agent: false };
  return new Promise((resolve, reject) => {
    const open = tls ? httpsRequest({ ...options, rejectUnauthorized: false }) : httpRequest(options);
    open.on("error", reject);
    open.on("response", (response: IncomingMessage) => {
      const { socket } = response;
      const servedName = socket instanceof TLSSocket ? String(socket.getPeerCertificate().subject.CN) : undefined;
      let text = "";
      response.setEncoding("utf8");
      response.on("error", reject);
      response.on("data", (chunk: string) => {
        if (text === "") onFirst?.();
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text, servedName }));
    });
    open.end(body);
  });
}
