/**
 * The log: JSON lines on stderr, so that results alone go to stdout.
 *
 * Nothing that a client sends is logged but its key's id, the model it named and sizes. Should a secret get into an
 * object by mistake, the paths below are blanked, and an error's text loses whatever looks like a key.
 */
import { type DestinationStream, destination, type Logger, pino, stdSerializers } from "pino";
import type { LogLevel } from "./config.ts";

export type { Logger } from "pino";

const SECRET_PATHS = [
  "authorization",
  "x-api-key",
  "api-key",
  "secretAccessKey",
  "sessionToken",
  "token",
  "secret",
  "key",
].flatMap((name) => [`["${name}"]`, `*["${name}"]`]);

const SECRETS =
  /\bsk-[A-Za-z0-9_-]{8,}|\bBearer\s+\S+|\b(AKIA|ASIA)[A-Z0-9]{12,}\b|\bbedrock-api-key-\S+|\bABSK\S{20,}/g;

export function createLogger(level: LogLevel, output?: DestinationStream): Logger {
  return pino(
    {
      level,
      base: { service: "bedrock-gateway" },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_PATHS, censor: "[redacted]" },
      serializers: { err: (error: Error) => blank(stdSerializers.errWithCause(error)) },
    },
    output ?? destination({ fd: 2, sync: false, minLength: 0 }),
  );
}

/** Replaces what looks like a secret anywhere in an error's texts. */
function blank(value: unknown): unknown {
  if (typeof value === "string") return value.replace(SECRETS, "[redacted]");
  if (Array.isArray(value)) return value.map(blank);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, blank(member)]));
}
