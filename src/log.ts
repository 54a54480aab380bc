/**
 * The log: JSON lines on stderr, so that results alone go to stdout.
 *
 * Nothing that a client sends is logged but its key's id, the model it named and sizes. Should a secret get into a line
 * by mistake, members with a secret's name are blanked at any depth, and so is whatever looks like a key in any text.
 * Errors are written with all their causes: one may be a plain object, such as the fault that Bedrock answered.
 */
import { type DestinationStream, destination, type Logger, pino } from "pino";
import type { LogLevel } from "./config.ts";

export type { Logger } from "pino";

const CENSOR = "[redacted]";

/** In lower case, without `-` and `_`. */
const SECRET_NAMES = new Set([
  "authorization",
  "xapikey",
  "apikey",
  "key",
  "secret",
  "secretaccesskey",
  "awssecretaccesskey",
  "token",
  "sessiontoken",
  "awssessiontoken",
  "xamzsecuritytoken",
  "awsbearertokenbedrock",
  "cookie",
  "password",
]);

/**
 * Runs over a line of JSON: no pattern may take the quote or the backslash that ends a text, and a secret may stand right
 * behind the letter of an escaped control character. A whole gateway key is known wherever it stands.
 */
const SECRETS =
  /sk-[A-Za-z0-9_-]{43,}|(?:\b|(?<=\\[bfnrt]|\\u[0-9a-f]{4}))(?:sk-[A-Za-z0-9_-]{8,}|Bearer\s+[^\s"\\]+|(?:AKIA|ASIA)[A-Z0-9]{12,}\b|bedrock-api-key-[^\s"\\]+|ABSK[^\s"\\]{20,})/g;

const MAX_DEPTH = 8;

/** A write for each line costs more than all else that a line does. What waits is written when the process ends. */
const WRITE_BYTES = 8 * 1024;
const WRITE_MS = 100;

export function createLogger(level: LogLevel, output?: DestinationStream): Logger {
  return pino(
    {
      level,
      base: { service: "bedrock-gateway" },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: (line) => members(line, new WeakSet(), 0) },
      // The formatter above has made it plain.
      serializers: { err: (error) => error },
      hooks: { streamWrite: (line) => line.replace(SECRETS, CENSOR) },
    },
    output ?? destination({ fd: 2, sync: false, minLength: WRITE_BYTES, periodicFlush: WRITE_MS }),
  );
}

function members(value: object, seen: WeakSet<object>, depth: number): Record<string, unknown> {
  const pairs = Object.entries(value).map(([name, member]) => {
    return [name, member != null && isSecretName(name) ? CENSOR : plain(member, seen, depth + 1)];
  });
  return Object.fromEntries(pairs);
}

/** The gateway's own lines have the same few names over and over. */
const judgedNames = new Map<string, boolean>();
const MAX_JUDGED_NAMES = 1_000;

function isSecretName(name: string): boolean {
  const known = judgedNames.get(name);
  if (known !== undefined) return known;
  const secret = SECRET_NAMES.has(name.toLowerCase().replace(/[-_]/g, ""));
  if (judgedNames.size < MAX_JUDGED_NAMES) judgedNames.set(name, secret);
  return secret;
}

/** Errors from libraries can hold sockets and themselves: each object is written once, and not endlessly deep. */
function plain(value: unknown, seen: WeakSet<object>, depth: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return `[${value.byteLength} bytes]`;
  if (value instanceof Date) return value;
  if (seen.has(value) || depth > MAX_DEPTH) return "[…]";
  seen.add(value);
  if (Array.isArray(value)) return value.map((item) => plain(item, seen, depth + 1));
  if (!(value instanceof Error)) return members(value, seen, depth);
  // None of these is enumerable, unlike what our own and the SDK's errors add.
  const { message, stack, cause } = value;
  const errors = value instanceof AggregateError ? { errors: value.errors } : {};
  const own = { ...value, message, stack, ...(cause === undefined ? {} : { cause }), ...errors };
  return { type: value.constructor.name, ...members(own, seen, depth) };
}
