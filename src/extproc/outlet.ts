/**
 * What the client is sent: held back until it is certain, then written piece by piece, kept alive while nothing comes.
 *
 * Envoy takes bytes of a body only after it has given us some of Bedrock's: until then headers can be sent, and bytes
 * wait. An answer without a body gives us none ever; what was written for it becomes an immediate response at the end.
 */
import { type Answer, jsonAnswer } from "./answers.ts";
import { headersToHide, SSE_HEADERS } from "./headers.ts";
import type { Headers, Metadata, Reply } from "./wire.ts";

/** A stream that says nothing for this long gets headers, then a comment each time that long passes again. */
const KEEP_ALIVE_MS = 15_000;

export class Outlet {
  /** Headers of whatever is answered: rate limits, CORS, warnings. */
  readonly headers: Record<string, string> = {};
  readonly #send: (reply: Reply) => void;
  #upstream: Headers = new Map();
  #state: "held" | "committed" | "finished" = "held";
  #body: "awaited" | "begun" | "none" = "awaited";
  #waiting: Buffer[] = [];
  #keepAlive: NodeJS.Timeout | undefined;

  constructor(send: (reply: Reply) => void) {
    this.#send = send;
  }

  /** Headers have gone to the client, or can't be taken back any more. */
  get committed(): boolean {
    return this.#state !== "held";
  }

  get finished(): boolean {
    return this.#state === "finished";
  }

  /** Envoy has an answer's headers. */
  headersArrived(upstream: Headers, endOfStream: boolean): void {
    this.#upstream = upstream;
    if (endOfStream) this.#body = "none";
  }

  /** Envoy has given the first of a body. */
  bodyBegun(): void {
    if (this.#body !== "awaited") return;
    this.#body = "begun";
    const waiting = this.#waiting.splice(0);
    if (waiting.length > 0 && !this.finished) this.write(Buffer.concat(waiting));
  }

  /** From now on silence is filled with comments: `comment` is one. */
  keepAlive(comment: Buffer): void {
    this.#keepAlive ??= setTimeout(() => this.#onSilence(comment), KEEP_ALIVE_MS).unref();
  }

  /** Pieces of a stream. */
  write(bytes: Buffer): void {
    if (this.finished) return;
    this.#keepAlive?.refresh();
    if (this.#body !== "begun") {
      this.#waiting.push(bytes);
      return;
    }
    this.#commit(SSE_HEADERS);
    this.#send({ type: "response_body", body: bytes, endOfStream: false });
  }

  /** The last of a stream. */
  finish(bytes: Buffer, metadata: Metadata): void {
    this.#end({ status: 200, headers: SSE_HEADERS, body: bytes }, metadata);
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
    clearTimeout(this.#keepAlive);
  }

  #end(answer: Answer, metadata: Metadata): void {
    if (this.finished) return;
    const body = Buffer.concat([...this.#waiting.splice(0), answer.body]);
    if (this.#body !== "begun" && !this.committed) {
      this.respond({ ...answer, body }, metadata);
      return;
    }
    this.#commit(answer.headers);
    this.close();
    this.#send({ type: "response_body", body, endOfStream: true, metadata });
  }

  #onSilence(comment: Buffer): void {
    if (this.finished) return;
    this.#keepAlive?.refresh();
    if (this.#body === "begun") this.write(comment);
    else if (this.#body === "awaited") this.#commit(SSE_HEADERS);
  }

  #commit(headers: Readonly<Record<string, string>>): void {
    if (this.committed) return;
    this.#state = "committed";
    const setHeaders = { ...this.headers, ...headers };
    this.#send({
      type: "response_headers",
      status: 200,
      setHeaders,
      removeHeaders: headersToHide(this.#upstream).filter((name) => !Object.hasOwn(setHeaders, name)),
    });
  }
}
