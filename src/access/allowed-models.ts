/**
 * Which models a key may call: exact ids, the operator's aliases, or patterns in which `*` stands for any characters. An empty
 * list allows all.
 *
 * Text is compared, as the client wrote it: `anthropic.*` means neither `us.anthropic.…` nor an ARN; `*anthropic.*` means
 * both. Where the client wrote an alias, a pattern may fit its name or what it stands for: `gpt-4o`, or `gpt*`, in a list is
 * the operator's word that the key may use that alias, whatever is behind it, and `amazon.*` opens the aliases of Amazon's
 * models and no others.
 */
import { GatewayError } from "../errors.ts";
import { matchesGlob } from "../glob.ts";
import type { Key } from "../store/store.ts";

const MAX_NAMED = 20;

/** Throws GatewayError `model_not_allowed` that names what is allowed. */
export function assertModelAllowed(key: Pick<Key, "models">, written: string, target?: string): void {
  if (isModelAllowed(key, written, target)) return;
  const named = key.models.slice(0, MAX_NAMED).join(", ");
  const more = key.models.length > MAX_NAMED ? ` and ${key.models.length - MAX_NAMED} more` : "";
  throw new GatewayError(
    "model_not_allowed",
    `This API key may not use the model ${JSON.stringify(written.slice(0, 200))}. It may use: ${named}${more}.`,
    { param: "model" },
  );
}

/** `target`: what the written name stands for where it is an alias. */
export function isModelAllowed({ models }: Pick<Key, "models">, written: string, target = written): boolean {
  return models.length === 0 || models.some((pattern) => matchesGlob(pattern, written) || matchesGlob(pattern, target));
}
