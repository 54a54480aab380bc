/**
 * Converse events as the events of a Responses stream.
 *
 * https://platform.openai.com/docs/api-reference/responses-streaming. The answer is announced, then its items come one after
 * the other, and the whole of it is repeated in the last event. An item stays open until the next one begins: only then, or
 * at the end, it is known whether it is complete.
 *
 * `messageStop` ends the answer: without it the stream was cut, and `end()` throws rather than let it look complete. The
 * token counts come after it; when they do not, the answer is complete all the same and goes without usage.
 */
import type { BlockDelta, BlockStart, ConverseEvent } from "../../bedrock/converse.ts";
import { GatewayError, unreachable } from "../../errors.ts";
import { isTooDeep, type JsonValue } from "../../json.ts";
import type { Transform } from "../../transform.ts";
import type { SseEvent } from "../dialect.ts";
import { openAiErrorBody } from "../openai-errors.ts";
import { type Ending, OpenCall, type OpenItem, OpenMessage, OpenReasoning } from "./items.ts";
import { type End, emptyResponse, endOf, failureOf, type Rendering, usageOf } from "./response.ts";
import type { OutputItem, Response, StreamEvent, Usage } from "./types.ts";

export class ResponseStream implements Transform<ConverseEvent, SseEvent> {
  readonly #rendering: Rendering;
  readonly #output: OutputItem[] = [];
  /** The item that is being written, and Bedrock's index of the block that it came from. */
  #open: OpenItem | undefined;
  #block = -1;
  #sequence = 0;
  #end: End | undefined;
  #modelFields: JsonValue | undefined;
  #usage: Usage | null = null;
  #tier: string | undefined;
  #trace: JsonValue | undefined;

  constructor(rendering: Rendering) {
    this.#rendering = rendering;
  }

  push(event: ConverseEvent): SseEvent[] {
    if (event.type === "unknown") return [];
    if (event.type === "metadata") {
      this.#usage = usageOf(event.usage, this.#modelFields);
      this.#tier = event.serviceTier;
      if (this.#rendering.withTrace && !isTooDeep(event.trace)) this.#trace = event.trace;
      return [];
    }
    if (this.#end !== undefined) throw invalid(`${event.type} after messageStop`);
    // Before anything is numbered: what throws here is not sent.
    const written = this.#written(event);
    const announced = this.#sequence === 0 ? this.#announce() : [];
    return [...announced, ...written.map((one) => this.#sse(one))];
  }

  end(): SseEvent[] {
    if (this.#end === undefined) throw invalid("it ended without messageStop");
    const type = this.#end.status === "incomplete" ? "response.incomplete" : "response.completed";
    return [this.#sse({ type, response: this.response() })];
  }

  /** Ends the stream instead. The SDKs raise the first event, others wait for the second; nothing may follow. */
  failed(error: GatewayError): SseEvent[] {
    const response: Response = { ...this.response(), status: "failed", error: failureOf(error), usage: null };
    return [this.#sse({ type: "error", ...openAiErrorBody(error) }), this.#sse({ type: "response.failed", response })];
  }

  /** The answer as far as it is known. */
  response(): Response {
    return {
      ...emptyResponse(this.#rendering),
      ...this.#end,
      output: [...this.#output],
      usage: this.#usage,
      ...(this.#tier !== undefined && { service_tier: this.#tier }),
      ...(this.#trace !== undefined && { trace: this.#trace }),
    };
  }

  #announce(): SseEvent[] {
    const response = emptyResponse(this.#rendering);
    return [this.#sse({ type: "response.created", response }), this.#sse({ type: "response.in_progress", response })];
  }

  // Lists and not generators: a stream has hundreds of deltas, and nearly each event makes one of one.
  #written(event: Exclude<ConverseEvent, { type: "unknown" | "metadata" }>): StreamEvent[] {
    switch (event.type) {
      case "messageStart":
      case "contentBlockStop":
        return [];
      case "contentBlockStart":
        return this.#startBlock(event.index, event.start);
      case "contentBlockDelta":
        return this.#extendBlock(event.index, event.delta);
      case "messageStop": {
        this.#end = endOf(event.stopReason);
        this.#modelFields = event.additionalModelResponseFields;
        return this.#close(this.#end.status === "incomplete" ? "incomplete" : "completed");
      }
      default:
        return unreachable(event);
    }
  }

  /** Only tool calls announce themselves; text and reasoning begin with their first delta. */
  #startBlock(block: number, { toolUse }: BlockStart): StreamEvent[] {
    if (toolUse === undefined) return [];
    const { names, special } = this.#rendering;
    const tool = special.get(toolUse.name) ?? { name: names.decode(toolUse.name), custom: false };
    return this.#begin(block, new OpenCall(this.#next(), this.#rendering.id, toolUse.toolUseId, tool));
  }

  #extendBlock(block: number, delta: BlockDelta): StreamEvent[] {
    const { text, toolUse, reasoningContent, citation } = delta;
    const events: StreamEvent[] = [];
    if (toolUse?.input) {
      if (this.#block !== block || !(this.#open instanceof OpenCall)) throw invalid("tool input outside a tool block");
      events.push(...this.#open.write(toolUse.input));
    }
    if (reasoningContent !== undefined) events.push(...this.#reason(block, reasoningContent));
    if (text || citation !== undefined) events.push(...this.#say(block, delta));
    return events;
  }

  /** Blocks of text that follow one another are one message. */
  #say(block: number, delta: BlockDelta): StreamEvent[] {
    if (this.#open instanceof OpenMessage) return this.#open.write(block, delta);
    const message = new OpenMessage(this.#next(), this.#rendering.id);
    return [...this.#begin(block, message), ...message.write(block, delta)];
  }

  #reason(block: number, content: NonNullable<BlockDelta["reasoningContent"]>): StreamEvent[] {
    if (this.#open instanceof OpenReasoning && this.#block === block) return this.#open.write(content);
    const reasoning = new OpenReasoning(this.#next(), this.#rendering.id);
    return [...this.#begin(block, reasoning), ...reasoning.write(content)];
  }

  /** The place of an item that begins now. */
  #next(): number {
    return this.#output.length + (this.#open === undefined ? 0 : 1);
  }

  #begin(block: number, item: OpenItem): StreamEvent[] {
    const closed = this.#close("completed");
    this.#open = item;
    this.#block = block;
    const added: StreamEvent = {
      type: "response.output_item.added",
      output_index: item.index,
      item: item.item("in_progress"),
    };
    return [...closed, added, ...item.opened()];
  }

  #close(ending: Ending): StreamEvent[] {
    const open = this.#open;
    if (open === undefined) return [];
    this.#open = undefined;
    const events = open.closed(ending);
    const item = open.item(ending);
    this.#output.push(item);
    return [...events, { type: "response.output_item.done", output_index: open.index, item }];
  }

  #sse({ type, ...members }: StreamEvent): SseEvent {
    const data = { type, sequence_number: this.#sequence, ...members };
    this.#sequence += 1;
    return { event: type, data };
  }
}

function invalid(problem: string): GatewayError {
  return new GatewayError("upstream_invalid_response", "Bedrock's stream broke off or could not be read.", {
    cause: new Error(`Converse stream: ${problem}`),
  });
}
