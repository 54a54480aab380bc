/**
 * A conversation's blocks, as a model takes them. Each turn is adapted by itself, so that a conversation that grows keeps
 * its prefix. The input has been through bedrock/conversation.ts.
 *
 * What a model can't read is refused, never dropped: an answer that ignores a picture would be wrong without a word.
 */
import { hash } from "node:crypto";
import { DOCUMENT_TEXT, FILLER_TEXT } from "../bedrock/conversation.ts";
import type {
  ContentBlock,
  DocumentBlock,
  Message,
  ReasoningBlock,
  SearchResultBlock,
  ToolResultBlock,
  ToolResultContent,
} from "../bedrock/converse.ts";
import { GatewayError, unreachable } from "../errors.ts";
import { stringifyJson } from "../json.ts";
import type { Capabilities } from "./capabilities.ts";

/** What stands between a tool's result and the user's next words, where a template wants a turn for each. */
export const RESULT_RECEIVED_TEXT = "Tool result received.";
const MOVED_TEXT = "(attached below)";

type Media = Extract<ContentBlock, { image: unknown } | { document: unknown }>;

export function adaptContent(messages: readonly Message[], capabilities: Capabilities, model: string): Message[] {
  const adapter = new ContentAdapter(capabilities, model);
  return messages.flatMap((message) => adapter.turns(message));
}

class ContentAdapter {
  readonly #model: string;
  readonly #capabilities: Capabilities;

  constructor(capabilities: Capabilities, model: string) {
    this.#capabilities = capabilities;
    this.#model = model;
  }

  turns({ role, content }: Message): Message[] {
    const results: ContentBlock[] = [];
    const moved: ContentBlock[] = [];
    const others: ContentBlock[] = [];
    let last = others;
    for (const block of content) {
      // A cache point stays behind the block that it followed.
      if (!("cachePoint" in block)) last = "toolResult" in block && this.#capabilities.tools ? results : others;
      for (const adapted of this.#blocks(block, moved)) last.push(adapted);
    }
    const rest = [...moved, ...others];
    if (!this.#capabilities.toolResultsWithContent && results.length > 0 && rest.length > 0) {
      return [
        { role, content: results },
        { role: "assistant", content: [{ text: RESULT_RECEIVED_TEXT }] },
        { role, content: rest },
      ];
    }
    const all = [...results, ...rest];
    return [{ role, content: all.some((block) => !("cachePoint" in block)) ? all : [{ text: FILLER_TEXT }] }];
  }

  #blocks(block: ContentBlock, moved: ContentBlock[]): ContentBlock[] {
    const { tools } = this.#capabilities;
    if ("text" in block || "cachePoint" in block) return [block];
    if ("image" in block || "document" in block) return [this.#media(block)];
    if ("searchResult" in block) return [this.#searchResult(block)];
    if ("video" in block) return [this.#capabilities.video ? block : this.#refuse("video")];
    if ("audio" in block) return [this.#capabilities.audio ? block : this.#refuse("audio")];
    if ("reasoningContent" in block) return this.#reasoning(block.reasoningContent);
    if ("toolUse" in block) {
      const { toolUseId, name, input } = block.toolUse;
      if (!tools) return [{ text: `Tool call: ${name}(${stringifyJson(input)})` }];
      return [{ toolUse: { ...block.toolUse, toolUseId: this.#id(toolUseId) } }];
    }
    if ("toolResult" in block)
      return tools ? [this.#result(block.toolResult, moved)] : this.#resultAsText(block.toolResult);
    return unreachable(block);
  }

  /** Text documents can be read by every model. */
  #media(block: Media): Media | { text: string } {
    const { images, documents } = this.#capabilities;
    if ("image" in block) return images ? block : this.#refuse("images");
    if (documents) return block;
    return { text: documentText(block.document) ?? this.#refuse("documents") };
  }

  #searchResult<B extends { searchResult: SearchResultBlock }>(block: B): B | { text: string } {
    return this.#capabilities.searchResults ? block : { text: searchResultText(block.searchResult) };
  }

  #refuse(what: string): never {
    throw new GatewayError("invalid_request", `The model ${this.#model} can't read ${what}.`, { param: "messages" });
  }

  #reasoning(block: ReasoningBlock): ContentBlock[] {
    const { reasoningReplay } = this.#capabilities;
    if (reasoningReplay === "signed") {
      const signed = "redactedContent" in block || block.reasoningText.signature !== undefined;
      return signed ? [{ reasoningContent: block }] : [];
    }
    if (reasoningReplay === "none" || "redactedContent" in block || block.reasoningText.text.trim() === "") return [];
    return [{ reasoningContent: { reasoningText: { text: block.reasoningText.text } } }];
  }

  #result(result: ToolResultBlock, moved: ContentBlock[]): ContentBlock {
    const { toolResultMedia, toolResultStatus } = this.#capabilities;
    const content: ToolResultContent[] = [];
    const beside: ContentBlock[] = [];
    for (const part of result.content) {
      const adapted = this.#resultPart(part);
      if (toolResultMedia || !("image" in adapted || "document" in adapted)) content.push(adapted);
      else beside.push(adapted);
    }
    const toolUseId = this.#id(result.toolUseId);
    if (beside.length > 0) {
      if (content.length === 0) content.push({ text: MOVED_TEXT });
      moved.push({ text: `From the result of tool call ${toolUseId}:` });
      for (const block of beside) moved.push(block);
    }
    const status = toolResultStatus && result.status !== undefined && { status: result.status };
    return { toolResult: { toolUseId, content, ...status } };
  }

  #resultPart(part: ToolResultContent): ToolResultContent {
    if ("image" in part || "document" in part) return this.#media(part);
    if ("searchResult" in part) return this.#searchResult(part);
    if ("json" in part && !this.#capabilities.toolResultJson) return { text: stringifyJson(part.json) };
    return part;
  }

  #resultAsText({ content }: ToolResultBlock): ContentBlock[] {
    const blocks = content.map((part): ContentBlock => {
      const adapted = this.#resultPart(part);
      if ("text" in adapted) return { text: `Tool result: ${adapted.text}` };
      if ("json" in adapted) return { text: `Tool result: ${stringifyJson(adapted.json)}` };
      return adapted;
    });
    const documents = blocks.some((block) => "document" in block);
    return documents && !blocks.some((block) => "text" in block) ? [...blocks, { text: DOCUMENT_TEXT }] : blocks;
  }

  #id(toolUseId: string): string {
    return this.#capabilities.toolUseIds === "nine-alphanumeric" ? nineAlphanumeric(toolUseId) : toolUseId;
  }
}

/**
 * An id for templates that insist on nine letters and digits. It comes from the id alone: a call and its result agree, in
 * this request and the next. Nothing has to be turned back: an answer brings ids of its own.
 */
export function nineAlphanumeric(id: string): string {
  if (/^[a-zA-Z0-9]{9}$/.test(id)) return id;
  const number = BigInt(`0x${hash("sha256", id, "hex").slice(0, 16)}`);
  return number.toString(36).padStart(9, "0").slice(-9);
}

function searchResultText({ title, source, content }: SearchResultBlock): string {
  return [`${title} (${source})`, ...content.map(({ text }) => text)].join("\n\n");
}

const TEXT_FORMATS: ReadonlySet<DocumentBlock["format"]> = new Set(["txt", "md", "csv", "html"]);

function documentText({ format, name, source }: DocumentBlock): string | undefined {
  if (!TEXT_FORMATS.has(format) || !("bytes" in source)) return undefined;
  const text = Buffer.from(source.bytes, "base64").toString("utf8");
  return `Document ${JSON.stringify(name)}:\n\n${text}`;
}
