/**
 * Converse events as Chat Completions chunks.
 *
 * https://platform.openai.com/docs/api-reference/chat/streaming. One role, then deltas that are never empty, then one chunk
 * with the finish_reason; after all choices usage if it was asked for, then `[DONE]`. Tool calls count from 0, whatever Bedrock's
 * block indexes are. Signed reasoning is repeated whole when its block ends, so that a client can send it back.
 *
 * `messageStop` ends the answer: without it the stream was cut, and `end()` throws rather than let it look complete. The
 * token counts come after it; when they do not, the answer is complete all the same and goes without a usage chunk.
 */
import type { BlockDelta, BlockStart, ConverseEvent } from "../../bedrock/converse.ts";
import { GatewayError, unreachable } from "../../errors.ts";
import { isTooDeep, type JsonValue } from "../../json.ts";
import type { Transform } from "../../transform.ts";
import type { SseEvent } from "../dialect.ts";
import type { UsageTotal } from "../openai-usage.ts";
import { annotation, type Envelope, finish, type Rendering } from "./reply.ts";
import type { Annotation, Chunk, ChunkChoice, Delta, ThinkingBlock } from "./types.ts";

type Block =
  | { kind: "text"; start: number }
  | { kind: "tool"; index: number; empty: boolean }
  | { kind: "reasoning"; text: string; signature: string; redacted: string[] };

export interface ChatStreamOptions extends Rendering {
  readonly head: Envelope;
  /** Chunks then have a `usage` of null, as OpenAI's do. */
  readonly includeUsage: boolean;
  readonly choice: number;
  /** Gets this choice's tokens. */
  readonly total: UsageTotal;
}

export class ChatStream implements Transform<ConverseEvent, SseEvent> {
  readonly #options: ChatStreamOptions;
  /** Bedrock's open blocks, by its index. */
  readonly #open = new Map<number, Block>();
  readonly #annotations: Annotation[] = [];
  #started = false;
  #stopped = false;
  #textLength = 0;
  #toolCalls = 0;
  #thinkingBlocks = 0;
  #modelFields: JsonValue | undefined;

  constructor(options: ChatStreamOptions) {
    this.#options = options;
  }

  push(event: ConverseEvent): SseEvent[] {
    if (event.type === "unknown") return [];
    if (event.type === "metadata") {
      this.#options.total.add(event.usage, this.#modelFields, event.serviceTier);
      const { trace } = event;
      if (!this.#options.withTrace || trace === undefined || isTooDeep(trace)) return [];
      return [this.#chunk({}, { trace })];
    }
    if (this.#stopped) throw invalid(`${event.type} after messageStop`);
    const chunks = this.#deltas(event).map((delta) => this.#chunk(delta));
    if (!this.#started) {
      this.#started = true;
      chunks.unshift(this.#chunk({ role: "assistant", content: "" }));
    }
    if (event.type !== "messageStop") return chunks;
    this.#stopped = true;
    this.#modelFields = event.additionalModelResponseFields;
    return [...chunks, this.#chunk({}, finish(event.stopReason, this.#toolCalls > 0, this.#options))];
  }

  end(): Iterable<SseEvent> {
    if (!this.#stopped) throw invalid("it ended without messageStop");
    return [];
  }

  // Lists and not generators: a stream has hundreds of deltas, and nearly each event makes one of one.
  #deltas(event: Exclude<ConverseEvent, { type: "unknown" | "metadata" }>): Delta[] {
    switch (event.type) {
      case "messageStart":
        return [];
      case "contentBlockStart":
        return this.#openBlock(event.index, event.start);
      case "contentBlockDelta":
        return this.#extendBlock(event.index, event.delta);
      case "contentBlockStop":
        return this.#closeBlock(event.index);
      case "messageStop": {
        const closed = [...this.#open.keys()].flatMap((index) => this.#closeBlock(index));
        if (this.#annotations.length === 0) return closed;
        return [...closed, { annotations: this.#annotations.map((item, index) => ({ index, ...item })) }];
      }
      default:
        return unreachable(event);
    }
  }

  /** Only tool calls announce themselves; text and reasoning begin with their first delta. */
  #openBlock(index: number, { toolUse }: BlockStart): Delta[] {
    if (toolUse === undefined) return [];
    const call = this.#toolCalls;
    this.#toolCalls += 1;
    this.#open.set(index, { kind: "tool", index: call, empty: true });
    const name = this.#options.names.decode(toolUse.name);
    const { asFunctions } = this.#options;
    if (!asFunctions) {
      return [
        { tool_calls: [{ index: call, id: toolUse.toolUseId, type: "function", function: { name, arguments: "" } }] },
      ];
    }
    return call === 0 ? [{ function_call: { name, arguments: "" } }] : [];
  }

  #extendBlock(index: number, { text, toolUse, reasoningContent, citation }: BlockDelta): Delta[] {
    const deltas: Delta[] = [];
    if (text) {
      this.#textBlock(index);
      this.#textLength += text.length;
      deltas.push({ content: text });
    }
    if (toolUse?.input) {
      const block = this.#open.get(index);
      if (block?.kind !== "tool") throw invalid("tool input outside a tool block");
      block.empty = false;
      deltas.push(...this.#arguments(block.index, toolUse.input));
    }
    if (reasoningContent !== undefined) {
      const block = this.#reasoningBlock(index);
      block.text += reasoningContent.text ?? "";
      block.signature += reasoningContent.signature ?? "";
      if (reasoningContent.redactedContent) block.redacted.push(reasoningContent.redactedContent);
      if (reasoningContent.text) deltas.push({ reasoning_content: reasoningContent.text });
    }
    if (citation !== undefined)
      this.#annotations.push(...annotation(citation, this.#textBlock(index).start, this.#textLength));
    return deltas;
  }

  #closeBlock(index: number): Delta[] {
    const block = this.#open.get(index);
    this.#open.delete(index);
    if (block?.kind === "tool" && block.empty) return this.#arguments(block.index, "{}");
    if (block?.kind !== "reasoning") return [];
    const thinking = thinkingBlock(block);
    if (thinking === undefined) return [];
    const position = this.#thinkingBlocks;
    this.#thinkingBlocks += 1;
    return [{ thinking_blocks: [{ index: position, ...thinking }] }];
  }

  #arguments(call: number, text: string): Delta[] {
    if (!this.#options.asFunctions) return [{ tool_calls: [{ index: call, function: { arguments: text } }] }];
    return call === 0 ? [{ function_call: { arguments: text } }] : [];
  }

  #textBlock(index: number): Extract<Block, { kind: "text" }> {
    const open = this.#open.get(index);
    if (open?.kind === "text") return open;
    const block = { kind: "text", start: this.#textLength } as const;
    this.#open.set(index, block);
    return block;
  }

  #reasoningBlock(index: number): Extract<Block, { kind: "reasoning" }> {
    const open = this.#open.get(index);
    if (open?.kind === "reasoning") return open;
    const block: Extract<Block, { kind: "reasoning" }> = { kind: "reasoning", text: "", signature: "", redacted: [] };
    this.#open.set(index, block);
    return block;
  }

  #chunk(delta: Delta, end: Partial<ChunkChoice> = {}): SseEvent {
    const { head, choice, includeUsage } = this.#options;
    const data: Chunk = {
      ...base(head),
      choices: [{ index: choice, delta, logprobs: null, finish_reason: null, ...end }],
      ...(includeUsage && { usage: null }),
    };
    return { data };
  }
}

/** The end of a stream: the tokens of all choices if they are wanted and known, and `[DONE]`. */
export function* closingEvents(head: Envelope, total: UsageTotal | undefined): Iterable<SseEvent> {
  if (total !== undefined && !total.empty) {
    const data: Chunk = { ...base(head), choices: [], ...total.members() };
    yield { data };
  }
  yield { data: "[DONE]" };
}

function base(head: Envelope): Pick<Chunk, "id" | "object" | "created" | "model"> {
  return { id: head.id, object: "chat.completion.chunk", created: head.created, model: head.model };
}

function thinkingBlock(block: Extract<Block, { kind: "reasoning" }>): ThinkingBlock | undefined {
  if (block.signature !== "") return { type: "thinking", thinking: block.text, signature: block.signature };
  if (block.redacted.length === 0) return undefined;
  const bytes = Buffer.concat(block.redacted.map((part) => Buffer.from(part, "base64")));
  return { type: "redacted_thinking", data: bytes.toString("base64") };
}

function invalid(problem: string): GatewayError {
  return new GatewayError("upstream_invalid_response", "Bedrock's stream broke off or could not be read.", {
    cause: new Error(`Converse stream: ${problem}`),
  });
}
