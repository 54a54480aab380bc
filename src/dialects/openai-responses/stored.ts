/**
 * Answers that are stored, as requests refer to them: https://platform.openai.com/docs/guides/conversation-state.
 *
 * Storing is not a dialect's business. Here is what a request refers to, and how what was found takes its place; where
 * nothing is stored, a reference is refused by its name.
 */
import { isJsonObject } from "../../json.ts";
import type { StoredAnswers, StoredReferences } from "../dialect.ts";
import { Field } from "../fields.ts";
import { inputItems, isReference } from "../openai-input.ts";

/** Of a body that has not been checked. */
export function refersTo(value: unknown): StoredReferences {
  const body = Field.root(value);
  const response = body.at("previous_response_id").value;
  const input = body.at("input");
  const items = Array.isArray(input.value) ? input.items().filter(isReference) : [];
  return {
    ...(typeof response === "string" && { response }),
    items: items.flatMap((item) => (typeof item.at("id").value === "string" ? [item.at("id").string()] : [])),
  };
}

export interface Items {
  /** What was said before, oldest first. */
  readonly earlier: readonly Field[];
  /** What the request itself adds. */
  readonly own: readonly Field[];
}

/** Throws GatewayError `invalid_request` for what is not stored. References that stay are refused where they are read. */
export function readItemsOf(body: Field, stored: StoredAnswers | undefined): Items {
  const previous = body.at("previous_response_id");
  if (!previous.absent && stored === undefined)
    throw previous.error("must be left out: no answers are stored here, send the whole conversation as input");
  if (!previous.absent && stored?.conversation === undefined)
    throw previous.error("must be the id of an answer that is stored here: it is not, or not any more");
  const own = inputItems(body.at("input")).map((item) => {
    const found = isReference(item) ? stored?.items.get(item.at("id").name()) : undefined;
    return isJsonObject(found) ? Field.root(found) : item;
  });
  return { earlier: previous.absent ? [] : Field.root(stored?.conversation).items(), own };
}
