/**
 * Stop sequences, applied to the text that the client sees.
 *
 * Bedrock's models apply them to what they write, which is not the same: they refuse or ignore some, and begin with line
 * breaks where a client's stop is one. So what a client wants to stop at is cut here, after the first letter at least.
 */
import type { Transform } from "../../transform.ts";

export interface StopCut extends Transform<string, string> {
  /** A stop sequence has been found: the text ends there, whatever comes. */
  readonly stopped: boolean;
}

/** Those that a model may be sent: it stops earlier. White space it would stop at before it has begun. */
export function stopsForModel(stops: readonly string[]): string[] {
  return stops.filter((stop) => stop.trim() !== "");
}

export function cutAtStops(stops: readonly string[]): StopCut {
  let held = "";
  let begun = false;
  let stopped = false;

  /** Where the text ends: before the stop sequence that is complete first. White space does not end what has not begun. */
  const find = (text: string): number | undefined => {
    const blank = begun ? 0 : text.length - text.trimStart().length;
    const found = stops
      .map((stop) => ({ stop, at: text.indexOf(stop, stop.trim() === "" ? blank : 0) }))
      .filter(({ at }) => at >= 0);
    return found.sort((a, b) => a.at + a.stop.length - (b.at + b.stop.length) || a.at - b.at)[0]?.at;
  };

  return {
    get stopped() {
      return stopped;
    },
    push(text) {
      if (stopped) return [];
      held += text;
      const at = find(held);
      const end = at ?? held.length - heldBack(held, stops);
      const shown = held.slice(0, end);
      begun ||= shown.trim() !== "";
      held = held.slice(end);
      stopped = at !== undefined;
      return [shown];
    },
    end() {
      return stopped ? [] : [held];
    },
  };
}

/** How many characters at the end of `text` are the beginning of one of `ends`, and have to wait for what follows. */
export function heldBack(text: string, ends: readonly string[]): number {
  let most = 0;
  for (const end of ends) {
    for (let length = Math.min(end.length - 1, text.length); length > most; length -= 1) {
      if (!text.endsWith(end.slice(0, length))) continue;
      most = length;
      break;
    }
  }
  return most;
}
