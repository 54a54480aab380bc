/**
 * A whole answer as the events that ConverseStream would have sent, for a streamed request that had to go to Converse.
 *
 * Each block's content comes in one piece. Indexes are the blocks' positions; a block of a kind that streams have no delta
 * for is opened and closed.
 */
import { stringifyJson } from "../json.ts";
import type { AnswerBlock, BlockDelta, ConverseEvent, ConverseResponse } from "./converse.ts";

export function synthesizeEvents(response: ConverseResponse): ConverseEvent[] {
  const { output, stopReason, usage, metrics, serviceTier, trace, additionalModelResponseFields } = response;
  return [
    { type: "messageStart", role: output.message.role },
    ...output.message.content.flatMap(blockEvents),
    {
      type: "messageStop",
      stopReason,
      ...(additionalModelResponseFields !== undefined && { additionalModelResponseFields }),
    },
    {
      type: "metadata",
      usage,
      ...(metrics?.latencyMs !== undefined && { latencyMs: metrics.latencyMs }),
      ...(serviceTier?.type !== undefined && { serviceTier: serviceTier.type }),
      ...(trace !== undefined && { trace }),
    },
  ];
}

function blockEvents(block: AnswerBlock, index: number): ConverseEvent[] {
  const deltas = blockDeltas(block).map((delta): ConverseEvent => ({ type: "contentBlockDelta", index, delta }));
  const { toolUse } = block;
  const start: ConverseEvent[] =
    toolUse !== undefined || deltas.length === 0
      ? [
          {
            type: "contentBlockStart",
            index,
            start: toolUse === undefined ? {} : { toolUse: { toolUseId: toolUse.toolUseId, name: toolUse.name } },
          },
        ]
      : [];
  return [...start, ...deltas, { type: "contentBlockStop", index }];
}

function blockDeltas({ text, toolUse, reasoningContent, citationsContent }: AnswerBlock): BlockDelta[] {
  const deltas: BlockDelta[] = [];
  const { reasoningText, redactedContent } = reasoningContent ?? {};
  if (reasoningText?.text !== undefined) deltas.push({ reasoningContent: { text: reasoningText.text } });
  if (reasoningText?.signature !== undefined) deltas.push({ reasoningContent: { signature: reasoningText.signature } });
  if (redactedContent !== undefined) deltas.push({ reasoningContent: { redactedContent } });
  if (text !== undefined) deltas.push({ text });
  for (const part of citationsContent?.content ?? []) if (part.text !== undefined) deltas.push({ text: part.text });
  for (const citation of citationsContent?.citations ?? []) deltas.push({ citation });
  if (toolUse !== undefined) deltas.push({ toolUse: { input: stringifyJson(toolUse.input) } });
  return deltas;
}
