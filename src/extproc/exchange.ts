/**
 * One HTTP exchange, from the client's headers to the last byte of its answer.
 *
 * Theory of operation. Envoy reports an exchange as a sequence of events, and each is answered before the next one is
 * looked at. A request goes through four phases:
 *
 *   request_headers   Who asks for what? Path, key and requests per minute cost no body: refused here, nothing is read.
 *   request_body      The whole body. Decoded to Converse, signed, written to the ledger, then forwarded.
 *   response_headers  Envoy has Bedrock's status (after its own retries). Nothing is sent to the client yet.
 *   response_body     Pieces of the answer. A stream is committed to the client with its first decoded event, or after
 *                     15 s of silence; a whole answer or an error when it is complete.
 *   done              Everything has been said. What Envoy still reports is not answered.
 *
 * Until the answer is committed any failure can become an HTTP status, by an immediate response. After that it becomes
 * an error event and the end of the stream, never a finish. The table PHASES says which events a phase takes; any other
 * one fails loudly before anything has changed. Envoy's own replies (413 while a body is read, 503 when Bedrock can't be
 * reached) arrive as response headers that carry a marker.
 */

import { setImmediate } from "node:timers/promises";
import { assertModelAllowed, isModelAllowed } from "../access/allowed-models.ts";
import type { Authenticator } from "../access/authenticate.ts";
import { credentialFrom } from "../access/credential.ts";
import type { RequestLimiter } from "../access/request-limits.ts";
import type { ConverseCalls } from "../bedrock/converse-call.ts";
import { converseEvents } from "../bedrock/converse-events.ts";
import { converseResponse } from "../bedrock/converse-response.ts";
import { bedrockHttpError } from "../bedrock/errors.ts";
import { frames } from "../bedrock/event-stream.ts";
import type { Conversation, Dialect, SseEvent } from "../dialects/dialect.ts";
import { encodeEvent, KEEP_ALIVE, sse } from "../dialects/sse.ts";
import { GatewayError, toGatewayError } from "../errors.ts";
import { parseJson, stringifyJson } from "../json.ts";
import type { Catalog } from "../models/catalog.ts";
import { assertModelId } from "../models/model-id.ts";
import type { Key } from "../store/store.ts";
import { chain, type Transform } from "../transform.ts";
import type { CallRecord, CallRecorder } from "../usage/call-record.ts";
import {
  type Answer,
  emptyAnswer,
  errorAnswer,
  jsonAnswer,
  localReplyError,
  modelList,
  modelObject,
} from "./answers.ts";
import {
  corsHeaders,
  headersToHide,
  headersToRemove,
  JSON_HEADERS,
  LOCAL_REPLY_HEADER,
  preflightHeaders,
  SSE_HEADERS,
} from "./headers.ts";
import { dialectOf, findRoute } from "./routes.ts";
import type { Exchange } from "./server.ts";
import type { EnvoyEvent, Headers, Metadata, Reply } from "./wire.ts";

export interface ExchangeServices {
  readonly dialects: readonly Dialect[];
  readonly authenticator: Authenticator;
  readonly limiter: RequestLimiter;
  readonly catalog: Catalog;
  readonly calls: ConverseCalls;
  readonly recorder: CallRecorder;
  readonly now: () => number;
  /** False while the service drains and another replica should have taken over: new requests are refused. */
  readonly accepting: () => boolean;
  /** One line for each request that was answered without being forwarded, because something is wrong with it. */
  readonly onRefused: (line: Record<string, unknown>) => void;
  /** A failure that its client is told about as an internal error only. */
  readonly onFault: (error: unknown, requestId: string) => void;
}

type Phase = "request_headers" | "request_body" | "response_headers" | "response_body" | "done";
type EventType = EnvoyEvent["type"];

/** The events that each phase takes. `done` takes and ignores all. */
export const PHASES: Readonly<Record<Phase, readonly EventType[]>> = {
  request_headers: ["request_headers"],
  request_body: ["request_body", "request_trailers", "response_headers"],
  response_headers: ["response_headers"],
  response_body: ["response_body", "response_trailers"],
  done: [
    "request_headers",
    "request_body",
    "request_trailers",
    "response_headers",
    "response_body",
    "response_trailers",
  ],
};

/** A stream that says nothing for this long is committed, and gets a comment each time that long passes again. */
const KEEP_ALIVE_MS = 15_000;

/** Reading a body of 20 MB and writing it anew each take about 80 ms; others get a turn in between. */
const LARGE_BODY_BYTES = 1024 * 1024;

/** An error's text, or a whole answer: far above what a model writes, far below what hurts. */
const MAX_ERROR_BYTES = 1024 * 1024;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** Envoy's response flags for a connection that ended, was reset or timed out after the request had been sent on it. */
const SENT_UPSTREAM = /\b(UC|UR|UT|SI|UPE)\b/;

const NO_BYTES = Buffer.alloc(0);
const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

/** Reads the response body in one of three ways, chosen by the response's headers. */
interface BodyReader {
  push(bytes: Buffer): void | Promise<void>;
  /** The body is complete. */
  end(): void | Promise<void>;
}

/** What there is once a request has been forwarded. */
interface Forwarded {
  readonly conversation: Conversation;
  readonly record: CallRecord;
  reader: BodyReader;
}

const NO_READER: BodyReader = { push() {}, end() {} };

export function createExchange(services: ExchangeServices, send: (reply: Reply) => void): Exchange {
  return new HttpExchange(services, send);
}

class HttpExchange implements Exchange {
  readonly #services: ExchangeServices;
  readonly #send: (reply: Reply) => void;
  #phase: Phase = "request_headers";
  #closed = false;
  /** Response headers have gone to the client. */
  #committed = false;
  /** The first of Bedrock's body has come. */
  #bodyBegun = false;

  // Known from the phase on that its name says.
  #request: Headers = new Map();
  #requestId = "";
  #dialect: Dialect | undefined;
  #key: Key | undefined;
  #answerHeaders: Record<string, string> = {};
  #call: Forwarded | undefined;
  #response: Headers = new Map();
  #keepAlive: NodeJS.Timeout | undefined;

  constructor(services: ExchangeServices, send: (reply: Reply) => void) {
    this.#services = services;
    this.#send = (reply) => {
      if (!this.#closed) send(reply);
    };
  }

  receive(event: EnvoyEvent): void | Promise<void> {
    if (!PHASES[this.#phase].includes(event.type)) {
      throw new Error(`Envoy sent ${event.type} in phase ${this.#phase}`);
    }
    if (this.#phase === "done") return;
    try {
      const work = this.#handle(event);
      return work?.catch((error: unknown) => this.#fail(error));
    } catch (error) {
      return this.#fail(error);
    }
  }

  /** The client is gone, Bedrock's connection broke, or all is well and over: Envoy does not say which. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#keepAlive);
    if (this.#phase !== "done") {
      this.#phase = "done";
      void this.#call?.record.interrupted(this.#committed ? 200 : 499);
    }
  }

  #handle(event: EnvoyEvent): void | Promise<void> {
    switch (event.type) {
      case "request_headers":
        return this.#onRequestHeaders(event.headers, event.endOfStream);
      case "request_body":
        return this.#onRequestBody(event.body);
      case "request_trailers":
        return this.#send({ type: "pass", event: event.type });
      case "response_headers":
        return this.#onResponseHeaders(event.headers, event.endOfStream);
      case "response_body":
        return this.#onResponseBody(event.body, event.endOfStream);
      case "response_trailers":
        return this.#forwarded().reader.end();
    }
  }

  async #onRequestHeaders(headers: Headers, endOfStream: boolean): Promise<void> {
    const target = headers.get(":path") ?? "/";
    this.#request = headers;
    this.#requestId = headers.get("x-request-id") ?? crypto.randomUUID();
    this.#answerHeaders = corsHeaders(headers);
    this.#dialect = dialectOf(target, this.#services.dialects);

    if (!this.#services.accepting()) {
      throw new GatewayError("unavailable", "The gateway is restarting. Try again in a moment.", { retryAfter: 1 });
    }
    const route = findRoute(headers.get(":method") ?? "", target, this.#services.dialects);
    switch (route.kind) {
      case "preflight":
        return this.#respond(emptyAnswer(204, preflightHeaders(headers)));
      case "root":
        return this.#respond(jsonAnswer(200, { name: "Bedrock Gateway", api: "/v1", health: "/healthz" }));
      case "health":
        return this.#respond(jsonAnswer(200, { status: "ok" }));
      case "models":
      case "model":
        return this.#respond(
          await this.#models(await this.#authenticate(), route.kind === "model" ? route.id : undefined),
        );
      case "call": {
        const key = await this.#authenticate();
        const allowance = await this.#services.limiter.take(key);
        Object.assign(this.#answerHeaders, allowance.headers);
        if (endOfStream)
          throw new GatewayError("invalid_request", "The request has no body; it must be a JSON object.");
        if (headers.has("content-encoding")) {
          throw new GatewayError(
            "invalid_request",
            "A compressed request body is not supported; send it without content-encoding.",
          );
        }
        this.#phase = "request_body";
        return this.#send({ type: "pass", event: "request_headers" });
      }
    }
  }

  async #onRequestBody(body: Buffer): Promise<void> {
    const { dialect, key } = this.#admitted();
    const { now, calls, catalog, recorder } = this.#services;
    const startedAt = now();
    const conversation = dialect.decode(parseBody(body), {
      id: this.#requestId.replaceAll("-", ""),
      created: Math.floor(startedAt / 1000),
    });
    assertModelId(conversation.model);
    assertModelAllowed(key, conversation.model);
    refuseUnfinished(conversation);

    const modelId = conversation.model;
    if (body.length > LARGE_BODY_BYTES) await othersTurn();
    const [signed, foundationModel] = await Promise.all([
      calls.prepare({ modelId, stream: conversation.stream, request: conversation.request }),
      catalog.foundationModel(modelId),
    ]);
    if (this.#closed) return;
    const record = await recorder.open({
      id: this.#requestId,
      key,
      dialect: dialect.name,
      modelRequested: conversation.model,
      modelInvoked: modelId,
      foundationModel,
      request: conversation.request,
      stream: conversation.stream,
      startedAt,
    });
    // The client may have gone while the row was written: nothing will be forwarded.
    if (this.#closed) return record.abandoned();
    this.#call = { conversation, record, reader: NO_READER };
    if (conversation.warnings.length > 0)
      this.#answerHeaders["x-gateway-warning"] = headerText(conversation.warnings.join("; "));

    this.#phase = "response_headers";
    this.#send({
      type: "forward",
      setHeaders: {
        ":path": signed.path,
        ":authority": signed.authority,
        ...signed.headers,
        "content-length": String(signed.body.length),
      },
      removeHeaders: headersToRemove(this.#request).filter((name) => !Object.hasOwn(signed.headers, name)),
      body: signed.body,
      metadata: {
        route: signed.route,
        key_id: key.id,
        dialect: dialect.name,
        model: modelId,
        stream: conversation.stream,
      },
    });
  }

  #onResponseHeaders(headers: Headers, endOfStream: boolean): void | Promise<void> {
    const status = Number(headers.get(":status"));
    this.#response = headers;
    const flags = headers.get(LOCAL_REPLY_HEADER);
    if (flags !== undefined) return this.#onLocalReply(status, flags);

    const call = this.#forwarded();
    call.record.answered(status, headers.get("x-amzn-requestid"));
    call.reader = this.#chooseReader(call, status, headers.get("content-type") ?? "");
    this.#phase = "response_body";
    return endOfStream ? call.reader.end() : undefined;
  }

  /** Envoy answers for Bedrock, which may have had the request before its connection broke. */
  #onLocalReply(status: number, flags: string): Promise<void> {
    if (SENT_UPSTREAM.test(flags)) this.#call?.record.lost();
    return this.#fail(localReplyError(status, flags));
  }

  async #readLast(reader: BodyReader, bytes: Buffer): Promise<void> {
    await reader.push(bytes);
    if (this.#phase === "response_body") await reader.end();
  }

  #onResponseBody(bytes: Buffer, endOfStream: boolean): void | Promise<void> {
    this.#bodyBegun = true;
    const { reader } = this.#forwarded();
    return endOfStream ? this.#readLast(reader, bytes) : reader.push(bytes);
  }

  #chooseReader({ conversation, record }: Forwarded, status: number, contentType: string): BodyReader {
    const streamed = contentType.startsWith("application/vnd.amazon.eventstream");
    if (status === 200 && streamed && conversation.stream) return this.#streamReader(conversation, record);
    if (status === 200 && !streamed && !conversation.stream) {
      return collect(MAX_ANSWER_BYTES, (body) => this.#answerWhole(conversation, record, body));
    }
    return collect(MAX_ERROR_BYTES, (body) => {
      throw bedrockHttpError(status, (name) => this.#response.get(name), body);
    });
  }

  async #answerWhole(conversation: Conversation, record: CallRecord, body: string): Promise<void> {
    const response = converseResponse(parseAnswer(body, (name) => this.#response.get(name)));
    record.meter.read(response);
    const answer = Buffer.from(stringifyJson(conversation.reply([response])), "utf8");
    await record.completed(200);
    this.#commit({ ...JSON_HEADERS, "content-length": String(answer.length) });
    this.#finish(answer, record.metadata());
  }

  #streamReader(conversation: Conversation, record: CallRecord): BodyReader {
    const events = chain(conversation.events(0), closing(conversation));
    const reply = chain(frames(), converseEvents(), record.meter.stage, events, sse());
    this.#keepAlive = setTimeout(() => this.#onSilence(), KEEP_ALIVE_MS).unref();
    return {
      push: (bytes) => {
        const { output, failure } = drain(reply.push(bytes));
        if (failure !== undefined) return this.#failAfter(output, failure);
        if (output.length > 0) this.#write(output);
      },
      end: async () => {
        const { output, failure } = drain(reply.end());
        if (failure !== undefined) return this.#failAfter(output, failure);
        await record.completed(200);
        this.#commit(SSE_HEADERS);
        this.#finish(output, record.metadata());
      },
    };
  }

  /** Envoy breaks off when it gets bytes of a body before it has given us any: until then the headers have to do. */
  #onSilence(): void {
    if (this.#bodyBegun) {
      this.#write(KEEP_ALIVE);
    } else {
      this.#commit(SSE_HEADERS);
      this.#keepAlive?.refresh();
    }
  }

  #write(bytes: Buffer): void {
    this.#commit(SSE_HEADERS);
    this.#keepAlive?.refresh();
    this.#send({ type: "response_body", body: bytes, endOfStream: false });
  }

  #commit(headers: Readonly<Record<string, string>>): void {
    if (this.#committed) return;
    this.#committed = true;
    this.#send({
      type: "response_headers",
      status: 200,
      setHeaders: { ...this.#answerHeaders, ...headers },
      removeHeaders: headersToHide(this.#response).filter((name) => !Object.hasOwn(headers, name)),
    });
  }

  #finish(bytes: Buffer, metadata: Metadata): void {
    this.#phase = "done";
    clearTimeout(this.#keepAlive);
    this.#send({ type: "response_body", body: bytes, endOfStream: true, metadata });
  }

  /** What was decoded before the failure still goes out. */
  #failAfter(output: Buffer, failure: unknown): void | Promise<void> {
    if (output.length > 0) this.#write(output);
    return this.#fail(failure);
  }

  /** The one place where a failure becomes an answer. Never throws. */
  async #fail(cause: unknown): Promise<void> {
    if (this.#phase === "done") return;
    const error = toGatewayError(cause);
    if (error.kind.fault !== "client" && error.kind.fault !== "limit") this.#services.onFault(error, this.#requestId);
    // From here on nothing that Envoy reports is of interest, also while the row is being closed.
    this.#phase = "done";
    clearTimeout(this.#keepAlive);
    if (this.#call === undefined) this.#services.onRefused(this.#refusal(error));
    await this.#call?.record.failed(error, this.#committed ? 200 : error.status);
    if (this.#closed) return;
    if (!this.#committed) return this.#respond(errorAnswer(error, this.#dialect), { error: error.code });
    const events = [...(this.#dialect?.errorEvents(error) ?? [])].map(encodeEvent);
    this.#finish(Buffer.concat(events), { ...this.#call?.record.metadata(), error: error.code });
  }

  #refusal(error: GatewayError): Record<string, unknown> {
    return {
      request_id: this.#requestId,
      key_id: this.#key?.id,
      dialect: this.#dialect?.name,
      status: error.status,
      error: error.code,
      param: error.param,
    };
  }

  #respond({ status, headers, body }: Answer, metadata: Metadata = {}): void {
    this.#phase = "done";
    this.#send({
      type: "respond",
      status,
      headers: { ...this.#answerHeaders, ...headers },
      body,
      metadata: { answered: true, key_id: this.#key?.id, ...this.#call?.record.metadata(), ...metadata },
    });
  }

  async #authenticate(): Promise<Key> {
    this.#key = await this.#services.authenticator.authenticate(credentialFrom((name) => this.#request.get(name)));
    return this.#key;
  }

  async #models(key: Key, id: string | undefined): Promise<Answer> {
    const models = (await this.#services.catalog.list()).filter((model) => isModelAllowed(key, model.id));
    if (id === undefined) return jsonAnswer(200, modelList(models));
    const model = models.find((candidate) => candidate.id === id);
    if (model !== undefined) return jsonAnswer(200, modelObject(model));
    throw new GatewayError(
      "model_not_found",
      "The model does not exist, or this key may not use it. GET /v1/models lists those it may.",
      { param: "model" },
    );
  }

  #admitted(): { dialect: Dialect; key: Key } {
    if (this.#dialect === undefined || this.#key === undefined) throw new Error("a body without an admitted request");
    return { dialect: this.#dialect, key: this.#key };
  }

  #forwarded(): Forwarded {
    if (this.#call === undefined) throw new Error("an answer without a forwarded request");
    return this.#call;
  }
}

/** What the dialects can already read and nobody carries out yet. */
function refuseUnfinished({ choices, remoteImages }: Conversation): void {
  if (choices > 1) throw new GatewayError("invalid_request", "n must be 1.", { param: "n" });
  const [image] = remoteImages;
  if (image !== undefined)
    throw new GatewayError("invalid_request", `${image.param} must be a data: URL, this gateway fetches no links.`, {
      param: image.param,
    });
}

/** Ends a stream of one choice. */
function closing(conversation: Conversation): Transform<SseEvent, SseEvent> {
  return { push: (event) => [event], end: () => conversation.closing() };
}

/** Lets timers and input in. The first immediate still belongs to the event loop's present turn. */
async function othersTurn(): Promise<void> {
  await setImmediate();
  await setImmediate();
}

function parseBody(body: Buffer): unknown {
  let text: string;
  try {
    text = strictUtf8.decode(body);
  } catch (cause) {
    throw new GatewayError("invalid_request", "The request's body is not valid UTF-8; it must be a JSON object.", {
      cause,
    });
  }
  try {
    return parseJson(text);
  } catch (cause) {
    throw new GatewayError("invalid_request", `The request's body is not valid JSON: ${reason(cause)}`, { cause });
  }
}

/** Bedrock answers some faults with status 200 and a body that is no answer. */
function parseAnswer(body: string, header: (name: string) => string | undefined): unknown {
  try {
    return parseJson(body);
  } catch {
    throw bedrockHttpError(200, header, body);
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : "it can't be parsed.";
}

/** Gathers a whole body, up to a limit. */
function collect(limit: number, complete: (body: string) => void | Promise<void>): BodyReader {
  const chunks: Buffer[] = [];
  let size = 0;
  return {
    push(bytes) {
      size += bytes.length;
      if (size > limit) {
        throw new GatewayError("upstream_invalid_response", `Amazon Bedrock's answer is larger than ${limit} bytes.`);
      }
      chunks.push(bytes);
    },
    end: () => complete(Buffer.concat(chunks, size).toString("utf8")),
  };
}

/** Runs a stage to its end or its failure; what came before a failure is not lost. */
function drain(outputs: Iterable<Buffer>): { output: Buffer; failure?: unknown } {
  const pieces: Buffer[] = [];
  try {
    for (const piece of outputs) pieces.push(piece);
  } catch (failure) {
    return { output: Buffer.concat(pieces), failure };
  }
  return { output: pieces.length === 1 ? (pieces[0] ?? NO_BYTES) : Buffer.concat(pieces) };
}

/** Header values are visible ASCII. */
function headerText(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 1_000);
}
