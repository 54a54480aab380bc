/**
 * Server-sent events on the wire; the only place that writes `data:`.
 *
 * https://html.spec.whatwg.org/multipage/server-sent-events.html. Every event ends with a blank line, the last one too.
 */
import { stringifyJson } from "../json.ts";
import type { Transform } from "../transform.ts";
import type { SseEvent } from "./dialect.ts";

/** A comment: keeps proxies and clients from giving up while the model is silent. Clients skip it. */
export const KEEP_ALIVE: Buffer = Buffer.from(": keep-alive\n\n");

export function sse(): Transform<SseEvent, Buffer> {
  return {
    push: (event) => [encodeEvent(event)],
    end: () => [],
  };
}

export function encodeEvent(event: SseEvent): Buffer {
  const name = event.event === undefined ? "" : `event: ${event.event}\n`;
  return Buffer.from(`${name}${dataLines(event.data)}\n`);
}

function dataLines(data: unknown): string {
  if (typeof data !== "string") return `data: ${stringifyJson(data)}\n`;
  return data
    .split(/\r\n|\r|\n/)
    .map((line) => `data: ${line}\n`)
    .join("");
}
