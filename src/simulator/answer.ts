/**
 * What a test can make the simulator answer, and the queue that hands the answers out.
 *
 * An answer is plain data. `message` suits both Converse and ConverseStream; the other kinds say exactly what goes on
 * the wire, faults included.
 */
import type { JsonObject, JsonValue } from "../json.ts";
import type { Corruption } from "./event-stream.ts";
import type { RecordedRequest } from "./recorder.ts";

export type Answer = EchoAnswer | MessageAnswer | EventsAnswer | JsonAnswer | ErrorAnswer | CutAnswer;

/** A fixed answer, or one made from the request. */
export type ScriptedAnswer = Answer | ((request: RecordedRequest) => Answer);

interface Common {
  /** Milliseconds of silence before the response's headers. */
  readonly delay?: number;
  /** How many calls get this answer; 1 by default, Infinity for all that follow. */
  readonly times?: number;
  /** Extra response headers. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** How the bytes of an event stream are cut: one write for all, one for each frame, or pieces of so many bytes. */
export type Chunking = "whole" | "frames" | number;

/** What the simulator says without a script. */
export interface EchoAnswer extends Common {
  readonly kind: "echo";
}

/** A message: JSON from Converse, events from ConverseStream. */
export interface MessageAnswer extends Common {
  readonly kind: "message";
  readonly content: readonly JsonObject[];
  /** `tool_use` when the content has a toolUse block, else `end_turn`. */
  readonly stopReason?: string;
  /** Derived from sizes when absent. */
  readonly usage?: JsonObject;
  readonly additionalModelResponseFields?: JsonValue;
  readonly serviceTier?: JsonObject;
  readonly trace?: JsonValue;
  readonly chunking?: Chunking;
  /** Milliseconds between the events of a stream. */
  readonly pace?: number;
}

/** An event stream, step by step; it ends cleanly unless a step cuts the connection. */
export interface EventsAnswer extends Common {
  readonly kind: "events";
  readonly steps: readonly StreamStep[];
  /** "frames" by default. */
  readonly chunking?: Chunking;
}

/** `delay`: milliseconds of silence before the step. `half`: only the first half of the frame's bytes are sent. */
export type StreamStep =
  | { event: string; payload: JsonObject; delay?: number; corrupt?: Corruption; half?: true }
  | { exception: string; payload: JsonObject; delay?: number; corrupt?: Corruption; half?: true }
  | { error: string; message: string; delay?: number }
  | { bytes: Uint8Array; delay?: number }
  | { silence: number }
  | { cut: CutManner; delay?: number };

/**
 * A JSON body as it is, whatever the operation; bytes go out as they are, undefined as an empty body. `cut` ends the
 * connection in the middle of it.
 */
export interface JsonAnswer extends Common {
  readonly kind: "json";
  readonly status?: number;
  readonly body: unknown;
  readonly cut?: CutManner;
}

/** An exception as an HTTP response. `body` replaces `{"message"}`; `type: ""` leaves `x-amzn-errortype` out. */
export interface ErrorAnswer extends Common {
  readonly kind: "error";
  readonly type: string;
  readonly message?: string;
  /** The type's own status by default. */
  readonly status?: number;
  readonly body?: unknown;
}

/** No answer: the connection ends before or after the response's headers. */
export interface CutAnswer extends Common {
  readonly kind: "cut";
  readonly at: "before-headers" | "after-headers";
  readonly manner?: CutManner;
}

/** `close` ends the connection with FIN, `reset` with RST. */
export type CutManner = "close" | "reset";

/** A text answer; the shortest script. */
export function says(text: string, more: Partial<Omit<MessageAnswer, "kind" | "content">> = {}): MessageAnswer {
  return { kind: "message", content: [{ text }], ...more };
}

/** An exception such as `fails("ThrottlingException", { headers: { "retry-after": "1" } })`. */
export function fails(type: string, more: Partial<Omit<ErrorAnswer, "kind" | "type">> = {}): ErrorAnswer {
  return { kind: "error", type, ...more };
}

interface Entry {
  readonly answer: ScriptedAnswer;
  left: number;
}

/** First in, first out; an answer leaves the queue when it was given as often as its `times` says. */
export class AnswerQueue {
  readonly #entries: Entry[] = [];

  push(answers: ScriptedAnswer | readonly ScriptedAnswer[]): void {
    for (const answer of typeof answers === "object" && "length" in answers ? answers : [answers])
      this.#entries.push({ answer, left: typeof answer === "function" ? 1 : (answer.times ?? 1) });
  }

  next(): ScriptedAnswer | undefined {
    const first = this.#entries[0];
    if (first === undefined) return undefined;
    first.left -= 1;
    if (first.left <= 0) this.#entries.shift();
    return first.answer;
  }

  clear(): void {
    this.#entries.length = 0;
  }

  get size(): number {
    return this.#entries.length;
  }
}
