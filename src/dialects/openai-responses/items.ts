/**
 * The items of an answer while they are written: each is announced, grows by deltas and is repeated whole when it is done.
 *
 * https://platform.openai.com/docs/api-reference/responses-streaming. One item is open at a time, as Bedrock's blocks are.
 */
import type { BlockDelta } from "../../bedrock/converse.ts";
import { isJsonObject, type JsonValue, parseJson } from "../../json.ts";
import { readCitation } from "../citations.ts";
import { encryptReasoning } from "../encrypted-reasoning.ts";
import type { SpecialTool } from "../openai-tools.ts";
import type {
  Annotation,
  CustomCallItem,
  FunctionCallItem,
  ItemPlace,
  MessageItem,
  OutputItem,
  ReasoningItem,
  Status,
  StreamEvent,
  SummaryPart,
  TextPart,
} from "./types.ts";

/** How an item ends. */
export type Ending = Exclude<Status, "in_progress">;

export interface OpenItem {
  readonly index: number;
  item(status: Status): OutputItem;
  /** Behind the event that announces it. */
  opened(): StreamEvent[];
  /** Before the event that repeats it whole. */
  closed(ending: Ending): StreamEvent[];
}

/** Text of one or several blocks, which make one part. */
export class OpenMessage implements OpenItem {
  readonly index: number;
  readonly #id: string;
  readonly #annotations: Annotation[] = [];
  #text = "";
  /** Where the text of the current block begins: what its citations are about. */
  #start = 0;
  #block: number | undefined;

  constructor(index: number, callId: string) {
    this.index = index;
    this.#id = `msg_${callId}_${index}`;
  }

  write(block: number, { text, citation }: BlockDelta): StreamEvent[] {
    if (this.#block !== block) {
      this.#block = block;
      this.#start = this.#text.length;
    }
    const events: StreamEvent[] = [];
    if (text) {
      this.#text += text;
      events.push({ type: "response.output_text.delta", ...this.#place, delta: text, logprobs: [] });
    }
    const annotation = citation === undefined ? undefined : this.#annotation(citation);
    if (annotation !== undefined) {
      const annotation_index = this.#annotations.length;
      this.#annotations.push(annotation);
      events.push({ type: "response.output_text.annotation.added", ...this.#place, annotation_index, annotation });
    }
    return events;
  }

  item(status: Status): MessageItem {
    const content = status === "in_progress" ? [] : [this.#part];
    return { id: this.#id, type: "message", status, role: "assistant", content };
  }

  opened(): StreamEvent[] {
    return [{ type: "response.content_part.added", ...this.#place, part: this.#part }];
  }

  closed(): StreamEvent[] {
    return [
      { type: "response.output_text.done", ...this.#place, text: this.#text, logprobs: [] },
      { type: "response.content_part.done", ...this.#place, part: this.#part },
    ];
  }

  get #place() {
    return { item_id: this.#id, output_index: this.index, content_index: 0 };
  }

  get #part(): TextPart {
    return { type: "output_text", text: this.#text, annotations: [...this.#annotations], logprobs: [] };
  }

  /** OpenAI knows web pages and its own files: a document of the request is named by its place among them. */
  #annotation(value: JsonValue): Annotation | undefined {
    const citation = readCitation(value);
    if (citation === undefined) return undefined;
    const range = { start_index: this.#start, end_index: this.#text.length };
    if (citation.kind === "web") return { type: "url_citation", ...range, title: citation.title, url: citation.url };
    const { title, citedText, location } = citation;
    const index = documentIndex(location);
    const file = { file_id: `document_${index}`, filename: title, index };
    return { type: "file_citation", ...file, ...range, cited_text: citedText, location };
  }
}

/** One block of reasoning. */
export class OpenReasoning implements OpenItem {
  readonly index: number;
  readonly #id: string;
  #text = "";
  #signature = "";
  #redacted: string[] = [];

  constructor(index: number, callId: string) {
    this.index = index;
    this.#id = `rs_${callId}_${index}`;
  }

  write({ text, signature, redactedContent }: NonNullable<BlockDelta["reasoningContent"]>): StreamEvent[] {
    this.#signature += signature ?? "";
    if (redactedContent) this.#redacted.push(redactedContent);
    if (!text) return [];
    const begins = this.#text === "";
    this.#text += text;
    const delta: StreamEvent = { type: "response.reasoning_summary_text.delta", ...this.#place, delta: text };
    if (!begins) return [delta];
    return [{ type: "response.reasoning_summary_part.added", ...this.#place, part: summary("") }, delta];
  }

  item(status: Status): ReasoningItem {
    const written = status !== "in_progress";
    return {
      id: this.#id,
      type: "reasoning",
      status,
      summary: written && this.#text !== "" ? [summary(this.#text)] : [],
      encrypted_content: written ? this.#encrypted() : null,
    };
  }

  opened(): StreamEvent[] {
    return [];
  }

  closed(): StreamEvent[] {
    if (this.#text === "") return [];
    return [
      { type: "response.reasoning_summary_text.done", ...this.#place, text: this.#text },
      { type: "response.reasoning_summary_part.done", ...this.#place, part: summary(this.#text) },
    ];
  }

  #encrypted(): string | null {
    if (this.#redacted.length > 0) {
      const bytes = Buffer.concat(this.#redacted.map((part) => Buffer.from(part, "base64")));
      return encryptReasoning({ redactedContent: bytes.toString("base64") });
    }
    const signed = this.#signature !== "" && { signature: this.#signature };
    if (!signed && this.#text === "") return null;
    return encryptReasoning({ reasoningText: { text: this.#text, ...signed } });
  }

  get #place() {
    return { item_id: this.#id, output_index: this.index, summary_index: 0 };
  }
}

/** A call of a function, or of a tool that takes text: its JSON can be read only when it is whole. */
export class OpenCall implements OpenItem {
  readonly index: number;
  readonly #id: string;
  readonly #callId: string;
  readonly #tool: SpecialTool;
  #arguments = "";

  constructor(index: number, id: string, toolUseId: string, tool: SpecialTool) {
    this.index = index;
    this.#id = `${tool.custom ? "ctc" : "fc"}_${id}_${index}`;
    this.#callId = toolUseId;
    this.#tool = tool;
  }

  write(input: string): StreamEvent[] {
    this.#arguments += input;
    if (this.#tool.custom) return [];
    return [{ type: "response.function_call_arguments.delta", ...this.#place, delta: input }];
  }

  item(status: Status): FunctionCallItem | CustomCallItem {
    const { name, namespace, custom } = this.#tool;
    const tool = { call_id: this.#callId, name, ...(namespace !== undefined && { namespace }) };
    if (custom) return { id: this.#id, type: "custom_tool_call", status, ...tool, input: customInput(this.#arguments) };
    return { id: this.#id, type: "function_call", status, ...tool, arguments: this.#arguments };
  }

  opened(): StreamEvent[] {
    return [];
  }

  closed(ending: Ending): StreamEvent[] {
    if (this.#tool.custom) {
      const input = customInput(this.#arguments);
      const done: StreamEvent = { type: "response.custom_tool_call_input.done", ...this.#place, input };
      if (input === "") return [done];
      return [{ type: "response.custom_tool_call_input.delta", ...this.#place, delta: input }, done];
    }
    const empty = this.#arguments === "" && ending === "completed" ? this.write("{}") : [];
    const { name } = this.#tool;
    const done = { name, arguments: this.#arguments };
    return [...empty, { type: "response.function_call_arguments.done", ...this.#place, ...done }];
  }

  get #place(): ItemPlace {
    return { item_id: this.#id, output_index: this.index };
  }
}

/** The text that a model wrapped in JSON as it was told; what it wrote instead, as it is. */
function customInput(json: string): string {
  try {
    const value = parseJson(json);
    if (isJsonObject(value) && typeof value.input === "string") return value.input;
  } catch {
    // Cut off, or not JSON at all.
  }
  return json;
}

function summary(text: string): SummaryPart {
  return { type: "summary_text", text };
}

/** `{documentChar: {documentIndex, start, end}}` and the like. */
function documentIndex(location: Readonly<Record<string, JsonValue | undefined>>): number {
  for (const place of Object.values(location)) {
    const index = isJsonObject(place) ? place.documentIndex : undefined;
    if (typeof index === "number") return index;
  }
  return 0;
}
