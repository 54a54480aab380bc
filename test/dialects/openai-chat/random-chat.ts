/** Random chat requests, as odd as clients make them but without an error: the same seed gives the same request. */
import { seeded } from "../../fuzz/random.ts";

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
const MEDIA = [
  { type: "image_url", image_url: { url: PNG } },
  { type: "image_url", image_url: { url: "https://example.com/a.png" } },
  { type: "input_image", image_url: "s3://my-bucket/a.png" },
  { type: "image", source: { type: "url", url: "http://example.com/b" } },
  { type: "video_url", video_url: { url: "data:video/mp4;base64,AAAA" } },
  { type: "document", title: "Terms & more", source: { type: "text", data: "Be kind." } },
  { type: "document", context: " ", source: { type: "content", content: [{ type: "text", text: "One." }] } },
  { type: "input_file", filename: "a.csv", file_data: "YSxi" },
];
const SETTINGS = [
  { metadata: { a: "1", "b\u2028": "Zo\u00eb", ["k".repeat(300)]: "v".repeat(300) }, user: "u" },
  { metadata: Object.fromEntries(TEXTS.map((text, n) => [text, String(n)])) },
  { response_format: { type: "json_schema", json_schema: { name: "x", schema: { type: "object" } } } },
  { service_tier: "flex", performance_config: { latency: "optimized" } },
  { guardrail_config: { guardrailIdentifier: "abc", guardrailVersion: "1", streamProcessingMode: "sync" } },
  { reasoning_effort: "low", thinking: { type: "adaptive" }, top_k: 3, n: 2, stream: true },
  { stop_sequences: ["", "x"], max_output_tokens: 5, parallel_tool_calls: false },
];
const FILES = ["a.pdf", "a.pdf", "Q3 (final)!!.pdf", "***", "b".repeat(300)];

export function randomChat(seed: number): ChatBody {
  const { int, chance, pick } = seeded(seed);
  const some = <T>(limit: number, make: () => T): T[] => Array.from({ length: int(limit + 1) }, make);
  const cached = (): object =>
    chance(0.15) ? { cache_control: { type: "ephemeral", ...(chance(0.4) && { ttl: pick(["5m", "1h", "1d"]) }) } } : {};

  const textPart = (): object => ({ type: pick(["text", "input_text"]), text: pick(TEXTS), ...cached() });
  const mediaPart = (): object => ({
    ...pick(MEDIA),
    ...cached(),
    ...(chance(0.1) && { citations: { enabled: true } }),
  });
  const filePart = (): object => ({
    type: "file",
    file: { filename: pick(FILES), file_data: chance(0.7) ? PDF : PDF.replace("application/pdf", "text/plain") },
    ...cached(),
  });
  const content = (media: boolean): unknown => {
    if (chance(0.5)) return pick(TEXTS);
    return some(3, () => (media && chance(0.4) ? (chance(0.5) ? mediaPart() : filePart()) : textPart()));
  };
  const call = (): object => ({
    id: pick(IDS),
    type: "function",
    function: { name: pick(NAMES), arguments: pick(ARGUMENTS) },
    ...cached(),
  });
  const callPart = (): object => ({
    type: "tool_use",
    id: pick(IDS),
    name: pick(NAMES),
    input: pick(ARGUMENTS),
    ...cached(),
  });
  const resultPart = (): object => ({
    type: "tool_result",
    tool_use_id: pick(IDS),
    content: content(true),
    is_error: chance(0.2),
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
        return { role, content: chance(0.15) ? some(3, resultPart) : content(true), ...cached() };
      case "assistant":
        if (chance(0.15)) return { role, content: [textPart(), ...some(2, callPart)], ...cached() };
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
  const tool = (): object =>
    chance(0.7) ? wrapped() : { ...pick([{ type: "function" }, { type: "custom" }]), ...flat() };
  const flat = (): object => ({
    name: pick(NAMES),
    input_schema: pick([{ type: "object", properties: { 2: {}, 1: {} } }, {}]),
    ...cached(),
  });
  const wrapped = (): object => ({
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
    ...(chance(0.2) && { system: content(false) }),
    ...(chance(0.1) && { cache_control: { type: "ephemeral" } }),
    ...(chance(0.2) && pick(SETTINGS)),
    ...(chance(0.2) && pick(SETTINGS)),
    ...(chance(0.3) && { temperature: int(200) / 100, stop: some(3, () => pick(TEXTS)), max_tokens: 1 + int(100) }),
  };
}

/** The same conversation as Responses spells it: messages, calls and outputs are items of one list. */
export function randomInput(seed: number): ChatBody {
  const { messages, system, ...rest } = randomChat(seed);
  const input = messages.flatMap((message): object[] => {
    const { tool_calls: calls, tool_call_id: callId, role, content, ...others } = message as Record<string, unknown>;
    if (role === "tool") return [{ type: "function_call_output", call_id: callId, output: content, ...others }];
    const items = (Array.isArray(calls) ? calls : []).map(({ id, function: called }) => ({
      type: "function_call",
      call_id: id,
      ...called,
    }));
    return [{ type: "message", role, content, ...others }, { type: "reasoning", summary: [] }, ...items];
  });
  return { ...rest, input, instructions: system, messages: null } as unknown as ChatBody;
}
