/** What a Chat Completions request asks for that can't be done is refused with its `param`; and how many answers it wants. */
import type { Field } from "../fields.ts";

/** Each choice is a call of its own. */
export const MAX_CHOICES = 8;

export function readChoices(n: Field): number {
  if (n.absent) return 1;
  const choices = n.integer(1);
  if (choices > MAX_CHOICES) throw n.error(`must be at most ${MAX_CHOICES}`);
  return choices;
}

export function refuseUnsupported(body: Field): void {
  const logprobs = body.at("logprobs");
  if (!logprobs.absent && logprobs.value !== 0 && logprobs.boolean())
    throw logprobs.error("must be false: Bedrock gives no log probabilities");
  const top = body.at("top_logprobs");
  if (!top.absent && top.value !== 0) throw top.error("must be left out: Bedrock gives no log probabilities");
  const audio = body.at("audio");
  if (!audio.absent) throw audio.error("must be left out: answers are text");
  const modalities = body.at("modalities");
  if (!modalities.absent && modalities.items().some((modality) => modality.value !== "text"))
    throw modalities.error('must be ["text"] or left out: answers are text');
  const search = body.at("web_search_options");
  if (!search.absent) throw search.error("must be left out: web search is not supported");
  for (const name of ["previous_response_id", "conversation"]) {
    const stored = body.at(name);
    if (!stored.absent) throw stored.error("must be left out: nothing is stored here, send the whole conversation");
  }
}
