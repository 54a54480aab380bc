/**
 * One forwarded call: its row in the ledger, its line in the log and what Envoy's access log is told.
 *
 * Opened before the request goes out, ended exactly once: completed, failed or interrupted, whichever comes first. A row
 * that can't be closed is reported and stays open; the client's answer does not depend on it.
 */
import { GatewayError } from "../errors.ts";
import { formatUsd } from "../money.ts";
import {
  type Budget,
  type BudgetState,
  type CallClosing,
  type Key,
  type OpenedCall,
  StoreConflict,
  type TokenUsage,
} from "../store/store.ts";
import type { CallObserver, ObservedCall, Operation } from "../telemetry/conventions.ts";
import { chargedTier, costOfCall, isPriced, type PricedRequest, priceOfCall, reservationOf } from "./call-cost.ts";
import type { Ledger } from "./ledger.ts";
import { createMeter, type Meter, NO_USAGE } from "./meter.ts";
import type { Prices } from "./prices.ts";

export interface CallStart {
  /** The request id. */
  readonly id: string;
  /** With its team of this moment. */
  readonly key: Pick<Key, "id" | "team">;
  /** What the key and its team may spend. A further attempt is let through by all of them, as its call was. */
  readonly budgets: readonly Budget[];
  readonly dialect: string;
  /** For metrics and traces; undefined: a chat. */
  readonly operation?: Operation;
  readonly modelRequested: string;
  readonly modelInvoked: string;
  readonly region: string;
  /** What the id stands for, where AWS says so: an application inference profile is priced by it. */
  readonly foundationModel: string | undefined;
  /** Set on a further attempt: the call that it belongs to. */
  readonly callId?: string;
  /** Of the request what its price depends on. */
  readonly request: PricedRequest;
  /** What the request's prompt has by rule of thumb, in tokens. */
  readonly inputEstimate: number;
  /** How many answers its budgets have to hold; 1 by default. */
  readonly choices?: number;
  readonly stream: boolean;
  readonly startedAt: number;
  /** The span of this attempt. */
  readonly trace?: ObserveCall;
}

/** Told of an attempt when it is about to be forwarded. */
export type ObserveCall = (call: ObservedCall) => CallObserver;

export interface CallRecord {
  readonly meter: Meter;
  /** As its `CallStart` has it. */
  readonly inputEstimate: number;
  /** As they were before this call, in the order of `CallStart`'s. */
  readonly budgets: readonly BudgetState[];
  /** Pico-dollars, once it has ended. Undefined where there is no price for what was used. */
  readonly cost: bigint | undefined;
  /** What counts against tokens per minute, once it has ended: not what was read from the prompt cache. */
  readonly tokens: number | undefined;
  /** Bedrock's answer has begun, with this status. */
  answered(status: number, bedrockRequestId: string | undefined): void;
  /** The connection broke after the request had gone out: Bedrock may have worked on it. */
  lost(): void;
  completed(httpStatus: number): Promise<void>;
  /** `httpStatus` is what the client gets: 200 when the stream had begun. */
  failed(error: GatewayError, httpStatus: number): Promise<void>;
  /** The client or Bedrock went away half-way. `httpStatus` is what the client was sent, 499 for nothing at all. */
  interrupted(httpStatus: number): Promise<void>;
  /** The client went away before the request had gone out. */
  abandoned(): Promise<void>;
  /** For the access log. */
  metadata(): Record<string, string | number | boolean | undefined>;
}

export interface CallRecorder {
  /**
   * Throws GatewayError `unavailable` when the row can't be written: what can't be counted is not forwarded; the one that
   * `refused` makes when a budget is spent; and `model_not_allowed` where a budget would never hear of the cost.
   */
  open(start: CallStart): Promise<CallRecord>;
}

export interface CallRecorderOptions {
  readonly ledger: Ledger;
  readonly prices: Prices;
  /** Forwards what has no price also for keys with a budget. */
  readonly allowUnpriced: boolean;
  /** The id of this process. */
  readonly instance: string;
  /** What a client is told when one of these budgets refused its call. */
  readonly refused: (budgets: readonly BudgetState[]) => GatewayError | undefined;
  readonly now: () => number;
  /** One line for each call, when it has ended. */
  readonly log: (line: Record<string, unknown>) => void;
  /** Counts it. */
  readonly observe: ObserveCall;
  /** A row could not be written, and its call was refused. */
  readonly onNotOpened: () => void;
  readonly onFault: (error: unknown, requestId: string) => void;
}

const RETRY_SECONDS = 1;

export function createCallRecorder(options: CallRecorderOptions): CallRecorder {
  const { ledger, instance, refused } = options;
  return {
    async open(start) {
      const {
        request: _request,
        trace: _trace,
        choices: _choices,
        operation: _operation,
        key,
        budgets,
        foundationModel,
        ...call
      } = start;
      const opened = await opening(
        options,
        ledger.open({
          ...call,
          ...(foundationModel !== undefined && { foundationModel }),
          keyId: key.id,
          team: key.team,
          instance,
          reserved: budgets.length === 0 ? 0n : reserved(start, options),
          budgets,
        }),
      );
      if (!opened.opened)
        throw refused(opened.budgets) ?? new GatewayError("insufficient_quota", "A budget is used up.");
      return callRecord(start, opened.budgets, options);
    },
  };
}

async function opening({ onNotOpened }: CallRecorderOptions, opened: Promise<OpenedCall>): Promise<OpenedCall> {
  try {
    return await opened;
  } catch (cause) {
    if (cause instanceof StoreConflict) {
      const message = "The x-request-id of this request is another call's: give each request its own, or none.";
      throw new GatewayError("invalid_request", message, { cause });
    }
    onNotOpened();
    const message = "The gateway can't write its ledger and forwards nothing until it can.";
    throw new GatewayError("unavailable", message, { cause, retryAfter: RETRY_SECONDS });
  }
}

/**
 * What the call holds of its budgets. What is spent without a price would be spent beside them, so that is refused unless the
 * operator wants it; a fault of the pricing leaves a call without a reservation.
 */
function reserved(start: CallStart, { prices, allowUnpriced, onFault }: CallRecorderOptions): bigint {
  const bound = !allowUnpriced && start.budgets.some(({ limit }) => limit !== undefined);
  try {
    const price = priceOfCall(prices, start);
    if (!bound || isPriced(price, start.request)) return reservationOf(price, start.request, start);
  } catch (error) {
    onFault(error, start.id);
    return 0n;
  }
  throw new GatewayError(
    "model_not_allowed",
    "This API key has a budget, and the gateway knows no price for what was asked: for the model, or for its service tier " +
      "or latency. The gateway's operator can give it one.",
    { param: "model" },
  );
}

function callRecord(start: CallStart, budgets: readonly BudgetState[], options: CallRecorderOptions): CallRecord {
  const { ledger, prices, now, log, observe, onFault } = options;
  const { key, inputEstimate, trace } = start;
  const meter = createMeter(now);
  const observed = { ...start, keyId: key.id, team: key.team };
  const observers = [observe(observed), ...(trace === undefined ? [] : [trace(observed)])];
  let bedrockRequestId: string | undefined;
  let refused = false;
  let lost = false;
  let closing: CallClosing | undefined;

  async function end(outcome: Pick<CallClosing, "status" | "httpStatus" | "errorCode">, used: Used): Promise<void> {
    if (closing !== undefined) return;
    const serviceTier = meter.served.serviceTier ?? start.request.serviceTier?.type;
    const latency = meter.served.latency ?? start.request.performanceConfig?.latency;
    const cost = priced(used.usage, chargedTier(serviceTier, latency));
    closing = {
      ...outcome,
      ...used,
      ...(cost !== undefined && { cost }),
      ...(serviceTier !== undefined && { serviceTier }),
      finishedAt: now(),
      ...(meter.firstTokenAt === undefined ? {} : { firstTokenAt: meter.firstTokenAt }),
      ...(bedrockRequestId === undefined ? {} : { bedrockRequestId }),
    };
    tell(closing);
    try {
      await ledger.close(start.id, closing);
    } catch (error) {
      onFault(error, start.id);
    }
  }

  /** What the operator is told must not cost the row its closing. */
  function tell(closing: CallClosing): void {
    try {
      log(logLine(start, closing));
      for (const observer of observers) observer.ended(closing);
    } catch (error) {
      onFault(error, start.id);
    }
  }

  /** A fault of the pricing leaves a call unpriced; its row and its answer do not depend on it. */
  function priced(usage: TokenUsage, tier: string | undefined): bigint | undefined {
    try {
      return costOfCall(prices, start, usage, tier);
    } catch (error) {
      onFault(error, start.id);
      return undefined;
    }
  }

  /** What Bedrock refuses costs nothing; what it began to answer, or may have, has used something. */
  function usedUntilFailure(): Used {
    return lost || meter.begun ? meter.total(inputEstimate) : NOTHING_USED;
  }

  return {
    meter,
    inputEstimate,
    budgets,
    get cost() {
      return closing?.cost;
    },
    get tokens() {
      return closing && countedTokens(closing.usage);
    },
    answered(status, requestId) {
      refused = status !== 200;
      bedrockRequestId = requestId;
      for (const observer of observers) observer.answered?.(status);
    },
    lost() {
      lost = true;
    },
    completed: (httpStatus) => end({ status: "ok", httpStatus }, meter.total(inputEstimate)),
    failed: (error, httpStatus) => end({ status: "error", httpStatus, errorCode: error.code }, usedUntilFailure()),
    // Bedrock reads the prompt to its end, whether or not somebody still waits for the answer.
    interrupted: (httpStatus) =>
      end({ status: "interrupted", httpStatus }, refused ? NOTHING_USED : meter.total(inputEstimate)),
    abandoned: () => end({ status: "interrupted", httpStatus: 499 }, NOTHING_USED),
    metadata() {
      const usage = closing?.usage;
      return {
        input_tokens: usage?.inputTokens,
        output_tokens: usage?.outputTokens,
        cache_read_tokens: usage?.cacheReadTokens,
        cache_write_tokens: usage?.cacheWriteTokens,
        estimated: closing?.estimated,
        cost_usd: closing?.cost === undefined ? undefined : formatUsd(closing.cost),
        ...timings(start, closing),
      };
    },
  };
}

interface Used {
  readonly usage: TokenUsage;
  readonly estimated: boolean;
}

const NOTHING_USED: Used = { usage: NO_USAGE, estimated: false };

function countedTokens({ inputTokens, cacheWriteTokens, outputTokens }: TokenUsage): number {
  return inputTokens + cacheWriteTokens + outputTokens;
}

function timings(start: CallStart, closing: CallClosing | undefined) {
  return {
    first_token_ms: closing?.firstTokenAt === undefined ? undefined : closing.firstTokenAt - start.startedAt,
    duration_ms: closing === undefined ? undefined : closing.finishedAt - start.startedAt,
  };
}

function logLine(start: CallStart, closing: CallClosing): Record<string, unknown> {
  return {
    request_id: start.callId ?? start.id,
    ...(start.callId !== undefined && { attempt: start.id }),
    key_id: start.key.id,
    dialect: start.dialect,
    model: start.modelInvoked,
    stream: start.stream,
    outcome: closing.status,
    status: closing.httpStatus,
    error: closing.errorCode,
    input_tokens: closing.usage.inputTokens,
    output_tokens: closing.usage.outputTokens,
    cache_read_tokens: closing.usage.cacheReadTokens,
    cache_write_tokens: closing.usage.cacheWriteTokens,
    reasoning_tokens: closing.usage.reasoningTokens,
    estimated: closing.estimated,
    cost_usd: closing.cost === undefined ? null : formatUsd(closing.cost),
    service_tier: closing.serviceTier,
    ...timings(start, closing),
    bedrock_request_id: closing.bedrockRequestId,
  };
}
