/**
 * The work that is measured: one request in both its forms, as clients send it and as Bedrock gets it.
 *
 * The second is what the gateway makes of the first, so that the simulator does the same in every configuration.
 */
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import { stringifyJson } from "../../src/json.ts";

export interface Work {
  readonly name: string;
  readonly about: string;
  /** Arguments of src/simulator/serve.ts. */
  readonly simulator: readonly string[];
  readonly stream: boolean;
  /** Requests under way at once. */
  readonly connections: number;
  /** What the processor time with the gateway may be, in that of a bare Envoy. */
  readonly maxRatio: number | undefined;
}

export const DELTAS = 64;

/**
 * Enough is under way to keep a core busy, also where each request waits some milliseconds for its row: two services that
 * are used to different degrees can't be compared. A model's tokens come one by one, so `stream` is paced. `burst` is what
 * the translation alone can do; how much a bare Envoy saves on it says nothing about streams as they are.
 */
export const works: readonly Work[] = [
  {
    name: "chat",
    about: "2 kB in, 1.5 kB out",
    simulator: [],
    stream: false,
    connections: 64,
    maxRatio: 6.0,
  },
  {
    name: "stream",
    about: `${DELTAS} deltas, one each 5 ms`,
    simulator: ["--deltas", String(DELTAS), "--pace", "5"],
    stream: true,
    connections: 64,
    maxRatio: 3.2,
  },
  {
    name: "burst",
    about: `${DELTAS} deltas at once`,
    simulator: ["--deltas", String(DELTAS)],
    stream: true,
    connections: 64,
    maxRatio: undefined,
  },
];

const MODEL = "amazon.nova-lite-v1:0";

export interface HttpRequest {
  readonly path: string;
  readonly body: string;
}

export function chatRequest({ stream }: Work): HttpRequest {
  return { path: "/v1/chat/completions", body: JSON.stringify(chatBody(stream)) };
}

export function converseRequest({ stream }: Work): HttpRequest {
  const { request } = openaiChat.decode(chatBody(stream), { id: "bench", created: 0 });
  const operation = stream ? "converse-stream" : "converse";
  return { path: `/model/${encodeURIComponent(MODEL)}/${operation}`, body: stringifyJson(request) };
}

/** About 2 kB. The simulator repeats the last message, so an answer has about 1.5 kB. */
function chatBody(stream: boolean) {
  return {
    model: MODEL,
    stream,
    ...(stream && { stream_options: { include_usage: true } }),
    temperature: 0.2,
    max_tokens: 1024,
    messages: [
      { role: "system", content: "You are a careful reviewer of code. Answer in plain words and keep to the point." },
      { role: "user", content: "Here is the first half of the file that we talked about yesterday, please keep it." },
      { role: "assistant", content: "I have read it. Send me the second half, and tell me what I should look for." },
      { role: "user", content: 'The loop reads one record at a time, and "nobody" looks at the result.\n'.repeat(20) },
    ],
  };
}
