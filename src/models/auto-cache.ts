/**
 * Prompt caching for clients that never ask for it, where the operator wants it.
 *
 * A request without any cache point gets one behind the tools, one behind the system prompt and one at the end of what the
 * user said last: the next turn of the conversation repeats all of that. Models that cache nothing lose them again in
 * adapt.ts. https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html
 */
import type { CachePoint, ContentBlock, ConverseRequest } from "../bedrock/converse.ts";

export interface AutoCache {
  readonly system: boolean;
  readonly tools: boolean;
  readonly conversation: boolean;
  readonly ttl: "5m" | "1h";
}

/** The request as it is when the client has set cache points itself. */
export function withAutoCache(request: ConverseRequest, policy: AutoCache | undefined): ConverseRequest {
  if (policy === undefined || hasCachePoint(request)) return request;
  const point: { cachePoint: CachePoint } = {
    cachePoint: { type: "default", ...(policy.ttl === "1h" && { ttl: "1h" }) },
  };
  const { system, toolConfig, messages } = request;
  const last = policy.conversation
    ? messages.findLastIndex(({ role, content }) => role === "user" && mayEnd(content))
    : -1;
  return {
    ...request,
    messages: messages.map((message, index) =>
      index === last ? { ...message, content: [...message.content, point] } : message,
    ),
    ...(policy.system && system !== undefined && { system: [...system, point] }),
    ...(policy.tools &&
      toolConfig !== undefined && { toolConfig: { ...toolConfig, tools: [...toolConfig.tools, point] } }),
  };
}

function hasCachePoint({ system = [], toolConfig, messages }: ConverseRequest): boolean {
  const holders = [...system, ...(toolConfig?.tools ?? []), ...messages.flatMap(({ content }) => content)];
  return holders.some((holder) => "cachePoint" in holder);
}

/** Bedrock takes no cache point right behind a document that is not a PDF. */
function mayEnd(content: readonly ContentBlock[]): boolean {
  const last = content.at(-1);
  return last !== undefined && !("document" in last && last.document.format !== "pdf");
}
