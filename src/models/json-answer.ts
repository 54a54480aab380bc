/**
 * The JSON of an answer as its text: taken from a hidden tool's arguments, or picked out of text that may have words and
 * code fences around it.
 *
 * Text is held until it is known what it is. When JSON comes, what was held and what follows is no part of the answer; when
 * a tool of the client's is called, or the answer ends without JSON (a refusal), it is text after all. Whole answers go
 * through the same machine, so that both forms of an answer always agree.
 */
import type { AnswerBlock, ConverseEvent, ConverseResponse } from "../bedrock/converse.ts";
import { synthesizeEvents } from "../bedrock/synthesize-events.ts";
import type { Transform } from "../transform.ts";

export type JsonSource =
  | { readonly from: "tool"; readonly name: string }
  /** `open`: what the JSON begins with. */
  | { readonly from: "text"; readonly open: "{" | "[" };

export function jsonEvents(source: JsonSource): Transform<ConverseEvent, ConverseEvent> {
  return new JsonAnswer(source);
}

/** A whole answer; blocks that are not text stay as they are. */
export function jsonAnswer(response: ConverseResponse, source: JsonSource): ConverseResponse {
  const machine = new JsonAnswer(source);
  const texts = new Map<number, string>();
  let { stopReason } = response;
  const read = (events: Iterable<ConverseEvent>): void => {
    for (const event of events) {
      if (event.type === "messageStop") stopReason = event.stopReason;
      if (!("index" in event)) continue;
      const text = event.type === "contentBlockDelta" ? (event.delta.text ?? "") : "";
      texts.set(event.index, (texts.get(event.index) ?? "") + text);
    }
  };
  for (const event of synthesizeEvents(response)) read(machine.push(event));
  read(machine.end());
  const blocks = response.output.message.content;
  const content = [...texts].flatMap(([index, text]): AnswerBlock[] => {
    const block = blocks[index];
    if (block === undefined) return [];
    return machine.isText(index) ? [{ text }] : [block];
  });
  return { ...response, output: { message: { ...response.output.message, content } }, stopReason };
}

class JsonAnswer implements Transform<ConverseEvent, ConverseEvent> {
  readonly #source: JsonSource;
  readonly #scanner: JsonScanner | undefined;
  /** Blocks whose text this machine decides about, the hidden tool's among them. */
  readonly #texts = new Set<number>();
  readonly #shown = new Set<number>();
  /** Hidden calls after the first. */
  readonly #ignored = new Set<number>();
  #held: { readonly index: number; readonly text: string }[] = [];
  #answer: { readonly index: number; empty: boolean } | undefined;
  #found = false;
  #calls = 0;

  constructor(source: JsonSource) {
    this.#source = source;
    this.#scanner = source.from === "text" ? new JsonScanner(source.open) : undefined;
  }

  isText(index: number): boolean {
    return this.#texts.has(index);
  }

  *push(event: ConverseEvent): Iterable<ConverseEvent> {
    switch (event.type) {
      case "contentBlockStart":
        yield* this.#onStart(event);
        return;
      case "contentBlockDelta":
        yield* this.#onDelta(event);
        return;
      case "contentBlockStop":
        yield* this.#onStop(event);
        return;
      case "messageStop": {
        yield* this.#showHeld();
        const answered = this.#answer !== undefined && this.#calls === 0 && event.stopReason === "tool_use";
        yield answered ? { ...event, stopReason: "end_turn" } : event;
        return;
      }
      default:
        yield event;
    }
  }

  *end(): Iterable<ConverseEvent> {}

  *#onStart(event: Extract<ConverseEvent, { type: "contentBlockStart" }>): Iterable<ConverseEvent> {
    const { index, start } = event;
    if (start.toolUse === undefined) yield event;
    else if (this.#source.from !== "tool" || start.toolUse.name !== this.#source.name) {
      this.#calls += 1;
      yield* this.#showHeld();
      yield event;
    } else if (this.#found) this.#ignored.add(index);
    else {
      this.#find();
      this.#texts.add(index);
      this.#answer = { index, empty: true };
    }
  }

  *#onDelta(event: Extract<ConverseEvent, { type: "contentBlockDelta" }>): Iterable<ConverseEvent> {
    const { index, delta } = event;
    if (this.#ignored.has(index)) return;
    if (this.#answer?.index === index) {
      const input = delta.toolUse?.input;
      if (!input) return;
      this.#answer.empty = false;
      yield textDelta(index, input);
    } else if (delta.text === undefined && delta.citation === undefined) yield event;
    else {
      this.#texts.add(index);
      if (delta.text) yield* this.#onText(index, delta.text);
    }
  }

  *#onText(index: number, text: string): Iterable<ConverseEvent> {
    const json = this.#scanner?.push(text) ?? "";
    if (json !== "") {
      this.#find();
      this.#shown.add(index);
      yield textDelta(index, json);
    } else if (!this.#found) this.#held.push({ index, text });
  }

  *#onStop(event: Extract<ConverseEvent, { type: "contentBlockStop" }>): Iterable<ConverseEvent> {
    const { index } = event;
    if (this.#answer?.index === index) {
      if (this.#answer.empty) yield textDelta(index, "{}");
      yield event;
    } else if (this.#texts.has(index)) {
      if (this.#shown.has(index)) yield event;
    } else if (!this.#ignored.has(index)) yield event;
  }

  #find(): void {
    this.#found = true;
    this.#held = [];
  }

  /** It was text after all; its blocks' own ends have been swallowed or will be. */
  *#showHeld(): Iterable<ConverseEvent> {
    const held = this.#held;
    this.#held = [];
    for (const [position, { index, text }] of held.entries()) {
      yield textDelta(index, text);
      if (held[position + 1]?.index !== index) yield { type: "contentBlockStop", index };
    }
  }
}

function textDelta(index: number, text: string): ConverseEvent {
  return { type: "contentBlockDelta", index, delta: { text } };
}

/** Passes one JSON value of a text on, piece by piece, without what stands around it. */
class JsonScanner {
  readonly #open: string;
  #depth = 0;
  #state: "before" | "inside" | "after" = "before";
  #inString = false;
  #escaped = false;

  constructor(open: "{" | "[") {
    this.#open = open;
  }

  push(text: string): string {
    const start = this.#state === "before" ? text.indexOf(this.#open) : 0;
    if (start < 0 || this.#state === "after") return "";
    this.#state = "inside";
    for (let position = start; position < text.length; position += 1) {
      if (!this.#step(text.charAt(position))) continue;
      this.#state = "after";
      return text.slice(start, position + 1);
    }
    return text.slice(start);
  }

  /** True when the value ends with `character`. */
  #step(character: string): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (character === "\\") this.#escaped = true;
      else if (character === '"') this.#inString = false;
      return false;
    }
    if (character === '"') this.#inString = true;
    else if (character === "{" || character === "[") this.#depth += 1;
    else if (character === "}" || character === "]") this.#depth -= 1;
    return this.#depth === 0;
  }
}
