/**
 * The requests that arrived, newest last: what tests assert on.
 *
 * Bounded by number and by the bytes of the bodies, so that a load test can't fill the memory: the oldest go first.
 */
import type { IncomingHttpHeaders } from "node:http";

export type Operation =
  | "Converse"
  | "ConverseStream"
  | "InvokeModel"
  | "InvokeModelWithResponseStream"
  | "CountTokens"
  | "ListFoundationModels"
  | "GetFoundationModel"
  | "ListInferenceProfiles"
  | "GetInferenceProfile"
  | "Unknown";

export interface RecordedRequest {
  /** 1 for the first request that arrived. */
  readonly order: number;
  readonly method: string;
  /** Path and query as on the request line. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly operation: Operation;
  /** Decoded from the path, where there is one. */
  readonly modelId: string | undefined;
  /** The body as it arrived, decoded as UTF-8. */
  body: string;
  /** The parsed body; undefined when there is none or it is not JSON. */
  json: unknown;
  /** The status that was answered; undefined until the headers are sent. */
  status: number | undefined;
  /** True when the other side closed before the whole answer was sent. */
  aborted: boolean;
  /** True when the exchange is over, in whichever way. */
  done: boolean;
  /** Names of headers that held a client's key (`sk-…`): must stay empty behind a gateway. */
  readonly leaks: readonly string[];
}

const MAX_BODY_BYTES = 64 * 1024 * 1024;
const CLIENT_KEY = /\bsk-/;

export class Recorder {
  readonly requests: RecordedRequest[] = [];
  readonly #limit: number;
  readonly #waiting = new Set<() => void>();
  #order = 0;
  #bodyBytes = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(
    request: Pick<RecordedRequest, "method" | "path" | "headers" | "operation" | "modelId">,
    rawHeaders: readonly string[],
  ): RecordedRequest {
    this.#order += 1;
    const recorded: RecordedRequest = {
      ...request,
      order: this.#order,
      body: "",
      json: undefined,
      status: undefined,
      aborted: false,
      done: false,
      leaks: leakedIn(rawHeaders),
    };
    this.requests.push(recorded);
    if (this.requests.length > this.#limit) this.#dropOldest();
    this.changed();
    return recorded;
  }

  setBody(request: RecordedRequest, body: string): void {
    request.body = body;
    this.#bodyBytes += body.length;
    while (this.#bodyBytes > MAX_BODY_BYTES && this.requests.length > 1) this.#dropOldest();
  }

  /** Tells those who wait that a request changed. */
  changed(): void {
    for (const wake of this.#waiting) wake();
  }

  /** The oldest recorded request that passes `test`, now or within `timeoutMs`; rejects afterwards. */
  waitFor(test: (request: RecordedRequest) => boolean, timeoutMs: number): Promise<RecordedRequest> {
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void) => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        finish();
      };
      const check = () => {
        try {
          const found = this.requests.find(test);
          if (found !== undefined) settle(() => resolve(found));
        } catch (error) {
          settle(() => reject(error));
        }
      };
      const late = () => new Error(`no such request within ${timeoutMs} ms; ${this.requests.length} recorded`);
      const timer = setTimeout(() => settle(() => reject(late())), timeoutMs);
      this.#waiting.add(check);
      check();
    });
  }

  #dropOldest(): void {
    const oldest = this.requests.shift();
    this.#bodyBytes -= oldest?.body.length ?? 0;
  }
}

function leakedIn(rawHeaders: readonly string[]): string[] {
  const names: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2)
    if (CLIENT_KEY.test(rawHeaders[index + 1] ?? "")) names.push((rawHeaders[index] ?? "").toLowerCase());
  return names;
}
