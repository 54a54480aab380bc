/** What the body of every call has: the model's name and flags. */
import type { Field } from "./fields.ts";

const MAX_MODEL_LENGTH = 2048;

export function readModel(model: Field): string {
  const name = model.name("the name of a model");
  if (name.length > MAX_MODEL_LENGTH) throw model.error(`must be at most ${MAX_MODEL_LENGTH} characters long`);
  return name;
}

export function readFlag(flag: Field): boolean {
  return !flag.absent && flag.boolean();
}

/** 0 and -1 are how some servers write "no limit". */
export function readTopK(topK: Field): number | undefined {
  if (topK.absent || topK.value === -1 || topK.value === 0) return undefined;
  return topK.integer(1);
}
