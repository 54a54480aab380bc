/**
 * An exchange with everything around it in memory: the chat dialect and the call record are real, keys, catalog, signing
 * and the ledger are stand-ins that a test can break or hold up.
 */
import { budgetRefusal } from "../../src/access/budgets.ts";
import type { Admission, TokenEstimate } from "../../src/access/limits.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import { createExchange, type ExchangeServices, type Refusal } from "../../src/extproc/exchange.ts";
import type { Exchange } from "../../src/extproc/server.ts";
import type { EnvoyEvent, Reply } from "../../src/extproc/wire.ts";
import type { JsonObject } from "../../src/json.ts";
import { createPlanner } from "../../src/models/call-plan.ts";
import type { Catalog } from "../../src/models/catalog.ts";
import { createLessons } from "../../src/models/lessons.ts";
import { createTargets } from "../../src/models/targets.ts";
import { eventFrame } from "../../src/simulator/event-stream.ts";
import { type CallClosing, type Key, NO_LIMITS } from "../../src/store/store.ts";
import { NO_TRACING } from "../../src/telemetry/tracing.ts";
import { createCallRecorder } from "../../src/usage/call-record.ts";
import type { Ledger } from "../../src/usage/ledger.ts";
import { createPrices, type Prices } from "../../src/usage/prices.ts";

export const KEY: Key = {
  id: "key_1",
  name: "alice",
  owner: null,
  team: null,
  tags: [],
  note: null,
  prefix: "sk-abcde",
  models: ["amazon.*"],
  ...NO_LIMITS,
  expiresAt: null,
  blockedAt: null,
  createdAt: 0,
  createdBy: null,
  revokedAt: null,
  lastUsedAt: null,
};

/** What was asked of the caller's limits, in order. */
export class TestAdmission implements Admission {
  readonly headers = { "x-ratelimit-limit-requests": "5" };
  readonly calls: (string | number)[][] = [];

  async reserveTokens({ prompt, output }: TokenEstimate): Promise<void> {
    this.calls.push(["reserve", prompt, output]);
  }

  settle(tokens: number): void {
    this.calls.push(["settle", tokens]);
  }

  release(): void {
    this.calls.push(["release"]);
  }
}

export const MODEL = "amazon.nova-lite-v1:0";
const NOW = 1_700_000_000_000;
const NOTHING = () => {};
const PRICES = createPrices();

/** Lists nothing, and takes every id for a foundation model's. */
export const CATALOG: Catalog = {
  list: async () => [],
  foundationModel: (id) => id,
  profileFor: () => undefined,
  has: () => false,
};

export interface TestExchange extends Exchange {
  readonly sent: Reply[];
  /** Ids of the rows that were opened. */
  readonly opened: string[];
  readonly closed: CallClosing[];
  readonly faults: unknown[];
  readonly refused: Refusal[];
  readonly admission: TestAdmission;
  /** Sends events one after the other, as the server does. */
  run(...events: EnvoyEvent[]): Promise<void>;
}

export function openExchange(
  services: Partial<ExchangeServices> = {},
  ledger: Partial<Ledger> = {},
  prices: Prices = PRICES,
): TestExchange {
  const sent: Reply[] = [];
  const opened: string[] = [];
  const closed: CallClosing[] = [];
  const faults: unknown[] = [];
  const refused: Refusal[] = [];
  const admission = new TestAdmission();
  const onFault = (error: unknown) => faults.push(error);
  const recorder = createCallRecorder({
    ledger: {
      waiting: 0,
      failing: false,
      async open(call) {
        const outcome = await ledger.open?.(call);
        if (outcome?.opened !== false) opened.push(call.id);
        return outcome ?? { opened: true, budgets: [] };
      },
      async close(id, closing) {
        await ledger.close?.(id, closing);
        closed.push(closing);
      },
      drain: async () => 0,
    },
    prices,
    allowUnpriced: false,
    instance: "instance-1",
    refused: (states) => budgetRefusal(states, NOW),
    observe: () => ({ ended: NOTHING }),
    onNotOpened: () => {},
    now: () => NOW,
    log: NOTHING,
    onFault,
  });
  const targets = createTargets(services.catalog ?? CATALOG, "us-east-1", {
    aliases: new Map(),
    fallbacks: new Map(),
    automaticProfiles: "geo",
  });
  const exchange = createExchange(
    {
      dialects: [openaiChat],
      embeddings: [],
      authenticator: { authenticate: async () => ({ key: KEY, team: null }) },
      budgets: { check: async () => {} },
      limiter: { lost: false, admit: async () => admission, close: async () => {} },
      tracing: NO_TRACING,
      onRecovering: NOTHING,
      catalog: CATALOG,
      targets,
      planner: createPlanner({ targets, lessons: createLessons(), overrides: [], autoCache: undefined }),
      buckets: ["shared-*"],
      fetchImage: () => Promise.reject(new Error("no image is fetched here")),
      egress: () => Promise.reject(new Error("no attempt of our own is made here")),
      calls: {
        prepare: async ({ modelId, stream, request }) => ({
          route: "tls",
          authority: "bedrock-runtime.us-east-1.amazonaws.com",
          path: `/model/${encodeURIComponent(modelId)}/${stream ? "converse-stream" : "converse"}`,
          headers: { authorization: "AWS4-HMAC-SHA256 …", "content-type": "application/json" },
          body: Buffer.from(JSON.stringify(request)),
        }),
      },
      modelCalls: {
        sign: async ({ modelId, operation, headers, body }) => ({
          route: "tls",
          authority: "bedrock-runtime.us-east-1.amazonaws.com",
          path: `/model/${encodeURIComponent(modelId)}/${operation}`,
          headers: { ...headers, authorization: "AWS4-HMAC-SHA256 …" },
          body,
        }),
      },
      recorder,
      now: () => NOW,
      accepting: () => true,
      onRefused: (line) => refused.push(line),
      onFault,
      answers: undefined,
      ...services,
    },
    (reply) => void sent.push(reply),
  );
  return {
    sent,
    opened,
    closed,
    faults,
    refused,
    admission,
    receive: (event) => exchange.receive(event),
    close: () => exchange.close(),
    async run(...events) {
      for (const event of events) await exchange.receive(event);
    },
  };
}

/** A chat's request headers; `undefined` takes one away. */
export function requestHeaders(
  change: Readonly<Record<string, string | undefined>> = {},
  endOfStream = false,
): EnvoyEvent {
  const headers = {
    ":method": "POST",
    ":path": "/v1/chat/completions",
    ":authority": "gateway",
    "x-request-id": "11111111-2222-3333-4444-555555555555",
    authorization: "Bearer sk-secret",
    "content-type": "application/json",
    ...change,
  };
  const present = Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return { type: "request_headers", headers: new Map(present), endOfStream };
}

export function get(path: string, method = "GET"): EnvoyEvent {
  return requestHeaders({ ":method": method, ":path": path }, true);
}

export function chatBody(more: JsonObject = {}): EnvoyEvent {
  return requestBody(JSON.stringify({ model: MODEL, messages: [{ role: "user", content: "Hello there" }], ...more }));
}

export function requestBody(text: string | Uint8Array): EnvoyEvent {
  return { type: "request_body", body: Buffer.from(text), endOfStream: true };
}

export function responseHeaders(
  status: number,
  contentType: string,
  more: Readonly<Record<string, string>> = {},
  endOfStream = false,
): EnvoyEvent {
  const headers = new Map(
    Object.entries({ ":status": String(status), "content-type": contentType, "x-amzn-requestid": "b-1", ...more }),
  );
  return { type: "response_headers", headers, endOfStream };
}

export const streamHeaders = (): EnvoyEvent => responseHeaders(200, "application/vnd.amazon.eventstream");
export const jsonHeaders = (status = 200): EnvoyEvent => responseHeaders(status, "application/json");

export function piece(bytes: Uint8Array | string, endOfStream = false): EnvoyEvent {
  return { type: "response_body", body: Buffer.from(bytes), endOfStream };
}

export const LAST: EnvoyEvent = piece("", true);

export const ANSWER = JSON.stringify({
  output: { message: { role: "assistant", content: [{ text: "Hi." }] } },
  stopReason: "end_turn",
  usage: { inputTokens: 3, outputTokens: 2, totalTokens: 5 },
});

export const textFrame = (text: string): Buffer =>
  eventFrame("contentBlockDelta", { contentBlockIndex: 0, delta: { text } });
export const STOP = Buffer.concat([
  eventFrame("contentBlockStop", { contentBlockIndex: 0 }),
  eventFrame("messageStop", { stopReason: "end_turn" }),
]);
export const METADATA = eventFrame("metadata", { usage: { inputTokens: 3, outputTokens: 2, totalTokens: 5 } });

/** All of the response body that was sent. */
export function bodyOf(sent: readonly Reply[]): string {
  return Buffer.concat(sent.flatMap((reply) => (reply.type === "response_body" ? [reply.body] : []))).toString("utf8");
}

export function typesOf(sent: readonly Reply[]): string[] {
  return sent.map(({ type }) => type);
}

/** The immediate response that an exchange ended with, its body parsed. */
export function responded(sent: readonly Reply[]) {
  const reply = sent.at(-1);
  if (reply?.type !== "respond") throw new Error(`the exchange ended with ${reply?.type}`);
  const text = Buffer.from(reply.body).toString("utf8");
  return { ...reply, body: text === "" ? undefined : JSON.parse(text) };
}
