/**
 * One HTTP exchange, from the client's headers to the last byte of its answer.
 *
 * Theory of operation. Envoy reports an exchange as a sequence of events, and each is answered before the next one is
 * looked at. A request goes through four phases:
 *
 *   request_headers   Who asks for what? Path, key and requests per minute cost no body: refused here, nothing is read.
 *   request_body      The whole body. Decoded to Converse, adapted to the model, signed, written to the ledger, forwarded.
 *   response_headers  Envoy has Bedrock's status (after its own retries). Nothing is sent to the client yet.
 *   response_body     Pieces of the answer. A stream is committed to the client with its first decoded event, or after
 *                     15 s of silence; a whole answer or an error when it is complete.
 *   done              Everything has been said. What Envoy still reports is not answered.
 *
 * Until the answer is committed any failure can become another attempt (call.ts) or an HTTP status, by an immediate
 * response. After that it becomes an error event and the end of the stream, never a finish. The table PHASES says which
 * events a phase takes; any other one fails loudly before anything has changed. Envoy's own replies (413 while a body is
 * read, 503 when Bedrock can't be reached) arrive as response headers that carry a marker.
 */
import type { Authenticator, Caller } from "../access/authenticate.ts";
import type { BudgetGate } from "../access/budgets.ts";
import { credentialFrom } from "../access/credential.ts";
import type { Admission, Limiter } from "../access/limits.ts";
import { type ErrorCode, GatewayError, type ReachedLimit, toGatewayError, unreachable } from "../errors.ts";
import type { ExchangeSpan, Tracing } from "../telemetry/tracing.ts";
import type { Admitted, Begun, OwnCalls } from "./admitted.ts";
import type { AnswerReader } from "./answer-reader.ts";
import { type Answer, type ErrorShape, errorAnswer, hadBeenSent, localReplyError, statusOf } from "./answers.ts";
import { beginConversation, beginCount, type ConversationServices } from "./begin-conversation.ts";
import { beginEmbeddings } from "./begin-embeddings.ts";
import { beginNative, type NativeServices } from "./begin-native.ts";
import type { EmbeddingsServices } from "./embeddings-call.ts";
import type { Forwarding } from "./forwarding.ts";
import { corsHeaders, headersToRemove, LOCAL_REPLY_HEADER } from "./headers.ts";
import { type LocalServices, localAnswer } from "./local-answers.ts";
import { NATIVE } from "./native-call.ts";
import { Outlet } from "./outlet.ts";
import { type BodyRoute, type Dialects, dialectOf, findRoute, isNative, takesBody } from "./routes.ts";
import type { Exchange, Send } from "./server.ts";
import type { EnvoyEvent, Headers, Reply } from "./wire.ts";

export interface ExchangeServices
  extends Dialects,
    LocalServices,
    ConversationServices,
    NativeServices,
    EmbeddingsServices {
  readonly authenticator: Authenticator;
  readonly budgets: BudgetGate;
  readonly limiter: Limiter;
  readonly tracing: Tracing;
  /** False while the service drains and another replica should have taken over: new requests are refused. */
  readonly accepting: () => boolean;
  /** One line for each request that was answered without being forwarded, because something is wrong with it. */
  readonly onRefused: (refusal: Refusal) => void;
}

/** The service's log line of a request that is not forwarded. */
export interface Refusal {
  readonly request_id: string;
  readonly key_id: string | undefined;
  readonly dialect: string | undefined;
  readonly status: number;
  readonly error: ErrorCode;
  readonly param: string | undefined;
  /** The limit that refused it. */
  readonly reached: ReachedLimit | undefined;
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

export function createExchange(services: ExchangeServices, send: Send): Exchange {
  return new HttpExchange(services, send);
}

class HttpExchange implements Exchange {
  readonly #services: ExchangeServices;
  readonly #send: Send;
  readonly #outlet: Outlet;
  #phase: Phase = "request_headers";
  #closed = false;

  // Known from the phase on that its name says.
  #request: Headers = new Map();
  #requestId = "";
  #route: BodyRoute | undefined;
  /** How errors of this path look. */
  #shape: ErrorShape | undefined;
  #caller: Caller | undefined;
  #admission: Admission | undefined;
  #span: ExchangeSpan | undefined;
  #call: Forwarding | undefined;
  #own: OwnCalls | undefined;
  #reader: AnswerReader | undefined;

  constructor(services: ExchangeServices, send: Send) {
    this.#services = services;
    this.#send = (reply) => {
      if (this.#closed) return;
      if (reply.type === "respond" || (reply.type === "response_body" && reply.endOfStream)) this.#answered(reply);
      return send(reply);
    };
    this.#outlet = new Outlet(this.#send);
  }

  receive(event: EnvoyEvent): void | Promise<void> {
    if (this.#outlet.finished) this.#phase = "done";
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
    if (this.#closed) return;
    this.#closed = true;
    this.#admission?.release();
    if (this.#outlet.finished) return;
    void (this.#call ?? this.#own)?.interrupted();
    this.#endSpan(this.#outlet.status ?? 499, "interrupted");
    this.#outlet.close();
  }

  /** The answer's last piece is about to go out: a client that asks again at once must find its place free. */
  #answered(reply: Extract<Reply, { type: "respond" | "response_body" }>): void {
    this.#admission?.release();
    const error = reply.metadata?.error;
    const status = reply.type === "respond" ? reply.status : (this.#outlet.status ?? 200);
    this.#endSpan(status, error === undefined ? undefined : String(error));
  }

  #endSpan(status: number, error: string | undefined): void {
    this.#span?.end({ status, error, keyId: this.#caller?.key.id });
  }

  #handle(event: EnvoyEvent): void | Promise<void> {
    switch (event.type) {
      case "request_headers":
        return this.#onRequestHeaders(event.headers, event.endOfStream);
      case "request_body":
        return this.#onRequestBody(event.body);
      case "request_trailers":
        this.#send({ type: "pass", event: event.type });
        return;
      case "response_headers":
        return this.#onResponseHeaders(event.headers, event.endOfStream);
      case "response_body":
        this.#outlet.bodyBegun();
        return event.endOfStream ? this.#readLast(event.body) : this.#reader?.push(event.body);
      case "response_trailers":
        return this.#reader?.end();
    }
  }

  async #onRequestHeaders(headers: Headers, endOfStream: boolean): Promise<void> {
    const services = this.#services;
    const { accepting, dialects, tracing } = services;
    const target = headers.get(":path") ?? "/";
    this.#request = headers;
    this.#requestId = headers.get("x-request-id") ?? crypto.randomUUID();
    const native = isNative(target);
    const dialect = dialectOf(target, services);
    this.#span = tracing.exchange({
      header: (name) => headers.get(name),
      route: native ? "/model/{id}" : dialect && `/v1${dialect.paths[0]}`,
    });
    Object.assign(this.#outlet.headers, corsHeaders(headers));
    // Where the path is no API's: the list of models, and errors, in the shape that the client knows.
    const listing = dialects.find((candidate) => candidate.listing?.asked((name) => headers.get(name)));
    this.#shape = native ? NATIVE : (dialect ?? listing);
    const { requestIdHeader } = this.#shape ?? {};
    if (requestIdHeader !== undefined) this.#outlet.headers[requestIdHeader] = this.#requestId;
    if (!accepting()) {
      throw new GatewayError("unavailable", "The gateway is restarting. Try again in a moment.", { retryAfter: 1 });
    }

    const route = findRoute(headers.get(":method") ?? "", target, services);
    if (!takesBody(route)) {
      const request = { headers, listing: listing?.listing, authenticate: () => this.#authenticate() };
      return this.#respond(await localAnswer(services, request, route));
    }
    this.#route = route;

    await this.#admit(await this.#authenticate());
    if (endOfStream) throw new GatewayError("invalid_request", "The request has no body; it must be a JSON object.");
    if (headers.has("content-encoding")) {
      throw new GatewayError(
        "invalid_request",
        "A compressed request body is not supported; send it without content-encoding.",
      );
    }
    this.#phase = "request_body";
    this.#send({ type: "pass", event: "request_headers" });
  }

  async #admit(caller: Caller): Promise<void> {
    const { budgets, limiter } = this.#services;
    await budgets.check(caller);
    this.#admission = await limiter.admit(caller);
    Object.assign(this.#outlet.headers, this.#admission.headers);
    if (this.#closed) this.#admission.release();
  }

  async #onRequestBody(body: Buffer): Promise<void> {
    const begun = await this.#begin(body);
    if (begun === undefined || this.#closed) return;
    switch (begun.kind) {
      case "answer":
        return this.#respond(begun.answer);
      case "run":
        this.#own = begun.call;
        return begun.call.run();
      case "forward":
        return this.#forward(begun.call);
      default:
        return unreachable(begun);
    }
  }

  #begin(body: Buffer): Promise<Begun> {
    const services = this.#services;
    const admitted = this.#admitted();
    const route = this.#route;
    switch (route?.kind) {
      case "call":
        return beginConversation(services, admitted, route.dialect, body);
      case "count":
        return beginCount(services, admitted, route.counting, body);
      case "embeddings":
        return beginEmbeddings(services, admitted, route.dialect, body);
      case "native":
        return beginNative(services, admitted, route, body);
      case undefined:
        throw new Error("a body without a route");
      default:
        return unreachable(route);
    }
  }

  async #forward(call: Forwarding): Promise<void> {
    this.#call = call;
    const signed = await call.prepare();
    if (signed === undefined) return;

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
      metadata: { route: signed.route, ...call.startMetadata() },
    });
    call.forwarded();
  }

  #onResponseHeaders(headers: Headers, endOfStream: boolean): void | Promise<void> {
    const status = Number(headers.get(":status"));
    const flags = headers.get(LOCAL_REPLY_HEADER);
    this.#outlet.headersArrived(headers, endOfStream);
    if (this.#phase === "request_body" || this.#call === undefined) {
      return this.#fail(localReplyError(status, flags ?? ""));
    }
    this.#phase = "response_body";
    // Envoy answers for Bedrock, which may have had the request before its connection broke.
    if (flags !== undefined) return this.#call.unanswered(localReplyError(status, flags), hadBeenSent(flags));
    this.#reader = this.#call.answered({ status, headers });
    return endOfStream ? this.#reader.end() : undefined;
  }

  async #readLast(bytes: Buffer): Promise<void> {
    await this.#reader?.push(bytes);
    await this.#reader?.end();
  }

  async #authenticate(): Promise<Caller> {
    this.#caller = await this.#services.authenticator.authenticate(credentialFrom((name) => this.#request.get(name)));
    return this.#caller;
  }

  #respond(answer: Answer, error?: GatewayError): void {
    this.#outlet.respond(answer, { key_id: this.#caller?.key.id, error: error?.code });
  }

  /** A failure of what is not yet on its way; a bug where it is. Throws only where an answer can't be ended any more. */
  async #fail(cause: unknown): Promise<void> {
    const error = toGatewayError(cause);
    if (this.#phase === "response_headers" || this.#phase === "response_body") {
      return this.#call?.unanswered(error, true);
    }
    this.#admission?.settle(0);
    if (error.kind.fault !== "client" && error.kind.fault !== "limit") this.#services.onFault(error, this.#requestId);
    this.#services.onRefused({
      request_id: this.#requestId,
      key_id: this.#caller?.key.id,
      dialect: this.#shape?.name,
      status: statusOf(error, this.#shape),
      error: error.code,
      param: error.param,
      reached: error.reached,
    });
    if (!this.#outlet.finished) this.#respond(errorAnswer(error, this.#shape, this.#requestId), error);
  }

  #admitted(): Admitted {
    const caller = this.#caller;
    const admission = this.#admission;
    const span = this.#span;
    if (caller === undefined || admission === undefined || span === undefined) {
      throw new Error("a body without an admitted request");
    }
    return {
      id: this.#requestId,
      headers: this.#request,
      caller,
      admission,
      trace: (attempt) => span.attempt(attempt),
      outlet: this.#outlet,
      gone: () => this.#closed,
      wait: (seconds) => void this.#send({ type: "wait", seconds }),
    };
  }
}
