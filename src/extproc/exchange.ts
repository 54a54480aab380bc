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
import { setImmediate } from "node:timers/promises";
import { assertModelAllowed, isModelAllowed } from "../access/allowed-models.ts";
import type { Authenticator, Caller } from "../access/authenticate.ts";
import type { BudgetGate } from "../access/budgets.ts";
import { credentialFrom } from "../access/credential.ts";
import type { Admission, Limiter } from "../access/limits.ts";
import { readNativeBody } from "../bedrock/native-body.ts";
import type { Conversation, Counting, Dialect, StoredObject } from "../dialects/dialect.ts";
import { type ErrorCode, GatewayError, type ReachedLimit, toGatewayError } from "../errors.ts";
import { matchesGlob } from "../glob.ts";
import { parseJson } from "../json.ts";
import type { ImageFetcher } from "../media/fetch-image.ts";
import type { Catalog, CatalogModel } from "../models/catalog.ts";
import { assertModelId } from "../models/model-id.ts";
import type { Target, Targets } from "../models/targets.ts";
import type { ObservedCall } from "../telemetry/conventions.ts";
import type { ExchangeSpan, Tracing } from "../telemetry/tracing.ts";
import type { AnswerReader } from "./answer-reader.ts";
import {
  type Answer,
  type ErrorShape,
  emptyAnswer,
  errorAnswer,
  hadBeenSent,
  jsonAnswer,
  localReplyError,
  modelList,
  modelObject,
  statusOf,
} from "./answers.ts";
import { Call, type CallServices } from "./call.ts";
import type { Forwarding } from "./forwarding.ts";
import { corsHeaders, headersToRemove, headerText, LOCAL_REPLY_HEADER, preflightHeaders } from "./headers.ts";
import { NATIVE, NativeCall, type NativeCallServices } from "./native-call.ts";
import { nativeList } from "./native-lists.ts";
import { Outlet } from "./outlet.ts";
import { dialectOf, findRoute, isNative, type Route } from "./routes.ts";
import type { Exchange, Send } from "./server.ts";
import { countTokens } from "./token-count.ts";
import type { EnvoyEvent, Headers, Reply } from "./wire.ts";

export interface ExchangeServices extends CallServices, NativeCallServices {
  readonly dialects: readonly Dialect[];
  readonly authenticator: Authenticator;
  readonly budgets: BudgetGate;
  readonly limiter: Limiter;
  readonly tracing: Tracing;
  readonly catalog: Catalog;
  readonly targets: Targets;
  readonly fetchImage: ImageFetcher;
  /** S3 buckets that clients may name; `*` stands for any characters. */
  readonly buckets: readonly string[];
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
type NativeRoute = Extract<Route, { kind: "native" }>;

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

/** As many images as Converse takes. */
const MAX_REMOTE_IMAGES = 20;

/** Above the longest time that an operator can give to a fetch, below Envoy's max_message_timeout. */
const FETCH_SECONDS = 90;

const LARGE_BODY_BYTES = 1024 * 1024;

const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

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
  #dialect: Dialect | undefined;
  #counting: Counting | undefined;
  #native: NativeRoute | undefined;
  /** How errors of this path look. */
  #shape: ErrorShape | undefined;
  #caller: Caller | undefined;
  #admission: Admission | undefined;
  #span: ExchangeSpan | undefined;
  #call: Forwarding | undefined;
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
    void this.#call?.interrupted();
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
    const { accepting, dialects, tracing } = this.#services;
    const target = headers.get(":path") ?? "/";
    this.#request = headers;
    this.#requestId = headers.get("x-request-id") ?? crypto.randomUUID();
    this.#dialect = dialectOf(target, dialects);
    const native = isNative(target);
    this.#span = tracing.exchange({
      header: (name) => headers.get(name),
      route: native ? "/model/{id}" : this.#dialect && `/v1${this.#dialect.paths[0]}`,
    });
    Object.assign(this.#outlet.headers, corsHeaders(headers));
    // Where the path is no API's: the list of models, and errors, in the shape that the client knows.
    if (!native) this.#dialect ??= dialects.find(({ listing }) => listing?.asked((name) => headers.get(name)));
    this.#shape = native ? NATIVE : this.#dialect;
    const idHeader = this.#dialect?.requestIdHeader;
    if (idHeader !== undefined) this.#outlet.headers[idHeader] = this.#requestId;
    if (!accepting()) {
      throw new GatewayError("unavailable", "The gateway is restarting. Try again in a moment.", { retryAfter: 1 });
    }

    const route = findRoute(headers.get(":method") ?? "", target, dialects);
    if (route.kind === "native") this.#native = route;
    else if (route.kind === "count") this.#counting = route.counting;
    else if (route.kind !== "call") return this.#respond(await this.#answer(route));

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
    const call = this.#native === undefined ? await this.#translated(body) : await this.#nativeCall(this.#native, body);
    if (call === undefined || this.#closed) return;
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

  /** Undefined where nothing is to be forwarded. */
  async #translated(body: Buffer): Promise<Forwarding | undefined> {
    const { caller, admission, span } = this.#admitted();
    const dialect = this.#dialect;
    if (dialect === undefined) throw new Error("a body that is in no dialect");
    const { now, targets } = this.#services;
    const startedAt = now();
    const conversation = (this.#counting ?? dialect).decode(parseBody(body), {
      id: this.#requestId.replaceAll("-", ""),
      created: Math.floor(startedAt / 1000),
      header: (name) => this.#request.get(name),
    });
    this.#assertModel(conversation.model);
    assertReadable(conversation.storedObjects, this.#services.buckets);
    // Reading a body of images and writing it anew each hold the event loop for about 100 ms; others go in between.
    if (body.length > LARGE_BODY_BYTES) await setImmediate();

    const [resolved] = await Promise.all([targets.resolve(conversation.model), this.#fetchImages(conversation)]);
    if (this.#closed) return undefined;
    if (this.#counting !== undefined) {
      await this.#count(this.#counting, conversation, resolved);
      return undefined;
    }
    const request = {
      id: this.#requestId,
      caller,
      admission,
      trace: (attempt: ObservedCall) => span.attempt(attempt),
      dialect,
      conversation,
      // What an operator falls back to must not widen what a key may use.
      targets: resolved.filter(({ name, modelId }, index) => index === 0 || isModelAllowed(caller.key, name, modelId)),
      startedAt,
    };
    return new Call(this.#services, request, this.#outlet);
  }

  async #nativeCall({ operation, model }: NativeRoute, body: Buffer): Promise<Forwarding> {
    const { caller, admission, span } = this.#admitted();
    const { now, targets, buckets } = this.#services;
    const startedAt = now();
    this.#assertModel(model);
    const read = readNativeBody(body);
    assertReadable(
      read.storedObjects.map((uri) => ({ uri, param: "s3Location" })),
      buckets,
    );
    const [target] = await targets.resolve(model);
    if (target === undefined) throw new Error("a model without a target");
    const request = {
      id: this.#requestId,
      caller,
      admission,
      trace: (attempt: ObservedCall) => span.attempt(attempt),
      operation,
      model,
      target,
      headers: this.#request,
      body,
      read,
      startedAt,
    };
    return new NativeCall(this.#services, request, this.#outlet);
  }

  #assertModel(model: string): void {
    assertModelId(model);
    assertModelAllowed(this.#admitted().caller.key, model, this.#services.targets.aliases.get(model));
  }

  async #count(counting: Counting, conversation: Conversation, targets: readonly Target[]): Promise<void> {
    const { tokens, warnings } = await countTokens(this.#services, conversation, targets);
    const headers = warnings.length === 0 ? {} : { "x-gateway-warning": headerText(warnings.join("; ")) };
    this.#respond(jsonAnswer(200, counting.reply(tokens), headers));
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

  async #fetchImages({ remoteImages }: Conversation): Promise<void> {
    if (remoteImages.length === 0) return;
    if (remoteImages.length > MAX_REMOTE_IMAGES) {
      throw new GatewayError("invalid_request", `At most ${MAX_REMOTE_IMAGES} images can be given as links.`, {
        param: "messages",
      });
    }
    this.#send({ type: "wait", seconds: FETCH_SECONDS });
    await Promise.all(
      remoteImages.map(async ({ url, param, place }) => {
        const { format, bytes } = await this.#services.fetchImage(url, param);
        place({ format, source: { bytes } });
      }),
    );
  }

  async #answer(route: Exclude<Route, { kind: "call" | "count" | "native" }>): Promise<Answer> {
    switch (route.kind) {
      case "preflight":
        return emptyAnswer(204, preflightHeaders(this.#request));
      case "root":
        return jsonAnswer(200, { name: "Bedrock Gateway", api: "/v1", health: "/healthz" });
      case "health":
        return jsonAnswer(200, { status: "ok" });
      case "models":
        return jsonAnswer(200, this.#modelList(await this.#models()));
      case "native_list":
        return jsonAnswer(200, nativeList(route.list, await this.#models(), this.#query()));
      case "model": {
        const model = (await this.#models()).find(({ id }) => id === route.id);
        const { listing } = this.#dialect ?? {};
        if (model !== undefined) return jsonAnswer(200, listing?.model(model) ?? modelObject(model));
        throw new GatewayError(
          "model_not_found",
          "The model does not exist, or this key may not use it. GET /v1/models lists those it may.",
          { param: "model" },
        );
      }
    }
  }

  #modelList(models: readonly CatalogModel[]): unknown {
    return this.#dialect?.listing?.list(models, this.#query()) ?? modelList(models);
  }

  #query(): URLSearchParams {
    return new URLSearchParams(this.#request.get(":path")?.split("?")[1]);
  }

  /** Those that the key may use. */
  async #models() {
    const { key } = await this.#authenticate();
    const { catalog, targets } = this.#services;
    const aliases = [...targets.aliases.keys()].map((id) => ({
      id,
      created: 0,
      ownedBy: "gateway",
      inputModalities: [],
      outputModalities: [],
    }));
    const listed = (await catalog.list()).filter(({ id }) => !targets.aliases.has(id));
    return [...aliases, ...listed].filter(({ id }) => isModelAllowed(key, id, targets.aliases.get(id)));
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

  #admitted() {
    const caller = this.#caller;
    const admission = this.#admission;
    const span = this.#span;
    if (caller === undefined || admission === undefined || span === undefined) {
      throw new Error("a body without an admitted request");
    }
    return { caller, admission, span };
  }
}

/** Bedrock would read any object that the gateway's own role may read. */
function assertReadable(storedObjects: readonly StoredObject[], buckets: readonly string[]): void {
  for (const { uri, param } of storedObjects) {
    const bucket = uri.slice("s3://".length).split("/", 1)[0] ?? "";
    if (buckets.some((pattern) => matchesGlob(pattern, bucket))) continue;
    throw new GatewayError(
      "invalid_request",
      `${param} must not name the bucket ${JSON.stringify(bucket)}: the gateway's operator has to allow it (s3.buckets). Send the data itself instead.`,
      { param },
    );
  }
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

function reason(error: unknown): string {
  return error instanceof Error ? error.message : "it can't be parsed.";
}
