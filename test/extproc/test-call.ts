/**
 * A call with everything around it in memory: the chat dialect, the call record and the outlet are real; the plan, the
 * signature, the ledger and the egress listener are a test's, which can hold each of them up or let it fail.
 */
import { Readable } from "node:stream";
import type { Caller } from "../../src/access/authenticate.ts";
import { budgetRefusal } from "../../src/access/budgets.ts";
import type { SignedCall } from "../../src/bedrock/converse-call.ts";
import type { IncomingAnswer } from "../../src/bedrock/egress.ts";
import type { Conversation, Dialect } from "../../src/dialects/dialect.ts";
import { openaiChat } from "../../src/dialects/openai-chat/index.ts";
import type { GatewayError } from "../../src/errors.ts";
import type { AnswerReader } from "../../src/extproc/answer-reader.ts";
import { Call, type CallServices } from "../../src/extproc/call.ts";
import { Outlet } from "../../src/extproc/outlet.ts";
import type { Reply } from "../../src/extproc/wire.ts";
import type { JsonObject } from "../../src/json.ts";
import { adapt } from "../../src/models/adapt.ts";
import type { Attempt, PlannedCall } from "../../src/models/call-plan.ts";
import { capabilitiesOf } from "../../src/models/capabilities.ts";
import type { CallClosing, CallOpening } from "../../src/store/store.ts";
import { createCallRecorder } from "../../src/usage/call-record.ts";
import type { Ledger } from "../../src/usage/ledger.ts";
import { createPrices } from "../../src/usage/prices.ts";
import { ANSWER, KEY, METADATA, MODEL, STOP, TestAdmission, textFrame } from "./test-exchange.ts";

const PRICES = createPrices();
const NOW = 1_700_000_000_000;

export interface Row extends CallOpening {
  closing: CallClosing | undefined;
}

/** An attempt that went out through the egress listener. */
export interface Outgoing {
  readonly signed: SignedCall;
  readonly signal: AbortSignal;
  /** Gives the answer's head; its body is the test's to write. */
  answer(status: number, contentType: string, more?: Readonly<Record<string, string>>): Readable;
  fail(error: Error): void;
}

export interface TestCallOptions {
  /** Of the client's body. */
  readonly body?: JsonObject;
  readonly services?: Partial<CallServices>;
  readonly ledger?: Partial<Ledger>;
  readonly caller?: Partial<Caller>;
  readonly conversation?: Partial<Conversation>;
  readonly dialect?: Partial<Dialect>;
  /** What follows a failure of a choice; nothing by default. */
  readonly next?: (error: GatewayError, choice: number) => Promise<Attempt | undefined>;
  readonly send?: (reply: Reply) => void | Promise<void>;
}

export interface TestCall {
  readonly call: Call;
  readonly outlet: Outlet;
  readonly sent: Reply[];
  /** In the order in which they were opened. */
  readonly rows: Row[];
  readonly outgoing: Outgoing[];
  readonly faults: unknown[];
  /** What was told of attempts that followed on failed ones. */
  readonly recoveries: (readonly [cause: string, fallback: boolean])[];
  readonly admission: TestAdmission;
  /** Errors that the plan was asked about. */
  readonly failures: GatewayError[];
  /** Prepares and forwards, as the exchange does. */
  forward(): Promise<void>;
  /** Envoy has the answer to what it forwarded. */
  answered(status: number, contentType: string): AnswerReader;
  /** The same with its whole body. */
  answeredWith(status: number, contentType: string, body: string | Uint8Array): Promise<void>;
  /** Each row's status, HTTP status, input tokens and whether they are an estimate. */
  closings(): (readonly unknown[])[];
}

export function openCall(options: TestCallOptions = {}): TestCall {
  const sent: Reply[] = [];
  const rows: Row[] = [];
  const outgoing: Outgoing[] = [];
  const faults: unknown[] = [];
  const recoveries: (readonly [cause: string, fallback: boolean])[] = [];
  const admission = new TestAdmission();
  const failures: GatewayError[] = [];
  const onFault = (error: unknown) => void faults.push(error);
  const outlet = new Outlet((reply) => {
    sent.push(reply);
    return options.send?.(reply);
  });
  let choices = 0;
  const services: CallServices = {
    planner: {
      plan(planned) {
        const choice = choices;
        choices += 1;
        return {
          first: attemptAt(MODEL, planned),
          async next(error) {
            failures.push(error);
            return options.next?.(error, choice);
          },
        };
      },
    },
    calls: {
      prepare: async ({ modelId, region, stream, request }) => ({
        route: "tls",
        authority: `bedrock-runtime.${region}.amazonaws.com`,
        path: `/model/${modelId}/${stream ? "converse-stream" : "converse"}`,
        headers: {},
        body: Buffer.from(JSON.stringify(request)),
      }),
    },
    recorder: createCallRecorder({
      ledger: {
        waiting: 0,
        failing: false,
        async open(opening) {
          const outcome = (await options.ledger?.open?.(opening)) ?? { opened: true, budgets: [] };
          if (outcome.opened) rows.push({ ...opening, closing: undefined });
          return outcome;
        },
        async close(id, closing) {
          await options.ledger?.close?.(id, closing);
          const row = rows.find((candidate) => candidate.id === id);
          if (row === undefined || row.closing !== undefined) throw new Error(`row ${id} can't be closed`);
          row.closing = closing;
        },
        drain: async () => 0,
      },
      prices: PRICES,
      allowUnpriced: false,
      instance: "instance-1",
      refused: (states) => budgetRefusal(states, NOW),
      observe: () => ({ ended() {} }),
      onNotOpened: () => {},
      now: () => NOW,
      log: () => {},
      onFault,
    }),
    now: () => NOW,
    egress: (signed, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        outgoing.push({
          signed,
          signal,
          answer(status, contentType, more = {}) {
            const body = new Readable({ read: () => {} });
            signal.addEventListener("abort", () => body.destroy(new Error("aborted")), { once: true });
            const number = outgoing.length;
            const headers = new Map(
              Object.entries({ "content-type": contentType, "x-amzn-requestid": `b-own-${number}`, ...more }),
            );
            resolve({ status, headers, body } satisfies IncomingAnswer);
            return body;
          },
          fail: reject,
        });
      }),
    onRecovering: (cause, fallback) => void recoveries.push([cause, fallback]),
    onFault,
    answers: undefined,
    ...options.services,
  };
  const dialect: Dialect = { ...openaiChat, ...options.dialect };
  const decoded = dialect.decode(
    { model: MODEL, messages: [{ role: "user", content: "Hello there" }], ...options.body },
    { id: "c1", created: 1 },
  );
  const conversation = { ...decoded, ...options.conversation };
  const call = new Call(
    services,
    {
      id: "r1",
      caller: { key: KEY, team: null, ...options.caller },
      admission,
      trace: () => ({ ended() {} }),
      dialect,
      conversation,
      targets: [targetOf(MODEL)],
      startedAt: NOW,
    },
    outlet,
  );
  const answered = (status: number, contentType: string): AnswerReader => {
    const headers = new Map([
      [":status", String(status)],
      ["content-type", contentType],
      ["x-amzn-requestid", "b-1"],
    ]);
    outlet.headersArrived(headers, false);
    return call.answered({ status, headers });
  };
  return {
    call,
    outlet,
    sent,
    rows,
    outgoing,
    faults,
    recoveries,
    admission,
    failures,
    async forward() {
      if ((await call.prepare()) !== undefined) call.forwarded();
      await settled();
    },
    answered,
    async answeredWith(status, contentType, body) {
      const reader = answered(status, contentType);
      outlet.bodyBegun();
      await reader.push(Buffer.from(body));
      await reader.end();
      await settled();
    },
    closings: () =>
      rows.map(({ closing }) => [closing?.status, closing?.httpStatus, closing?.usage.inputTokens, closing?.estimated]),
  };
}

/** A request as the plan was given it, for another model. */
export function attemptAt(
  modelId: string,
  { request, intent, stream }: Pick<PlannedCall, "request" | "intent" | "stream">,
  fallback = false,
): Attempt {
  const capabilities = capabilitiesOf(modelId);
  const adapted = adapt({ request, intent, capabilities, stream, model: modelId });
  return { target: targetOf(modelId), adapted, lessons: [], fallback };
}

function targetOf(modelId: string) {
  return { name: modelId, modelId, region: "us-east-1", foundationModel: modelId };
}

/** Everything that is due has happened: promises, and what streams do in the turns that follow. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Writes a whole body and lets it be read. */
export async function give(body: Readable, ...chunks: readonly (string | Uint8Array)[]): Promise<void> {
  for (const chunk of chunks) body.push(chunk);
  body.push(null);
  await settled();
}

export const EVENT_STREAM = "application/vnd.amazon.eventstream";
export const JSON_TYPE = "application/json";
export const WHOLE_STREAM: Buffer = Buffer.concat([textFrame("Hi."), STOP, METADATA]);
export const ERROR_BODY = '{"message":"slow"}';
export { ANSWER };
