/**
 * Converse answers as a `text_completion` object: https://platform.openai.com/docs/api-reference/completions/object.
 *
 * The text is what the model says and nothing else: reasoning, calls and images have no place here.
 */
import type { AnswerBlock, ConverseResponse } from "../../bedrock/converse.ts";
import type { CallMeta } from "../dialect.ts";
import { UsageTotal } from "../openai-usage.ts";
import { AnswerText, type Rendering } from "./answer-text.ts";
import type { CompletionChoice, TextCompletion } from "./types.ts";

/** What every object of an answer repeats. */
export interface Envelope {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

export function envelope(model: string, meta: CallMeta): Envelope {
  return { id: `cmpl-${meta.id}`, created: meta.created, model };
}

/** One response for each choice, in their order. */
export function textCompletion(
  responses: readonly ConverseResponse[],
  head: Envelope,
  rendering: Rendering,
): TextCompletion {
  const total = new UsageTotal();
  for (const { usage, additionalModelResponseFields, serviceTier } of responses)
    total.add(usage, additionalModelResponseFields, serviceTier?.type);
  const choices = responses.map((response, index) => choice(response, index, rendering));
  return { ...completion(head, choices), ...total.members() };
}

export function completion({ id, created, model }: Envelope, choices: CompletionChoice[]): TextCompletion {
  return { id, object: "text_completion", created, model, choices };
}

function choice({ output, stopReason }: ConverseResponse, index: number, rendering: Rendering): CompletionChoice {
  const answer = new AnswerText(rendering, index);
  const text = answer.push(output.message.content.map(textOf).join("")) + answer.end();
  return { index, text, logprobs: null, finish_reason: answer.finishReason(stopReason) };
}

function textOf({ text, citationsContent }: AnswerBlock): string {
  return (text ?? "") + (citationsContent?.content ?? []).map((part) => part.text ?? "").join("");
}
