/**
 * What a client says about its request (who, which project, which trace), as Bedrock's `requestMetadata`.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html: at most 16 entries of a narrow
 * alphabet, written to the invocation log. One place, for the key's id, and keys with a prefix are the gateway's own.
 * Metadata never fails a request: what does not fit is left out with a warning.
 */

export const MAX_ENTRIES = 16;
/** `gateway_key_id`. */
export const OWN_ENTRIES = 1;
export const OWN_PREFIX = "gateway_";

const MAX_LENGTH = 256;

/** Entries in the client's order; the first of equal keys counts. Absent when nothing is left. */
export function requestMetadata(entries: Iterable<readonly [key: string, value: unknown]>): {
  requestMetadata?: Record<string, string>;
  warnings: string[];
} {
  const kept = new Map<string, string>();
  let dropped = 0;
  for (const [name, value] of entries) {
    const room = kept.size < MAX_ENTRIES - OWN_ENTRIES;
    const text = room ? textOf(value) : undefined;
    // A million entries may come: what is left out anyway is not cleaned first.
    const key = text === undefined ? "" : clean(name).trim();
    if (text === undefined || key === "" || kept.has(key) || key.startsWith(OWN_PREFIX)) dropped += 1;
    else kept.set(key, clean(text));
  }
  return {
    ...(kept.size > 0 && { requestMetadata: Object.fromEntries(kept) }),
    warnings: dropped === 0 ? [] : [`${dropped} metadata entries do not fit Bedrock's request metadata, left out`],
  };
}

function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : undefined;
}

function clean(text: string): string {
  return text
    .slice(0, MAX_LENGTH)
    .replace(/\s/g, " ")
    .replace(/[^a-zA-Z0-9 :_@$#=/+,.-]/g, "_");
}
