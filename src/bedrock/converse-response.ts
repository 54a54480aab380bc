/**
 * Checks a Converse answer once, where it comes in.
 *
 * A 200 without a message is an error: Bedrock's front end answers an unknown route so. Enums and unions stay open,
 * since Bedrock adds members without notice; what the gateway does not know is left out.
 */
import { GatewayError } from "../errors.ts";
import { isJsonObject, isTooDeep, type JsonObject, type JsonValue, MAX_JSON_DEPTH } from "../json.ts";
import type { AnswerBlock, ConverseResponse, ImageBlock, TokenUsage } from "./converse.ts";
import { tokenUsage } from "./converse-events.ts";

/** A call's arguments may be as deep as in a request; around them are an answer's own levels. */
const MAX_ANSWER_DEPTH = MAX_JSON_DEPTH + 10;

/** A parsed body as a ConverseResponse; throws GatewayError `upstream_invalid_response`. */
export function converseResponse(value: unknown): ConverseResponse {
  if (!isJsonObject(value)) throw invalid("not a JSON object");
  if (isTooDeep(value, MAX_ANSWER_DEPTH)) throw invalid("nested too deep");
  const message = member(member(value, "output"), "message");
  if (message === undefined) throw invalid("no output.message");
  if (!Array.isArray(message.content)) throw invalid("no output.message.content");
  if (typeof value.stopReason !== "string") throw invalid("no stopReason");
  const { additionalModelResponseFields, trace } = value;
  const latencyMs = number(member(value, "metrics"), "latencyMs");
  const tier = text(member(value, "serviceTier"), "type");
  const latency = text(member(value, "performanceConfig"), "latency");
  return {
    output: {
      message: { role: text(message, "role") ?? "assistant", content: message.content.filter(isJsonObject).map(block) },
    },
    stopReason: value.stopReason,
    usage: countedUsage(value.usage),
    ...(latencyMs !== undefined && { metrics: { latencyMs } }),
    ...(additionalModelResponseFields !== undefined && { additionalModelResponseFields }),
    ...(tier !== undefined && { serviceTier: { type: tier } }),
    ...(latency !== undefined && { performanceConfig: { latency } }),
    ...(trace !== undefined && { trace }),
  };
}

function countedUsage(value: JsonValue | undefined): TokenUsage {
  if (!isJsonObject(value)) throw invalid("no usage");
  if (number(value, "inputTokens") === undefined || number(value, "outputTokens") === undefined)
    throw invalid("no token counts in usage");
  return tokenUsage(value);
}

function block(value: JsonObject): AnswerBlock {
  const answer: AnswerBlock = {};
  const words = text(value, "text");
  if (words !== undefined) answer.text = words;
  const call = member(value, "toolUse");
  if (call !== undefined) answer.toolUse = toolUse(call);
  const reasoning = member(value, "reasoningContent");
  if (reasoning !== undefined) answer.reasoningContent = reasoningContent(reasoning);
  const cited = member(value, "citationsContent");
  if (cited !== undefined) answer.citationsContent = citationsContent(cited);
  const image = imageBlock(member(value, "image"));
  if (image !== undefined) answer.image = image;
  return answer;
}

function toolUse(value: JsonObject): NonNullable<AnswerBlock["toolUse"]> {
  const toolUseId = text(value, "toolUseId");
  const name = text(value, "name");
  if (toolUseId === undefined || name === undefined) throw invalid("a toolUse block without id or name");
  return { toolUseId, name, input: value.input ?? {} };
}

function reasoningContent(value: JsonObject): NonNullable<AnswerBlock["reasoningContent"]> {
  const reasoningText = member(value, "reasoningText");
  const words = text(reasoningText, "text");
  const signature = text(reasoningText, "signature");
  const redactedContent = text(value, "redactedContent");
  return {
    ...(reasoningText && {
      reasoningText: { ...(words !== undefined && { text: words }), ...(signature !== undefined && { signature }) },
    }),
    ...(redactedContent !== undefined && { redactedContent }),
  };
}

function citationsContent(value: JsonObject): NonNullable<AnswerBlock["citationsContent"]> {
  const content = Array.isArray(value.content) ? value.content.filter(isJsonObject) : [];
  const citations: JsonValue[] = Array.isArray(value.citations) ? value.citations : [];
  return { content: content.map((part) => ({ text: text(part, "text") ?? "" })), citations };
}

function imageBlock(value: JsonObject | undefined): ImageBlock | undefined {
  const bytes = text(member(value, "source"), "bytes");
  const format = text(value, "format");
  if (bytes === undefined) return undefined;
  if (format !== "png" && format !== "jpeg" && format !== "gif" && format !== "webp") return undefined;
  return { format, source: { bytes } };
}

function member(value: JsonObject | undefined, key: string): JsonObject | undefined {
  const found = value?.[key];
  return isJsonObject(found) ? found : undefined;
}

function text(value: JsonObject | undefined, key: string): string | undefined {
  const found = value?.[key];
  return typeof found === "string" ? found : undefined;
}

function number(value: JsonObject | undefined, key: string): number | undefined {
  const found = value?.[key];
  return typeof found === "number" ? found : undefined;
}

function invalid(problem: string): GatewayError {
  return new GatewayError("upstream_invalid_response", "Bedrock's answer could not be read.", {
    cause: new Error(`Converse answer: ${problem}`),
  });
}
