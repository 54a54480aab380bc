/**
 * The text of one answer, piece by piece: the prompt where it is echoed, then what the model says, without the tags around a
 * gap's text and up to the first stop sequence.
 */
import type { Transform } from "../../transform.ts";
import { completionOf, middleOf } from "./fill-in-the-middle.ts";
import type { Answer } from "./request.ts";
import { cutAtStops, type StopCut } from "./stops.ts";
import type { FinishReason } from "./types.ts";

/** How the client wants its answers. */
export interface Rendering {
  readonly answers: readonly Answer[];
  readonly stops: readonly string[];
  readonly echo: boolean;
}

export class AnswerText {
  readonly #inner: Transform<string, string> | undefined;
  readonly #cut: StopCut;
  #begun = false;
  readonly #echoed: string;

  constructor({ answers, stops, echo }: Rendering, choice: number) {
    const answer = answers[choice];
    if (answer === undefined) throw new Error(`there is no choice ${choice}`);
    const { prompt, gap } = answer;
    this.#inner = gap === undefined ? completionOf(prompt) : middleOf(gap);
    this.#cut = cutAtStops(stops);
    this.#echoed = echo ? prompt : "";
  }

  push(text: string): string {
    const said = this.#inner === undefined ? [text] : [...this.#inner.push(text)];
    return this.#begin() + this.#show(said);
  }

  end(): string {
    const rest = this.#inner === undefined ? [] : [...this.#inner.end()];
    return this.#begin() + this.#show(rest) + [...this.#cut.end()].join("");
  }

  finishReason(stopReason: string): FinishReason {
    switch (stopReason) {
      case "guardrail_intervened":
      case "content_filtered":
        return "content_filter";
      case "max_tokens":
      case "model_context_window_exceeded":
        return this.#cut.stopped ? "stop" : "length";
      default:
        return "stop";
    }
  }

  #begin(): string {
    if (this.#begun) return "";
    this.#begun = true;
    return this.#echoed;
  }

  #show(texts: readonly string[]): string {
    return texts.flatMap((text) => [...this.#cut.push(text)]).join("");
  }
}
