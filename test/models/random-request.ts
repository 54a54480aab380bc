/** Random Converse requests as dialects make them, with more kinds of blocks than any client sends: the same seed, the same request. */
import { limitCachePoints } from "../../src/bedrock/cache-points.ts";
import { repairConversation, repairSystem } from "../../src/bedrock/conversation.ts";
import type {
  CachePoint,
  ContentBlock,
  ConverseRequest,
  DocumentBlock,
  Message,
  SystemBlock,
  Tool,
  ToolResultContent,
} from "../../src/bedrock/converse.ts";
import { EFFORTS, type Intent } from "../../src/bedrock/intent.ts";
import { type ToolMode, toolConfig } from "../../src/bedrock/tool-config.ts";

export interface RandomCall {
  readonly request: ConverseRequest;
  readonly intent: Intent;
}

const TEXTS = ["Hi", "  x  ", "Zoë ☀️", "a".repeat(300), ".", '{"a":1}', "Why?"];
const IDS = ["c1", "c2", "toolu_1", "tooluse_AbC-d.9:x", "abcdefghi", "123456789"];
const NAMES = ["read", "write", "json_response"];
const SCHEMAS = [
  { type: "object", properties: { a: { type: "string", minLength: 1 } }, required: ["a"] },
  { type: "object" },
  {
    type: "object",
    properties: { n: { $ref: "#/$defs/n" } },
    $defs: { n: { properties: { n: { $ref: "#/$defs/n" } } } },
  },
  { type: "array", items: { type: "number" } },
] as const;
const LIMITS = [1, 15, 16, 1_024, 1_025, 2_047, 2_048, 5_000, 30_000, 900_000];

export function randomCall(seed: number): RandomCall {
  const random = generator(seed);
  const int = (limit: number): number => Math.floor(random() * limit);
  const chance = (probability: number): boolean => random() < probability;
  const pick = <T>(values: readonly T[]): T => {
    const value = values[int(values.length)];
    if (value === undefined) throw new Error("nothing to pick from");
    return value;
  };
  const some = <T>(limit: number, make: () => T): T[] => Array.from({ length: int(limit + 1) }, make);

  const hasMedia = chance(0.3);
  const mark = (): { cachePoint: CachePoint }[] =>
    chance(0.15) ? [{ cachePoint: { type: "default", ...(chance(0.5) && { ttl: pick(["5m", "1h"] as const) }) } }] : [];
  const image = { image: { format: "png", source: { bytes: "iVBORw0KGgo=" } } } as const;
  const document = (): { document: DocumentBlock } => ({
    document: {
      format: pick(["pdf", "txt", "md"] as const),
      name: pick(["a", "b", "notes"]),
      source: { bytes: "IyBhCg==" },
    },
  });
  const media = () => (chance(0.5) ? image : document());
  const resultContent = (): ToolResultContent => {
    if (hasMedia && chance(0.3)) return media();
    return chance(0.2) ? { json: { ok: true, n: int(9) } } : { text: pick(TEXTS) };
  };
  const userBlock = (): ContentBlock => {
    if (hasMedia && chance(0.3)) return media();
    if (chance(0.6)) return { text: pick(TEXTS) };
    const status = chance(0.4) && { status: pick(["success", "error"] as const) };
    return { toolResult: { toolUseId: pick(IDS), content: some(3, resultContent), ...status } };
  };
  const answerBlock = (): ContentBlock => {
    if (chance(0.4)) return { text: pick(TEXTS) };
    if (chance(0.5)) return { toolUse: { toolUseId: pick(IDS), name: pick(NAMES), input: { a: int(9) } } };
    return {
      reasoningContent: pick([
        { reasoningText: { text: "hm", signature: "c2ln" } },
        { reasoningText: { text: "hm" } },
        { redactedContent: "c2VjcmV0" },
      ]),
    };
  };
  const turn = (): Message => {
    const role = pick(["user", "assistant"] as const);
    const block = role === "user" ? userBlock : answerBlock;
    return { role, content: some(3, () => [block(), ...mark()]).flat() };
  };

  const { messages } = repairConversation([turn(), ...some(10, turn)]);
  const system: SystemBlock[] = repairSystem(some(2, () => [{ text: pick(TEXTS) }, ...mark()]).flat());
  const count = chance(0.6) ? 1 + int(NAMES.length) : 0;
  const offered: Tool[] = NAMES.slice(0, count).flatMap((name): Tool[] => [
    { toolSpec: { name, inputSchema: { json: pick(SCHEMAS.slice(0, 3)) }, ...(chance(0.3) && { strict: true }) } },
    ...mark(),
  ]);
  const mode: ToolMode = count === 0 ? "auto" : pick(["auto", "auto", "none", "any", { name: "read" }]);
  const config = toolConfig(offered, mode, messages);
  const inferenceConfig = {
    ...(chance(0.6) && { maxTokens: pick(LIMITS) }),
    ...(chance(0.4) && { temperature: pick([0, 0.5, 1]) }),
    ...(chance(0.3) && { topP: pick([0, 0.9, 1]) }),
    ...(chance(0.3) && { stopSequences: [pick(["\n", "END"]), "###"] }),
  };
  const { request } = limitCachePoints({
    messages,
    ...(system.length > 0 && { system }),
    ...(Object.keys(inferenceConfig).length > 0 && { inferenceConfig }),
    ...(config && { toolConfig: config }),
  });
  const thinking = pick([
    { type: "disabled" },
    { type: "adaptive" },
    { type: "adaptive", effort: pick(EFFORTS) },
    { type: "enabled", budgetTokens: pick([0, 1_024, 2_000, 10_000, 100_000]) },
  ] as const);
  const format = chance(0.5)
    ? ({ type: "json_object" } as const)
    : ({ type: "json_schema", schema: pick(SCHEMAS), name: "answer" } as const);
  return {
    request,
    intent: {
      ...(chance(0.5) && { effort: pick(EFFORTS) }),
      ...(chance(0.3) && { thinking }),
      ...(chance(0.4) && { format }),
      ...(chance(0.3) && { parallelToolCalls: chance(0.5) }),
      ...(chance(0.2) && { topK: 1 + int(100) }),
    },
  };
}

/** mulberry32: 32 bits of state, good enough for tests. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
