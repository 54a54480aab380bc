/**
 * Converse events as the chunks of a streamed completion.
 *
 * https://platform.openai.com/docs/api-reference/completions/create#completions-create-stream. Chunks of text that are
 * never empty, then one with the finish_reason; after all choices usage if it was asked for, then `[DONE]`. As in all
 * dialects, a stream without `messageStop` never looks complete.
 */
import type { ConverseEvent } from "../../bedrock/converse.ts";
import { GatewayError } from "../../errors.ts";
import type { JsonValue } from "../../json.ts";
import type { Transform } from "../../transform.ts";
import type { SseEvent } from "../dialect.ts";
import type { UsageTotal } from "../openai-usage.ts";
import { AnswerText, type Rendering } from "./answer-text.ts";
import { completion, type Envelope } from "./reply.ts";
import type { FinishReason, TextCompletion } from "./types.ts";

export interface CompletionStreamOptions extends Rendering {
  readonly head: Envelope;
  /** Chunks then have a `usage` of null, as OpenAI's do. */
  readonly includeUsage: boolean;
  readonly choice: number;
  /** Gets this choice's tokens. */
  readonly total: UsageTotal;
}

export class CompletionStream implements Transform<ConverseEvent, SseEvent> {
  readonly #options: CompletionStreamOptions;
  readonly #text: AnswerText;
  #stopped = false;
  #modelFields: JsonValue | undefined;

  constructor(options: CompletionStreamOptions) {
    this.#options = options;
    this.#text = new AnswerText(options, options.choice);
  }

  push(event: ConverseEvent): SseEvent[] {
    if (event.type === "unknown") return [];
    if (event.type === "metadata") {
      this.#options.total.add(event.usage, this.#modelFields, event.serviceTier);
      return [];
    }
    if (this.#stopped) throw invalid(`${event.type} after messageStop`);
    switch (event.type) {
      case "messageStop":
        this.#stopped = true;
        this.#modelFields = event.additionalModelResponseFields;
        return [...this.#say(this.#text.end()), this.#chunk("", this.#text.finishReason(event.stopReason))];
      case "contentBlockDelta":
        return this.#say(this.#text.push(event.delta.text ?? ""));
      default:
        return this.#say(this.#text.push(""));
    }
  }

  end(): Iterable<SseEvent> {
    if (!this.#stopped) throw invalid("it ended without messageStop");
    return [];
  }

  #say(text: string): SseEvent[] {
    return text === "" ? [] : [this.#chunk(text, null)];
  }

  #chunk(text: string, finishReason: FinishReason | null): SseEvent {
    const { head, choice, includeUsage } = this.#options;
    const chunk = completion(head, [{ index: choice, text, logprobs: null, finish_reason: finishReason }]);
    return { data: { ...chunk, ...(includeUsage && { usage: null }) } satisfies TextCompletion };
  }
}

/** The end of a stream: the tokens of all choices if they are wanted and known, and `[DONE]`. */
export function* closingEvents(head: Envelope, total: UsageTotal | undefined): Iterable<SseEvent> {
  if (total !== undefined && !total.empty) yield { data: { ...completion(head, []), ...total.members() } };
  yield { data: "[DONE]" };
}

function invalid(problem: string): GatewayError {
  return new GatewayError("upstream_invalid_response", "Bedrock's stream broke off or could not be read.", {
    cause: new Error(`Converse stream: ${problem}`),
  });
}
