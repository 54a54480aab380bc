/** Times on the command line. */
import { parseDuration } from "../time.ts";
import { CommandFailure } from "./command.ts";

export { parseDate, parseDuration } from "../time.ts";

/** A duration that must be one. `option` is named when it is not. */
export function requireDuration(option: string, text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) {
    throw new CommandFailure(
      `${option} ${JSON.stringify(text)} is not a duration: give one such as 90s, 15m, 1h or 30d.`,
    );
  }
  return ms;
}

/** To the minute, for people: `2026-12-31 23:59`. */
export function showTime(ms: number | null, none: string): string {
  return ms === null ? none : new Date(ms).toISOString().slice(0, 16).replace("T", " ");
}
