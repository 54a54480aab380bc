/**
 * Names and ids that Bedrock takes, from names and ids that clients use.
 *
 * Converse wants tool names of `[a-zA-Z0-9_-]{1,64}` and tool call ids of `[a-zA-Z0-9_.:-]{1,64}`. What fits stays as it
 * is. What does not gets a suffix hashed from the whole original, so that the result depends on nothing else in the
 * request: a conversation that grows keeps its prefix byte for byte, which prompt caching needs.
 */
import { hash } from "node:crypto";
import type { TakenNames } from "./taken-names.ts";

export interface ToolNames {
  /** The name to send to Bedrock. */
  encode(name: string): string;
  /** The client's name again; a name that was never encoded comes back as it is. */
  decode(name: string): string;
}

const VALID_NAME = /^[a-zA-Z0-9_-]{1,64}$/;
const VALID_ID = /^[a-zA-Z0-9_.:-]{1,64}$/;
const MAX_LENGTH = 64;
const ROOM_FOR_NUMBER = ".9999999".length;

/** One request's names, with the way back for its answer. */
export function toolNames(): ToolNames {
  const originals = new Map<string, string>();
  return {
    encode(name) {
      if (VALID_NAME.test(name)) return name;
      const encoded = withHash(name.replace(/[^a-zA-Z0-9_-]+/g, "_").replace(/^_+/, ""), name, 8);
      originals.set(encoded, name);
      return encoded;
    },
    decode: (name) => originals.get(name) ?? name,
  };
}

export function toolUseId(id: string): string {
  return VALID_ID.test(id) ? id : withHash(id.replace(/[^a-zA-Z0-9_.:-]+/g, "_"), id, 16);
}

/** `id`, or the first of `id.2`, `id.3` … that is not taken. */
export function uniqueToolUseId(id: string, taken: TakenNames): string {
  return taken.unique(id, id.slice(0, MAX_LENGTH - ROOM_FOR_NUMBER), (base, n) => `${base}.${n}`);
}

function withHash(readable: string, original: string, digits: number): string {
  const suffix = hash("sha256", original, "hex").slice(0, digits);
  const prefix = readable.slice(0, MAX_LENGTH - digits - 1) || "tool";
  return `${prefix}_${suffix}`;
}
