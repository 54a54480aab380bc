/**
 * Bedrock takes at most four cache points, and none with a longer life behind one with a shorter.
 *
 * https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html. The order is tools, system, messages. Kept
 * are the last one of each, which end the three stable prefixes, and then the latest of the others: the next request of a
 * conversation finds its longest known prefix there. A longer life out of order is shortened, never the other way
 * round: the client pays no more than it asked for.
 */
import type { CachePoint, ConverseRequest } from "./converse.ts";

export const MAX_CACHE_POINTS = 4;

type Marked = { cachePoint: CachePoint };

/** The same request within the limits, and what was done to get there. */
export function limitCachePoints(request: ConverseRequest): { request: ConverseRequest; warnings: string[] } {
  const sections = [
    request.toolConfig?.tools.filter(isMarked) ?? [],
    request.system?.filter(isMarked) ?? [],
    request.messages.flatMap((message) => message.content.filter(isMarked)),
  ];
  const all = sections.flat();
  const useful = mostUseful(sections);
  const kept = inOrder(all.filter((point) => useful.has(point)));
  const warnings: string[] = [];
  if (all.length > MAX_CACHE_POINTS)
    warnings.push(`${all.length} cache points were marked; the ${MAX_CACHE_POINTS} most useful were kept`);
  if ([...kept].some(([before, after]) => before !== after))
    warnings.push("a 1h cache point came after a 5m one and was sent as 5m");
  return { request: warnings.length === 0 ? request : replacePoints(request, kept), warnings };
}

function isMarked<B extends object>(block: B): block is B & Marked {
  return "cachePoint" in block;
}

function mostUseful(sections: readonly Marked[][]): Set<Marked> {
  const lasts = sections.flatMap((section) => section.slice(-1));
  const others = sections.flatMap((section) => section.slice(0, -1)).toReversed();
  return new Set([...lasts, ...others].slice(0, MAX_CACHE_POINTS));
}

/** Each kept point with what is sent for it. */
function inOrder(points: readonly Marked[]): Map<Marked, Marked> {
  let shortSeen = false;
  return new Map(
    points.map((point) => {
      const long = point.cachePoint.ttl === "1h";
      shortSeen ||= !long;
      return [point, long && shortSeen ? { cachePoint: { type: "default", ttl: "5m" } } : point];
    }),
  );
}

function replacePoints(request: ConverseRequest, kept: ReadonlyMap<Marked, Marked>): ConverseRequest {
  const replace = <B extends object>(blocks: readonly B[]): (B | Marked)[] =>
    blocks.flatMap((block): (B | Marked)[] => {
      if (!isMarked(block)) return [block];
      const sent = kept.get(block);
      return sent === undefined ? [] : [sent];
    });
  const { system, toolConfig } = request;
  return {
    ...request,
    messages: request.messages.map(({ role, content }) => ({ role, content: replace(content) })),
    ...(system && { system: replace(system) }),
    ...(toolConfig && { toolConfig: { ...toolConfig, tools: replace(toolConfig.tools) } }),
  };
}
