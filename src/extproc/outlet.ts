/**
 * What the client is sent: held back until it is certain, then written piece by piece, kept alive while nothing comes.
 *
 * Envoy takes bytes of a body only after it has given us some of Bedrock's: until then headers can be sent, and bytes
 * wait. An answer without a body gives us none ever; what was written for it becomes an immediate response at the end.
 */
import { GatewayError } from "../errors.ts";
import { type Answer, jsonAnswer } from "./answers.ts";
import { headersToHide, SSE_HEADERS } from "./headers.ts";
import type { Send } from "./server.ts";
import type { Headers, Metadata } from "./wire.ts";

/** A stream that says nothing for this long gets headers, then a comment each time that long passes again. */
const KEEP_ALIVE_MS = 15_000;

/** From here on whoever writes is asked to wait until Envoy takes bytes. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** What can be sent only as a whole: as much as is read of any other whole answer. */
const MAX_HELD_BYTES = 64 * 1024 * 1024;

/** What a stream begins with. */
export interface Opening {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

export class Outlet {
  /** Headers of whatever is answered: rate limits, CORS, warnings. */
  readonly headers: Record<string, string> = {};
  readonly #send: Send;
  #opening: Opening = { status: 200, headers: SSE_HEADERS };
  #upstream: Headers = new Map();
  #state: "held" | "committed" | "finished" = "held";
  #body: "awaited" | "begun" | "none" = "awaited";
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** Set while writers have been asked to wait for a body to begin. */
  #beginning: PromiseWithResolvers<void> | undefined;
  #keepAlive: NodeJS.Timeout | undefined;

  constructor(send: Send) {
    this.#send = send;
  }

  /** Headers have gone to the client, or can't be taken back any more. */
  get committed(): boolean {
    return this.#state !== "held";
  }

  /** What has gone to the client, or can't be taken back any more. */
  get status(): number | undefined {
    return this.committed ? this.#opening.status : undefined;
  }

  get finished(): boolean {
    return this.#state === "finished";
  }

  /** Envoy has an answer's headers. */
  headersArrived(upstream: Headers, endOfStream: boolean): void {
    this.#upstream = upstream;
    if (!endOfStream) return;
    this.#body = "none";
    this.#beginning?.resolve();
  }

  /** A stream of another kind than server-sent events; its headers go out at once where a body will follow. */
  begin(opening: Opening): void {
    if (this.committed) return;
    this.#opening = opening;
    if (this.#body !== "none") this.#commit(opening);
  }

  /** Envoy has given the first of a body. */
  bodyBegun(): void {
    if (this.#body !== "awaited") return;
    this.#body = "begun";
    const waiting = this.#takeWaiting();
    if (waiting.length > 0 && !this.finished) this.write(waiting);
    this.#beginning?.resolve();
  }

  /** From now on silence is filled with comments: `comment` is one. */
  keepAlive(comment: Buffer): void {
    if (this.finished) return;
    this.#keepAlive ??= setTimeout(() => this.#onSilence(comment), KEEP_ALIVE_MS).unref();
  }

  /** The end is near, and what it will be may depend on what has been sent: silence is left as it is. */
  stopKeepAlive(): void {
    clearTimeout(this.#keepAlive);
    this.#keepAlive = undefined;
  }

  /** Pieces of a stream. A promise that is returned asks to wait with more; it resolves in any case. */
  write(bytes: Buffer): void | Promise<void> {
    if (this.finished) return;
    this.#keepAlive?.refresh();
    if (this.#body !== "begun") return this.#keep(bytes);
    this.#commit(this.#opening);
    return this.#send({ type: "response_body", body: bytes, endOfStream: false });
  }

  /** The last of a stream. */
  finish(bytes: Buffer, metadata: Metadata): void {
    this.#end({ ...this.#opening, body: bytes }, metadata);
  }

  /** A whole answer of a call. */
  whole(value: unknown, metadata: Metadata): void {
    this.#end(jsonAnswer(200, value), metadata);
  }

  /** An answer of our own; possible until something is committed. */
  respond({ status, headers, body }: Answer, metadata: Metadata): void {
    if (this.committed) throw new Error("an answer after the answer has begun");
    this.close();
    this.#send({
      type: "respond",
      status,
      headers: { ...this.headers, ...headers },
      body,
      metadata: { ...metadata, answered: true },
    });
  }

  /** Nothing more can or may be sent. */
  close(): void {
    this.#state = "finished";
    this.stopKeepAlive();
    this.#takeWaiting();
    this.#beginning?.resolve();
  }

  /** Until Envoy takes bytes. Throws GatewayError when that will not be before the end, and they are too many by then. */
  #keep(bytes: Buffer): void | Promise<void> {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#body === "none") {
      if (this.#waitingBytes <= MAX_HELD_BYTES) return;
      throw new GatewayError("upstream_invalid_response", `The answer is larger than ${MAX_HELD_BYTES} bytes.`);
    }
    if (this.#waitingBytes <= MAX_WAITING_BYTES) return;
    this.#beginning ??= Promise.withResolvers();
    return this.#beginning.promise;
  }

  #takeWaiting(): Buffer {
    this.#waitingBytes = 0;
    return Buffer.concat(this.#waiting.splice(0));
  }

  #end(answer: Answer, metadata: Metadata): void {
    if (this.finished) return;
    const body = Buffer.concat([this.#takeWaiting(), answer.body]);
    if (this.#body !== "begun" && !this.committed) {
      this.respond({ ...answer, body }, metadata);
      return;
    }
    this.#commit(answer);
    this.close();
    this.#send({ type: "response_body", body, endOfStream: true, metadata });
  }

  #onSilence(comment: Buffer): void {
    if (this.finished) return;
    this.#keepAlive?.refresh();
    if (this.#body === "begun") this.write(comment);
    else if (this.#body === "awaited") this.#commit(this.#opening);
  }

  #commit({ status, headers }: Opening): void {
    if (this.committed) return;
    this.#state = "committed";
    const setHeaders = { ...this.headers, ...headers };
    this.#send({
      type: "response_headers",
      status,
      setHeaders,
      removeHeaders: headersToHide(this.#upstream).filter((name) => !Object.hasOwn(setHeaders, name)),
    });
  }
}
