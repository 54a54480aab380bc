/**
 * A simulated Amazon Bedrock: one HTTP server that is runtime and control plane at once.
 *
 * It checks signatures, refuses what Bedrock refuses, answers believably without a script, and misbehaves on demand.
 * The demo, the tests and the benchmark run against it. It shares no code with the gateway's Bedrock side, so that a
 * misreading of AWS's formats can't be made once and pass twice. Left out: HTTP/2, InvokeModel for chat models other than Claude,
 * guardrails, models' own quirks.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Chunking, ScriptedAnswer } from "./answer.ts";
import type { CatalogModel } from "./catalog.ts";
import type { Operation, RecordedRequest } from "./recorder.ts";
import { SimulatedBedrock } from "./service.ts";
import type { Credentials } from "./signature.ts";

export { type Answer, fails, type ScriptedAnswer, type StreamStep, says } from "./answer.ts";
export type { RecordedRequest } from "./recorder.ts";
export { SIMULATOR_CREDENTIALS } from "./service.ts";
export type { Credentials } from "./signature.ts";

export interface SimulatorOptions {
  /** 0, the default, takes a free port. */
  readonly port?: number;
  /** 127.0.0.1 by default. */
  readonly host?: string;
  readonly tls?: { readonly key: string | Buffer; readonly cert: string | Buffer };
  /** What signatures are checked against; SIMULATOR_CREDENTIALS by default. */
  readonly credentials?: Credentials | readonly Credentials[];
  /** Bedrock API keys that are accepted as `Authorization: Bearer`. */
  readonly bearerTokens?: readonly string[];
  /** The regions that a signature may name; us-east-1 by default. The catalog follows the region of the request. */
  readonly region?: string | readonly string[];
  /** false answers without looking at signatures. */
  readonly verify?: boolean;
  /** A validator of request bodies: the text it returns becomes a ValidationException. */
  readonly judge?: (operation: Operation, body: unknown) => string | undefined;
  /** One line for each exchange. */
  readonly log?: (line: string) => void;
  /** Milliseconds between the events of an unscripted stream; without it they leave in one write. */
  readonly pace?: number;
  /** How the bytes of an unscripted stream are cut. */
  readonly chunking?: Chunking;
  /** For benchmarks: an unscripted text streams as exactly so many deltas of one word. */
  readonly deltas?: number;
  readonly models?: readonly CatalogModel[];
  /** How many requests are kept in `requests`; 1,000 by default. */
  readonly recordLimit?: number;
  /** Milliseconds since the epoch, for the age of signatures. */
  readonly now?: () => number;
}

export interface CatalogFailure {
  /** 500 by default. With `delay` alone the answer is late but right. */
  readonly status?: number;
  readonly type?: string;
  readonly message?: string;
  /** Milliseconds before the answer. */
  readonly delay?: number;
  /** How many control-plane calls it hits; all by default. */
  readonly times?: number;
}

export interface Simulator {
  /** `http://127.0.0.1:PORT`, for AWS_ENDPOINT_URL_BEDROCK_RUNTIME and AWS_ENDPOINT_URL_BEDROCK. */
  readonly url: string;
  readonly port: number;
  /** Newest last. */
  readonly requests: readonly RecordedRequest[];
  /** The oldest recorded request that passes `test`, now or within `timeoutMs` (5,000). */
  waitFor(test: (request: RecordedRequest) => boolean, timeoutMs?: number): Promise<RecordedRequest>;
  /** Queues answers for the next chat calls of any model. */
  script(answers: ScriptedAnswer | readonly ScriptedAnswer[]): void;
  /** Queues answers for the next calls of one model, InvokeModel and CountTokens included; they come first. */
  scriptModel(modelId: string, answers: ScriptedAnswer | readonly ScriptedAnswer[]): void;
  /** Drops all queued answers and the catalog's failure. */
  reset(): void;
  /** Makes control-plane calls fail or wait; without an argument they work again. */
  failCatalog(failure?: CatalogFailure): void;
  /** From now on signatures are checked against these. */
  setCredentials(credentials: Credentials | readonly Credentials[]): void;
  /** Ends every connection; safe to call twice. */
  close(): Promise<void>;
}

/** Envoy keeps idle upstream connections for an hour; a server that closes earlier races with its next request. */
const KEEP_ALIVE_MS = 2 * 60 * 60_000;

export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const bedrock = new SimulatedBedrock(options);
  const onRequest = (request: IncomingMessage, response: ServerResponse) => void bedrock.handle(request, response);
  const settings = { keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0, noDelay: true };
  const server = options.tls
    ? createTlsServer({ ...settings, key: options.tls.key, cert: options.tls.cert }, onRequest)
    : createServer(settings, onRequest);
  server.on("clientError", (_error, socket) => socket.destroy());
  const host = options.host ?? "127.0.0.1";
  const port = await listen(server, options.port ?? 0, host);
  return {
    url: `${options.tls ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`,
    port,
    requests: bedrock.recorder.requests,
    waitFor: (test, timeoutMs = 5_000) => bedrock.recorder.waitFor(test, timeoutMs),
    script: (answers) => bedrock.script.push(answers),
    scriptModel: (modelId, answers) => bedrock.scriptModel(modelId, answers),
    reset: () => bedrock.reset(),
    failCatalog: (failure) => bedrock.failCatalog(failure),
    setCredentials: (credentials) => bedrock.setCredentials(credentials),
    close: () => close(server),
  };
}

function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
