/**
 * Which models a key may call: exact ids, or patterns in which `*` stands for any characters. An empty list allows all.
 * Only text is compared here: what a name resolves to is the catalog's business.
 */
import { GatewayError } from "../errors.ts";
import { matchesGlob } from "../glob.ts";
import type { Key } from "../store/store.ts";

const MAX_NAMED = 20;

/** Throws GatewayError `model_not_allowed` that names what is allowed. */
export function assertModelAllowed(key: Pick<Key, "models">, model: string): void {
  if (isModelAllowed(key, model)) return;
  const named = key.models.slice(0, MAX_NAMED).join(", ");
  const more = key.models.length > MAX_NAMED ? ` and ${key.models.length - MAX_NAMED} more` : "";
  throw new GatewayError(
    "model_not_allowed",
    `This API key may not use the model ${JSON.stringify(model.slice(0, 200))}. It may use: ${named}${more}.`,
    { param: "model" },
  );
}

export function isModelAllowed({ models }: Pick<Key, "models">, model: string): boolean {
  return models.length === 0 || models.some((pattern) => matchesGlob(pattern, model));
}
