/**
 * Puts answers on the wire, faults included, and notices when the other side leaves.
 *
 * The plain path (one JSON body, or a stream in one write) is synchronous, because benchmarks measure the gateway
 * against it. Everything that waits stops as soon as the response closes.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { setImmediate, setTimeout } from "node:timers/promises";
import { stringifyJson } from "../json.ts";
import type { Chunking, CutManner, StreamStep } from "./answer.ts";
import { errorFrame, eventFrame, exceptionFrame } from "./event-stream.ts";
import type { RecordedRequest, Recorder } from "./recorder.ts";

export const EVENT_STREAM = "application/vnd.amazon.eventstream";

type Headers = Readonly<Record<string, string>>;

/** Thrown by `wait` and `send` when nobody listens any more; the server drops it. */
export class Gone extends Error {
  override readonly name = "Gone";
}

/** One request and its response. */
export class Exchange {
  readonly recorded: RecordedRequest;
  readonly requestId: string;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #recorder: Recorder;
  /** Made by the first wait; most exchanges never wait. */
  #closed: AbortController | undefined;
  #cut = false;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    context: { recorded: RecordedRequest; recorder: Recorder; requestId: string; onDone: () => void },
  ) {
    this.#request = request;
    this.#response = response;
    this.#recorder = context.recorder;
    this.recorded = context.recorded;
    this.requestId = context.requestId;
    response.on("close", () => {
      this.recorded.aborted = !this.#cut && !response.writableFinished;
      this.recorded.done = true;
      this.#closed?.abort();
      context.onDone();
      this.#recorder.changed();
    });
    response.on("error", () => {}); // The close that follows says it all.
  }

  get open(): boolean {
    return !this.#response.destroyed && !this.#response.closed;
  }

  /** Silence of so many milliseconds. Throws Gone when the other side leaves meanwhile. */
  async wait(milliseconds: number): Promise<void> {
    if (milliseconds <= 0) return;
    if (!this.open) throw new Gone();
    this.#closed ??= new AbortController();
    try {
      await setTimeout(milliseconds, undefined, { signal: this.#closed.signal });
    } catch {
      throw new Gone();
    }
  }

  /** The response's headers. */
  head(status: number, contentType: string, headers: Headers = {}): void {
    this.recorded.status = status;
    this.#response.writeHead(status, {
      "content-type": contentType,
      "x-amzn-requestid": this.requestId,
      ...headers,
    });
    this.#recorder.changed();
  }

  /** A whole JSON response, or bytes that may be anything; with `cut`, its first half and then the end of the connection. */
  async json(status: number, body: unknown, headers: Headers = {}, cut?: CutManner): Promise<void> {
    const bytes = body instanceof Uint8Array ? Buffer.from(body) : Buffer.from(stringifyJson(body) ?? "");
    this.head(status, "application/json", { ...headers, "content-length": String(bytes.length) });
    if (cut === undefined) {
      this.#response.end(bytes);
      return;
    }
    await this.#write(bytes.subarray(0, Math.floor(bytes.length / 2)));
    this.cut(cut);
  }

  /** A stream in one write, headers included: the fast path. */
  eventsAtOnce(steps: readonly StreamStep[], headers: Headers = {}): void {
    this.head(200, EVENT_STREAM, headers);
    this.#response.end(Buffer.concat(steps.map(stepBytes)));
  }

  /** A stream step by step. */
  async events(steps: readonly StreamStep[], chunking: Chunking, headers: Headers = {}): Promise<void> {
    this.head(200, EVENT_STREAM, headers);
    let pending: Buffer = Buffer.alloc(0);
    for (const step of steps) {
      const pause = "silence" in step ? step.silence : (step.delay ?? 0);
      if (pause > 0 || "cut" in step) {
        await this.#write(pending);
        pending = Buffer.alloc(0);
        this.#response.flushHeaders();
        await this.wait(pause);
      }
      if ("cut" in step) return this.cut(step.cut);
      pending = Buffer.concat([pending, stepBytes(step)]);
      if (chunking === "frames") pending = await this.#writePieces(pending, pending.length);
      if (typeof chunking === "number") pending = await this.#writePieces(pending, chunking);
    }
    await this.#write(pending);
    this.#response.end();
  }

  /** Ends the connection under the response. What was written before is on its way. */
  cut(manner: CutManner): void {
    this.#cut = true;
    const { socket } = this.#request;
    if (manner === "reset") socket.resetAndDestroy();
    else socket.destroy();
  }

  /** Sends the headers alone and lets them leave. */
  async flushHead(): Promise<void> {
    this.#response.flushHeaders();
    await setImmediate();
  }

  /** Writes all whole pieces of `size` bytes; returns the rest. */
  async #writePieces(bytes: Buffer, size: number): Promise<Buffer> {
    let rest = bytes;
    while (rest.length > 0 && rest.length >= size) {
      await this.#write(rest.subarray(0, size));
      rest = rest.subarray(size);
    }
    return rest;
  }

  /** One write that leaves as its own packet: a turn of the event loop passes before the next one. */
  async #write(bytes: Buffer): Promise<void> {
    if (!this.open) throw new Gone();
    if (bytes.length === 0) return;
    if (!this.#response.write(bytes)) await this.#drained();
    await setImmediate();
  }

  #drained(): Promise<void> {
    return new Promise((resolve, reject) => {
      const onDrain = () => {
        this.#response.off("close", onClose);
        resolve();
      };
      const onClose = () => {
        this.#response.off("drain", onDrain);
        reject(new Gone());
      };
      this.#response.once("drain", onDrain).once("close", onClose);
    });
  }
}

function stepBytes(step: StreamStep): Buffer {
  if ("bytes" in step) return Buffer.from(step.bytes);
  if ("error" in step) return errorFrame(step.error, step.message);
  if ("silence" in step || "cut" in step) return Buffer.alloc(0);
  const frame =
    "event" in step
      ? eventFrame(step.event, step.payload, step.corrupt)
      : exceptionFrame(step.exception, step.payload, step.corrupt);
  return step.half ? frame.subarray(0, Math.floor(frame.length / 2)) : frame;
}
