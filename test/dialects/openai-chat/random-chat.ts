/** Random chat requests, as odd as clients make them but without an error: the same seed gives the same request. */

export interface ChatBody {
  model: string;
  messages: object[];
  [field: string]: unknown;
}

const TEXTS = ["Hi", "", " \n\t", "  x  ", "Zoë ☀️", "half \ud83d", "a".repeat(300), ".", '{"a":1}'];
const NAMES = ["read", "mcp.git/search", "x".repeat(90), "été", "_", "9lives", "read file", "constructor"];
const IDS = ["c1", "c1", "call_0", "toolu:1.2-3", "id with space", "y".repeat(80), "__proto__", "c1.2"];
const ARGUMENTS = ["", "{}", '{"a":12345678901234567890}', "[1]", "{cut", "null", '"s"', { b: 1, a: 2 }, null];
const PNG = `data:image/png;base64,${Buffer.from("\x89PNG\r\n\x1a\n", "latin1").toString("base64")}`;
const PDF = `data:application/pdf;base64,${Buffer.from("%PDF-1.4 x").toString("base64")}`;
const FILES = ["a.pdf", "a.pdf", "Q3 (final)!!.pdf", "***", "b".repeat(300)];

export function randomChat(seed: number): ChatBody {
  const random = mulberry32(seed);
  const int = (limit: number): number => Math.floor(random() * limit);
  const chance = (probability: number): boolean => random() < probability;
  const pick = <T>(values: readonly T[]): T => {
    const value = values[int(values.length)];
    if (value === undefined) throw new Error("nothing to pick from");
    return value;
  };
  const some = <T>(limit: number, make: () => T): T[] => Array.from({ length: int(limit + 1) }, make);
  const cached = (): object =>
    chance(0.15) ? { cache_control: { type: "ephemeral", ...(chance(0.4) && { ttl: pick(["5m", "1h", "1d"]) }) } } : {};

  const textPart = (): object => ({ type: pick(["text", "input_text"]), text: pick(TEXTS), ...cached() });
  const mediaPart = (): object =>
    chance(0.5)
      ? { type: "image_url", image_url: { url: PNG }, ...cached() }
      : {
          type: "file",
          file: { filename: pick(FILES), file_data: chance(0.7) ? PDF : PDF.replace("application/pdf", "text/plain") },
          ...cached(),
        };
  const content = (media: boolean): unknown => {
    if (chance(0.5)) return pick(TEXTS);
    return some(3, () => (media && chance(0.4) ? mediaPart() : textPart()));
  };
  const call = (): object => ({
    id: pick(IDS),
    type: "function",
    function: { name: pick(NAMES), arguments: pick(ARGUMENTS) },
    ...cached(),
  });
  const thinking = (): object =>
    pick([
      { type: "thinking", thinking: "hm", signature: "c2ln" },
      { type: "thinking", thinking: "hm" },
      { type: "redacted_thinking", data: "c2VjcmV0" },
    ]);
  const message = (): object => {
    const role = pick(["user", "user", "assistant", "assistant", "assistant", "tool", "tool", "tool", "system"]);
    switch (role) {
      case "user":
        return { role, content: content(true), ...cached() };
      case "assistant":
        return {
          role,
          content: chance(0.3) ? null : content(false),
          ...(chance(0.5) && { tool_calls: some(3, call) }),
          ...(chance(0.2) && { thinking_blocks: some(2, thinking), reasoning_content: "hm" }),
          ...cached(),
        };
      case "tool":
        return { role, tool_call_id: pick(IDS), content: chance(0.1) ? null : content(true), ...cached() };
      default:
        return { role: pick(["system", "developer"]), content: content(false), ...cached() };
    }
  };
  const tool = (): object => ({
    type: "function",
    function: {
      name: pick(NAMES),
      ...(chance(0.5) && { description: pick(TEXTS) }),
      ...(chance(0.5) && { parameters: pick([{}, { type: "object", properties: {} }, { $schema: "x", anyOf: [] }]) }),
      ...(chance(0.3) && { strict: chance(0.5) }),
    },
    ...cached(),
  });
  const tools = chance(0.5) ? [tool(), ...some(4, tool)] : undefined;
  return {
    model: "test-model",
    messages: [
      ...some(2, () => ({ role: "system", content: content(false), ...cached() })),
      message(),
      ...some(14, message),
    ],
    ...(tools && { tools, tool_choice: pick(["auto", "none", "required", null]) }),
    ...(chance(0.3) && { temperature: random() * 2, stop: some(3, () => pick(TEXTS)), max_tokens: 1 + int(100) }),
  };
}

/** A generator with 32 bits of state (mulberry32): good enough for tests. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
