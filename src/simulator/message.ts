/**
 * One message in Bedrock's two forms: the body of a Converse response, and the events of ConverseStream.
 *
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html. As on the real service, text
 * and reasoning blocks have no contentBlockStart, and usage comes only with the last event.
 */
import { isJsonObject, type JsonObject, stringifyJson } from "../json.ts";
import type { MessageAnswer, StreamStep } from "./answer.ts";

const WORDS_PER_DELTA = 2;
const JSON_CHARACTERS_PER_DELTA = 12;

export interface Rendering {
  readonly usage: JsonObject;
  readonly latencyMs: number;
  /** Words of text in one delta. */
  readonly wordsPerDelta?: number;
}

/** The body of a Converse response. */
export function messageBody(answer: MessageAnswer, { usage, latencyMs }: Rendering): JsonObject {
  return {
    metrics: { latencyMs },
    output: { message: { content: answer.content, role: "assistant" } },
    stopReason: stopReason(answer),
    usage,
    ...extras(answer, "additionalModelResponseFields", "serviceTier", "trace"),
  };
}

/** The events of ConverseStream. */
export function messageSteps(answer: MessageAnswer, rendering: Rendering): StreamStep[] {
  const steps: { event: string; payload: JsonObject }[] = [{ event: "messageStart", payload: { role: "assistant" } }];
  for (const [contentBlockIndex, block] of answer.content.entries()) {
    const start = blockStart(block);
    if (start !== undefined) steps.push({ event: "contentBlockStart", payload: { contentBlockIndex, start } });
    for (const delta of blockDeltas(block, rendering.wordsPerDelta ?? WORDS_PER_DELTA))
      steps.push({ event: "contentBlockDelta", payload: { contentBlockIndex, delta } });
    steps.push({ event: "contentBlockStop", payload: { contentBlockIndex } });
  }
  const stop = { stopReason: stopReason(answer), ...extras(answer, "additionalModelResponseFields") };
  const metrics = { latencyMs: rendering.latencyMs };
  steps.push({ event: "messageStop", payload: stop });
  steps.push({
    event: "metadata",
    payload: { metrics, usage: rendering.usage, ...extras(answer, "serviceTier", "trace") },
  });
  return steps.map((step) => (answer.pace === undefined ? step : { ...step, delay: answer.pace }));
}

function stopReason(answer: MessageAnswer): string {
  return answer.stopReason ?? (answer.content.some((block) => block.toolUse !== undefined) ? "tool_use" : "end_turn");
}

function extras(answer: MessageAnswer, ...names: ("additionalModelResponseFields" | "serviceTier" | "trace")[]) {
  return Object.fromEntries(names.filter((name) => answer[name] !== undefined).map((name) => [name, answer[name]]));
}

function blockStart({ toolUse, image }: JsonObject): JsonObject | undefined {
  if (isJsonObject(toolUse)) return { toolUse: { toolUseId: toolUse.toolUseId, name: toolUse.name } };
  return isJsonObject(image) ? { image: { format: image.format } } : undefined;
}

function blockDeltas(block: JsonObject, wordsPerDelta: number): JsonObject[] {
  const { text, toolUse, reasoningContent, citationsContent, image } = block;
  if (typeof text === "string") return wordGroups(text, wordsPerDelta).map((piece) => ({ text: piece }));
  if (isJsonObject(toolUse)) {
    // A tool without arguments streams one empty fragment, as Claude does.
    const pieces = sameSize(stringifyJson(toolUse.input ?? {}), JSON_CHARACTERS_PER_DELTA);
    return (pieces.join("") === "{}" ? [""] : pieces).map((input) => ({ toolUse: { input } }));
  }
  if (isJsonObject(reasoningContent)) return reasoningDeltas(reasoningContent, wordsPerDelta);
  if (isJsonObject(citationsContent)) {
    const { content, citations } = citationsContent;
    const texts = (Array.isArray(content) ? content : []).filter(isJsonObject);
    const cited = (Array.isArray(citations) ? citations : []).filter(isJsonObject);
    return [...texts.map((part) => ({ text: part.text })), ...cited.map((citation) => ({ citation }))];
  }
  return isJsonObject(image) ? [{ image: { source: image.source } }] : [];
}

function reasoningDeltas({ reasoningText, redactedContent }: JsonObject, wordsPerDelta: number): JsonObject[] {
  if (redactedContent !== undefined) return [{ reasoningContent: { redactedContent } }];
  const { text, signature } = isJsonObject(reasoningText) ? reasoningText : {};
  const pieces = typeof text === "string" ? wordGroups(text, wordsPerDelta) : [];
  const deltas: JsonObject[] = pieces.map((piece) => ({ reasoningContent: { text: piece } }));
  return signature === undefined ? deltas : [...deltas, { reasoningContent: { signature } }];
}

/** Pieces of so many words, each with the white space before its words, so that joining them gives `text`. */
function wordGroups(text: string, wordsPerDelta: number): string[] {
  const words = text.match(/\s*\S+|\s+$/g) ?? [];
  const groups: string[] = [];
  for (let index = 0; index < words.length; index += wordsPerDelta)
    groups.push(words.slice(index, index + wordsPerDelta).join(""));
  return groups;
}

/** By code points: half a surrogate pair would not survive UTF-8. */
function sameSize(text: string, size: number): string[] {
  const points = Array.from(text);
  const pieces: string[] = [];
  for (let index = 0; index < points.length; index += size) pieces.push(points.slice(index, index + size).join(""));
  return pieces;
}
