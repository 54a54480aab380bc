/**
 * Cache points where a model takes them, with a life that it knows. The others go: they only change what a call costs.
 */
import { limitCachePoints } from "../bedrock/cache-points.ts";
import type { CachePoint, ConverseRequest } from "../bedrock/converse.ts";
import type { CacheSection, Capabilities } from "./capabilities.ts";

export function adaptCachePoints(
  request: ConverseRequest,
  { cacheSections, cacheTtls, maxCachePoints }: Capabilities,
  warn: (warning: string) => void,
): ConverseRequest {
  let removed = 0;
  let shortened = 0;
  const fit = ({ ttl, ...cachePoint }: CachePoint): CachePoint => {
    // 5m is what a cache point means without a word, and older models do not know the word.
    if (ttl === undefined || !cacheTtls.includes("1h")) {
      if (ttl === "1h") shortened += 1;
      return cachePoint;
    }
    return { ...cachePoint, ttl };
  };
  const section = <B extends object>(name: CacheSection, blocks: readonly B[]): B[] => {
    const kept: B[] = [];
    for (const block of blocks) {
      if (!isMarked(block)) kept.push(block);
      else if (!cacheSections.includes(name)) removed += 1;
      else kept.push({ ...block, cachePoint: fit(block.cachePoint) });
    }
    return kept;
  };
  const { toolConfig, system } = request;
  const adapted: ConverseRequest = {
    ...request,
    messages: request.messages.map(({ role, content }) => ({ role, content: section("messages", content) })),
    ...(system && { system: section("system", system) }),
    ...(toolConfig && { toolConfig: { ...toolConfig, tools: section("tools", toolConfig.tools) } }),
  };
  if (removed > 0) warn("this model takes no cache points there; they were left out");
  if (shortened > 0) warn("this model caches for 5m only; 1h was sent as 5m");
  const limited = limitCachePoints(adapted);
  for (const warning of limited.warnings) warn(warning);
  return maxCachePoints === 0 ? limited.request : keepLast(limited.request, maxCachePoints);
}

function isMarked<B extends object>(block: B): block is B & { cachePoint: CachePoint } {
  return "cachePoint" in block;
}

function keepLast(request: ConverseRequest, limit: number): ConverseRequest {
  const { toolConfig, system, messages } = request;
  const sections = [toolConfig?.tools ?? [], system ?? [], ...messages.map((message) => message.content)];
  let excess = sections.flat().filter(isMarked).length - limit;
  if (excess <= 0) return request;
  const without = <B extends object>(blocks: readonly B[]): B[] =>
    blocks.filter((block) => {
      if (!isMarked(block) || excess <= 0) return true;
      excess -= 1;
      return false;
    });
  return {
    ...request,
    ...(toolConfig && { toolConfig: { ...toolConfig, tools: without(toolConfig.tools) } }),
    ...(system && { system: without(system) }),
    messages: messages.map(({ role, content }) => ({ role, content: without(content) })),
  };
}
