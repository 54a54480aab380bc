/**
 * Converse events as the events of a Messages stream: https://docs.anthropic.com/en/docs/build-with-claude/streaming.
 *
 * message_start, then each block as start, deltas and stop, then one message_delta and message_stop. Blocks count from 0
 * without gaps, whatever Bedrock's indexes are: one that says nothing does not appear. Bedrock tells the tokens after the
 * reason for the end, and Anthropic in the same event: message_delta waits for them. When they do not come the answer is
 * complete all the same, with what was known before.
 *
 * `messageStop` ends the answer: without it the stream was cut, and `end()` throws rather than let it look complete.
 */
import type { BlockDelta, BlockStart, ConverseEvent, TokenUsage } from "../../bedrock/converse.ts";
import { GatewayError, unreachable } from "../../errors.ts";
import type { JsonValue } from "../../json.ts";
import type { Transform } from "../../transform.ts";
import type { SseEvent } from "../dialect.ts";
import { citationOf, emptyMessage, type Rendering, stop, toolUseBlock } from "./reply.ts";
import type { Block, StreamEvent } from "./types.ts";
import { deltaUsage, usageOf } from "./usage.ts";

type OpenBlock =
  | { readonly kind: "text" | "tool" | "thinking"; readonly index: number }
  /** Sent in one piece when it is complete. */
  | { readonly kind: "redacted"; readonly parts: string[] };

const NOTHING_KNOWN: TokenUsage = { inputTokens: 0, outputTokens: 0 };

export class MessageStream implements Transform<ConverseEvent, SseEvent> {
  readonly #rendering: Rendering;
  readonly #known: TokenUsage;
  /** By Bedrock's index. */
  readonly #open = new Map<number, OpenBlock>();
  #started = false;
  #pinged = false;
  #blocks = 0;
  #hasCalls = false;
  /** Set by `messageStop`. */
  #stopped: { readonly reason: string; readonly fields: JsonValue | undefined } | undefined;
  #ended = false;

  constructor(rendering: Rendering, known: TokenUsage = NOTHING_KNOWN) {
    this.#rendering = rendering;
    this.#known = known;
  }

  push(event: ConverseEvent): SseEvent[] {
    if (event.type === "unknown") return [];
    if (event.type === "metadata") return this.#finish(event.usage, event.serviceTier);
    if (this.#stopped !== undefined) throw invalid(`${event.type} after messageStop`);
    const events = this.#events(event).map(named);
    if (!this.#started) {
      this.#started = true;
      events.unshift(named({ type: "message_start", message: emptyMessage(this.#rendering, this.#known) }));
    }
    return events;
  }

  end(): SseEvent[] {
    if (this.#stopped === undefined) throw invalid("it ended without messageStop");
    return this.#finish(this.#known, undefined);
  }

  /** Whatever is told of tokens before the end belongs to no answer. */
  #finish(usage: TokenUsage, tier: string | undefined): SseEvent[] {
    if (this.#stopped === undefined || this.#ended) return [];
    this.#ended = true;
    const { reason, fields } = this.#stopped;
    return [
      named({
        type: "message_delta",
        delta: stop(reason, this.#hasCalls, fields, this.#rendering),
        usage: deltaUsage(usageOf(usage, fields, tier)),
      }),
    ];
  }

  #events(event: Exclude<ConverseEvent, { type: "unknown" | "metadata" }>): StreamEvent[] {
    switch (event.type) {
      case "messageStart":
        return [];
      case "contentBlockStart":
        return this.#openTool(event.index, event.start);
      case "contentBlockDelta":
        return this.#extend(event.index, event.delta);
      case "contentBlockStop":
        return this.#close(event.index);
      case "messageStop":
        this.#stopped = { reason: event.stopReason, fields: event.additionalModelResponseFields };
        return [...this.#open.keys()].flatMap((index) => this.#close(index));
      default:
        return unreachable(event);
    }
  }

  /** Only tool calls announce themselves; text and reasoning begin with their first delta. */
  #openTool(at: number, { toolUse }: BlockStart): StreamEvent[] {
    if (toolUse === undefined) return [];
    this.#hasCalls = true;
    const name = this.#rendering.names.decode(toolUse.name);
    return [...this.#close(at), ...this.#start(at, "tool", toolUseBlock(toolUse.toolUseId, name, {}))];
  }

  #extend(at: number, { text, toolUse, reasoningContent, citation }: BlockDelta): StreamEvent[] {
    const events: StreamEvent[] = [];
    if (text) {
      const index = this.#inBlock(at, "text", events);
      events.push({ type: "content_block_delta", index, delta: { type: "text_delta", text } });
    }
    if (toolUse?.input) {
      const block = this.#open.get(at);
      if (block?.kind !== "tool") throw invalid("tool input outside a tool block");
      const delta = { type: "input_json_delta", partial_json: toolUse.input } as const;
      events.push({ type: "content_block_delta", index: block.index, delta });
    }
    if (reasoningContent !== undefined) this.#think(at, reasoningContent, events);
    for (const found of citation === undefined ? [] : citationOf(citation)) {
      const index = this.#inBlock(at, "text", events);
      events.push({ type: "content_block_delta", index, delta: { type: "citations_delta", citation: found } });
    }
    return events;
  }

  #think(at: number, delta: NonNullable<BlockDelta["reasoningContent"]>, events: StreamEvent[]): void {
    const { text, signature, redactedContent } = delta;
    if (redactedContent) {
      const open = this.#open.get(at);
      if (open?.kind === "redacted") open.parts.push(redactedContent);
      else {
        events.push(...this.#close(at));
        this.#open.set(at, { kind: "redacted", parts: [redactedContent] });
      }
    }
    if (text) {
      const index = this.#inBlock(at, "thinking", events);
      events.push({ type: "content_block_delta", index, delta: { type: "thinking_delta", thinking: text } });
    }
    if (signature) {
      const index = this.#inBlock(at, "thinking", events);
      events.push({ type: "content_block_delta", index, delta: { type: "signature_delta", signature } });
    }
  }

  /** The client's index of the open block of this kind, which is begun where there is none. */
  #inBlock(at: number, kind: "text" | "thinking", events: StreamEvent[]): number {
    const open = this.#open.get(at);
    if (open?.kind === kind) return open.index;
    const block: Block =
      kind === "text" ? { type: "text", text: "", citations: null } : { type: "thinking", thinking: "", signature: "" };
    events.push(...this.#close(at));
    const index = this.#blocks;
    events.push(...this.#start(at, kind, block));
    return index;
  }

  #start(at: number, kind: "text" | "tool" | "thinking", content_block: Block): StreamEvent[] {
    const index = this.#blocks;
    this.#open.set(at, { kind, index });
    return this.#begin(index, content_block);
  }

  #begin(index: number, content_block: Block): StreamEvent[] {
    this.#blocks += 1;
    const events: StreamEvent[] = [{ type: "content_block_start", index, content_block }];
    if (!this.#pinged) events.push({ type: "ping" });
    this.#pinged = true;
    return events;
  }

  #close(at: number): StreamEvent[] {
    const block = this.#open.get(at);
    if (block === undefined) return [];
    this.#open.delete(at);
    if (block.kind !== "redacted") return [{ type: "content_block_stop", index: block.index }];
    const index = this.#blocks;
    const bytes = Buffer.concat(block.parts.map((part) => Buffer.from(part, "base64")));
    const begun = this.#begin(index, { type: "redacted_thinking", data: bytes.toString("base64") });
    return [...begun, { type: "content_block_stop", index }];
  }
}

/** The end of a stream whose answer is complete. */
export function closingEvents(): SseEvent[] {
  return [named({ type: "message_stop" })];
}

function named(data: StreamEvent): SseEvent {
  return { event: data.type, data };
}

function invalid(problem: string): GatewayError {
  return new GatewayError("upstream_invalid_response", "Bedrock's stream broke off or could not be read.", {
    cause: new Error(`Converse stream: ${problem}`),
  });
}
