/**
 * The load: clients that do all that clients do, at random. Each kind of request has a model of its own, which always
 * answers in the same way.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Answer, fails, type Simulator, says } from "../../src/simulator/simulator.ts";

export const MODELS = "test.soak-*";

export interface LoadOptions {
  readonly url: string;
  readonly simulator: Simulator;
  readonly keys: readonly string[];
  /** From 0 to 1. */
  readonly random: () => number;
}

export interface Load {
  /** How many requests ended how: `stream 200`, `error 400`. */
  readonly outcomes: ReadonlyMap<string, number>;
  readonly requests: number;
  /** What must not happen. */
  readonly failures: readonly string[];
  /** One client, until `over` says so. */
  client(over: () => boolean): Promise<void>;
}

interface Kind {
  readonly name: string;
  /** Of 100 requests. */
  readonly share: number;
  readonly stream: boolean;
  /** Undefined: Bedrock is not to be asked. */
  readonly answer?: Answer;
  readonly prompt?: () => string;
  /** The client leaves after so many milliseconds. */
  readonly leaveAfter?: (random: number) => number;
  readonly key?: string;
  readonly body?: string;
  /** 429 is always one: keys have limits. */
  readonly statuses: readonly number[];
  readonly ending?: "left" | "broken";
}

const PAUSE_MS = 20;
const BIG_BYTES = 2_000_000;

const words = (count: number) => "word ".repeat(count);

const KINDS: readonly Kind[] = [
  { name: "chat", share: 36, stream: false, answer: says(words(100)), statuses: [200] },
  { name: "stream", share: 24, stream: true, answer: says(words(50), { pace: 5 }), statuses: [200] },
  {
    name: "left in a stream",
    share: 10,
    stream: true,
    answer: says(words(600), { pace: 50 }),
    leaveAfter: (random) => 50 + random * 500,
    statuses: [200],
    ending: "left",
  },
  {
    name: "left before the answer",
    share: 5,
    stream: false,
    answer: says("too late", { delay: 2_000 }),
    leaveAfter: (random) => random * 100,
    statuses: [200],
    ending: "left",
  },
  { name: "refused", share: 6, stream: false, answer: fails("ValidationException"), statuses: [400] },
  { name: "denied", share: 3, stream: true, answer: fails("AccessDeniedException"), statuses: [403] },
  { name: "cut", share: 4, stream: true, answer: cutStream(), statuses: [200, 502], ending: "broken" },
  { name: "big", share: 3, stream: false, answer: says("ok"), prompt: () => "x".repeat(BIG_BYTES), statuses: [200] },
  { name: "not JSON", share: 4, stream: false, body: "{", statuses: [400] },
  { name: "no key", share: 5, stream: false, key: "sk-unknown", statuses: [401] },
];

export function createLoad({ url, simulator, keys, random }: LoadOptions): Load {
  for (const [index, { answer }] of KINDS.entries()) {
    if (answer !== undefined) simulator.scriptModel(modelOf(index), { ...answer, times: Number.POSITIVE_INFINITY });
  }
  const outcomes = new Map<string, number>();
  const failures: string[] = [];
  let requests = 0;

  async function request(): Promise<void> {
    const index = pick(random());
    const kind = KINDS[index];
    if (kind === undefined) return;
    const key = kind.key ?? keys[Math.floor(random() * keys.length)] ?? "";
    const leave = kind.leaveAfter && AbortSignal.timeout(Math.round(kind.leaveAfter(random())));
    const outcome = await send(url, { kind, key, model: modelOf(index), leave });
    requests += 1;
    const name = `${kind.name}: ${outcome}`;
    outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
    const fine = kind.statuses.includes(Number(outcome)) || outcome === "429" || outcome === kind.ending;
    if (!fine) failures.push(name);
  }

  return {
    outcomes,
    failures,
    get requests() {
      return requests;
    },
    async client(over) {
      while (!over()) {
        await request();
        await sleep(random() * 2 * PAUSE_MS);
      }
    },
  };
}

interface Sending {
  readonly kind: Kind;
  readonly key: string;
  readonly model: string;
  readonly leave: AbortSignal | undefined;
}

/** The status, `left` or `broken`. */
async function send(url: string, { kind, key, model, leave }: Sending): Promise<string> {
  const content = kind.prompt?.() ?? `Hello, this is ${model}. ${words(50)}`;
  const body = { model, stream: kind.stream, max_tokens: 500, messages: [{ role: "user", content }] };
  try {
    const reply = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: kind.body ?? JSON.stringify(body),
      ...(leave !== undefined && { signal: leave }),
    });
    await reply.text();
    return String(reply.status);
  } catch {
    return leave?.aborted ? "left" : "broken";
  }
}

function cutStream(): Answer {
  return {
    kind: "events",
    steps: [
      { event: "messageStart", payload: { role: "assistant" } },
      { event: "contentBlockDelta", payload: { contentBlockIndex: 0, delta: { text: "half a sen" } } },
      { cut: "reset", delay: 20 },
    ],
  };
}

function modelOf(kind: number): string {
  return MODELS.replace("*", `${kind}-v1:0`);
}

function pick(random: number): number {
  let left = random * KINDS.reduce((sum, { share }) => sum + share, 0);
  return KINDS.findIndex(({ share }) => {
    left -= share;
    return left < 0;
  });
}
