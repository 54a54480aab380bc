/**
 * Reads one answer of Bedrock's, whichever way it came: from Envoy's response events or from an attempt of our own.
 *
 * The answer's status and content type decide between an event stream, a whole answer and an error; the reader tells its
 * sink what it found. It does no I/O.
 */
import type { ConverseEvent, ConverseResponse } from "../bedrock/converse.ts";
import { converseEvents } from "../bedrock/converse-events.ts";
import { converseResponse } from "../bedrock/converse-response.ts";
import { bedrockHttpError } from "../bedrock/errors.ts";
import { frames } from "../bedrock/event-stream.ts";
import { GatewayError } from "../errors.ts";
import { parseJson } from "../json.ts";
import { chain, type Transform } from "../transform.ts";
import type { Headers } from "./wire.ts";

export interface AnswerHead {
  readonly status: number;
  readonly headers: Headers;
}

export interface AnswerSink {
  /** Bytes for the client, decoded so far; never empty. A promise that is returned asks to wait with more. */
  output(bytes: Buffer): void | Promise<void>;
  /** The stream is complete. */
  ended(last: Buffer): void | Promise<void>;
  whole(response: ConverseResponse): void | Promise<void>;
  /** Nothing follows. What was decoded before the failure has been put out. */
  failed(error: unknown): void | Promise<void>;
}

export interface AnswerReader {
  /** The sink has been told of the end or of a failure: what still comes is ignored. */
  readonly over: boolean;
  push(bytes: Buffer): void | Promise<void>;
  /** The body is complete. */
  end(): void | Promise<void>;
}

/** An error's text, or a whole answer: far above what a model writes, far below what hurts. */
export const MAX_ERROR_BYTES = 1024 * 1024;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

const NO_BYTES = Buffer.alloc(0);

/** `render` is set when an event stream was asked for. */
export function createAnswerReader(
  head: AnswerHead,
  render: Transform<ConverseEvent, Buffer> | undefined,
  sink: AnswerSink,
): AnswerReader {
  const streamed = (head.headers.get("content-type") ?? "").startsWith("application/vnd.amazon.eventstream");
  if (head.status === 200 && streamed && render !== undefined) return streamReader(render, sink);
  const wanted = head.status === 200 && !streamed && render === undefined;
  return collector(wanted ? MAX_ANSWER_BYTES : MAX_ERROR_BYTES, sink, (bytes) => {
    const body = bytes.toString("utf8");
    if (!wanted) throw bedrockHttpError(head.status, (name) => head.headers.get(name), body);
    return sink.whole(converseResponse(parseAnswer(head, body)));
  });
}

function streamReader(render: Transform<ConverseEvent, Buffer>, sink: AnswerSink): AnswerReader {
  const reply = chain(frames(), converseEvents(), render);
  let over = false;

  function fail(output: Buffer, failure: unknown): void | Promise<void> {
    over = true;
    if (output.length > 0) sink.output(output);
    return sink.failed(failure);
  }

  return {
    get over() {
      return over;
    },
    push(bytes) {
      if (over) return;
      const { output, failure } = drain(() => reply.push(bytes));
      if (failure !== undefined) return fail(output, failure);
      if (output.length > 0) return sink.output(output);
    },
    end() {
      if (over) return;
      const { output, failure } = drain(() => reply.end());
      if (failure !== undefined) return fail(output, failure);
      over = true;
      return sink.ended(output);
    },
  };
}

/** Gathers a whole body, up to a limit. */
export function collector(
  limit: number,
  sink: Pick<AnswerSink, "failed">,
  complete: (body: Buffer) => void | Promise<void>,
): AnswerReader {
  let chunks: Buffer[] = [];
  let size = 0;
  let over = false;

  function fail(error: unknown): void | Promise<void> {
    over = true;
    chunks = [];
    return sink.failed(error);
  }

  return {
    get over() {
      return over;
    },
    push(bytes) {
      if (over) return;
      size += bytes.length;
      if (size > limit) {
        return fail(
          new GatewayError("upstream_invalid_response", `Amazon Bedrock's answer is larger than ${limit} bytes.`),
        );
      }
      chunks.push(bytes);
    },
    end() {
      if (over) return;
      over = true;
      try {
        return complete(Buffer.concat(chunks, size));
      } catch (error) {
        return fail(error);
      }
    },
  };
}

/** Bedrock answers some faults with status 200 and a body that is no answer. */
function parseAnswer({ headers }: AnswerHead, body: string): unknown {
  try {
    return parseJson(body);
  } catch {
    throw bedrockHttpError(200, (name) => headers.get(name), body);
  }
}

/** Runs a stage to its end or its failure; what came before a failure is not lost. */
export function drain(run: () => Iterable<Buffer>): { output: Buffer; failure?: unknown } {
  const pieces: Buffer[] = [];
  try {
    for (const piece of run()) pieces.push(piece);
  } catch (failure) {
    return { output: Buffer.concat(pieces), failure };
  }
  return { output: pieces.length === 1 ? (pieces[0] ?? NO_BYTES) : Buffer.concat(pieces) };
}
