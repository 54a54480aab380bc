/**
 * What a dialect has read of a request, put together: the conversation repaired, tools declared for what its history needs,
 * and no more cache points than Bedrock takes. Members always come in the same order: the same request gives the same bytes.
 */
import { limitCachePoints } from "./cache-points.ts";
import { repairConversation, repairSystem } from "./conversation.ts";
import type { ConverseRequest } from "./converse.ts";
import { toolConfig } from "./tool-config.ts";

export interface RequestParts {
  readonly turns: Parameters<typeof repairConversation>[0];
  readonly system: Parameters<typeof repairSystem>[0];
  readonly tools: Parameters<typeof toolConfig>[0];
  readonly mode: Parameters<typeof toolConfig>[1];
  readonly inferenceConfig: NonNullable<ConverseRequest["inferenceConfig"]>;
  /** What else goes beside them. */
  readonly settings: Partial<ConverseRequest>;
}

export function assembleRequest(parts: RequestParts): { request: ConverseRequest; warnings: string[] } {
  const { tools, mode, inferenceConfig, settings } = parts;
  const { messages, warnings } = repairConversation(parts.turns);
  const system = repairSystem(parts.system);
  const config = toolConfig(tools, mode, messages);
  const limited = limitCachePoints({
    messages,
    ...(system.length > 0 && { system }),
    ...(Object.keys(inferenceConfig).length > 0 && { inferenceConfig }),
    ...(config && { toolConfig: config }),
    ...settings,
  });
  return { request: limited.request, warnings: [...warnings, ...limited.warnings] };
}
