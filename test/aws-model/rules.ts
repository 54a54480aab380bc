/**
 * What Bedrock checks of a conversation beyond its service model: https://docs.aws.amazon.com/bedrock/latest/userguide/
 * conversation-inference-call.html and the texts of its ValidationExceptions.
 */
import type { ContentBlock, ConverseRequest, Message, ToolResultContent } from "../../src/bedrock/converse.ts";
import { isJsonObject } from "../../src/json.ts";

/** Every rule that the request breaks; empty when none. */
export function brokenRules(request: ConverseRequest): string[] {
  const { messages } = request;
  const blocks = messages.flatMap((message) => message.content);
  return [
    ...messages.flatMap((message, index) => turnRules(message, index, messages)),
    ...toolRules(request, blocks),
    ...textRules(request, blocks),
    ...cacheRules(request),
    ...duplicates(blocks.flatMap((block) => ("toolUse" in block ? [block.toolUse.toolUseId] : []))).map(
      (id) => `call id ${id} is used twice`,
    ),
    ...duplicates(documentNames(blocks)).map((name) => `document name ${name} is used twice`),
    ...(messages.length === 0 ? ["no messages"] : []),
  ];
}

function turnRules({ role, content }: Message, index: number, messages: readonly Message[]): string[] {
  const at = `messages[${index}]`;
  const broken: string[] = [];
  if (role !== (index % 2 === 0 ? "user" : "assistant")) broken.push(`${at} is out of turn`);
  if (content.length === 0) broken.push(`${at} has no content`);
  const results = content.flatMap((block) => ("toolResult" in block ? [block.toolResult.toolUseId] : []));
  const calls = (messages[index - 1]?.content ?? []).flatMap((block) =>
    "toolUse" in block ? [block.toolUse.toolUseId] : [],
  );
  if (results.toSorted().join() !== calls.toSorted().join()) broken.push(`${at} does not answer the calls before it`);
  const solid = content.filter((block) => !("cachePoint" in block));
  if (solid.slice(0, results.length).some((block) => !("toolResult" in block))) broken.push(`${at} has results late`);
  const last = messages.length - 1;
  if (role === "assistant" && index === last && content.some((block) => "toolUse" in block))
    broken.push(`${at} ends the conversation with a call`);
  const end = solid.at(-1);
  if (role === "assistant" && index === last && end !== undefined && "text" in end && /\s$/.test(end.text))
    broken.push(`${at} ends with white space`);
  if (role === "assistant" && content.some((block) => "image" in block || "document" in block || "toolResult" in block))
    broken.push(`${at} has blocks that only a user may send`);
  if (role === "user" && content.some((block) => "toolUse" in block || "reasoningContent" in block))
    broken.push(`${at} has blocks that only an assistant may send`);
  if (content.some((block) => "document" in block) && !content.some((block) => "text" in block))
    broken.push(`${at} has a document without text`);
  const ranks = solid.map((block) => ("reasoningContent" in block ? 0 : "toolUse" in block ? 2 : 1));
  if (ranks.some((rank, n) => rank < (ranks[n - 1] ?? 0))) broken.push(`${at} is not reasoning, text, calls`);
  return broken;
}

function toolRules({ toolConfig }: ConverseRequest, blocks: readonly ContentBlock[]): string[] {
  const specs = (toolConfig?.tools ?? []).flatMap((tool) => ("toolSpec" in tool ? [tool.toolSpec] : []));
  const broken = duplicates(specs.map((spec) => spec.name)).map((name) => `tool ${name} is declared twice`);
  if (specs.some((spec) => spec.inputSchema.json.type !== "object")) broken.push("a schema's type is not object");
  if (blocks.some((block) => "toolUse" in block || "toolResult" in block) && specs.length === 0)
    broken.push("tool blocks without tools");
  if (blocks.some((block) => "toolUse" in block && !isJsonObject(block.toolUse.input)))
    broken.push("a call's input is not an object");
  const choice = toolConfig?.toolChoice;
  if (choice !== undefined && "tool" in choice && !specs.some((spec) => spec.name === choice.tool.name))
    broken.push("the choice names no tool");
  return broken;
}

function textRules({ system = [] }: ConverseRequest, blocks: readonly ContentBlock[]): string[] {
  const results = blocks.flatMap((block) => ("toolResult" in block ? block.toolResult.content : []));
  const texts: (ContentBlock | ToolResultContent)[] = [...system, ...blocks, ...results];
  const broken = texts.some((block) => "text" in block && (block.text.trim() === "" || !block.text.isWellFormed()));
  const empty = blocks.some((block) => "toolResult" in block && block.toolResult.content.length === 0);
  return [...(broken ? ["a blank or broken text"] : []), ...(empty ? ["a result without content"] : [])];
}

function cacheRules({ toolConfig, system, messages }: ConverseRequest): string[] {
  const sections: readonly object[][] = [toolConfig?.tools ?? [], system ?? [], ...messages.map((m) => m.content)];
  const broken: string[] = [];
  const ttls: string[] = [];
  for (const section of sections) {
    section.forEach((block, index) => {
      if (!("cachePoint" in block) || !isJsonObject(block.cachePoint)) return;
      ttls.push(block.cachePoint.ttl === "1h" ? "1h" : "5m");
      const before = section.slice(0, index).filter((other) => !("reasoningContent" in other));
      const previous = section[index - 1];
      if (before.length === 0) broken.push("a cache point with nothing before it");
      if (previous !== undefined && "cachePoint" in previous) broken.push("two cache points in a row");
    });
  }
  if (ttls.length > 4) broken.push(`${ttls.length} cache points`);
  if (ttls.lastIndexOf("1h") > ttls.indexOf("5m") && ttls.includes("5m"))
    broken.push("a 1h cache point after a 5m one");
  return broken;
}

function documentNames(blocks: readonly ContentBlock[]): string[] {
  return blocks.flatMap((block) => {
    if ("document" in block) return [block.document.name];
    if (!("toolResult" in block)) return [];
    return block.toolResult.content.flatMap((part) => ("document" in part ? [part.document.name] : []));
  });
}

function duplicates(values: readonly string[]): string[] {
  return values.filter((value, index) => values.indexOf(value) !== index);
}
