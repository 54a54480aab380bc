/**
 * One forwarded call: its row in the ledger, its line in the log and what Envoy's access log is told.
 *
 * Opened before the request goes out, ended exactly once: completed, failed or interrupted, whichever comes first. A row
 * that can't be closed is reported and stays open; the client's answer does not depend on it.
 */
import type { ConverseRequest } from "../bedrock/converse.ts";
import { GatewayError } from "../errors.ts";
import type { CallClosing, Key, TokenUsage } from "../store/store.ts";
import { costOf, formatUsd } from "./cost.ts";
import { estimateInputTokens } from "./estimate.ts";
import type { Ledger } from "./ledger.ts";
import { createMeter, type Meter, NO_USAGE } from "./meter.ts";
import type { Prices } from "./prices.ts";

export interface CallStart {
  /** The request id. */
  readonly id: string;
  readonly key: Key;
  readonly dialect: string;
  readonly modelRequested: string;
  readonly modelInvoked: string;
  readonly region: string;
  /** What the id stands for, where AWS says so: an application inference profile is priced by it. */
  readonly foundationModel: string | undefined;
  /** Set on a further attempt: the call that it belongs to. */
  readonly callId?: string;
  readonly request: ConverseRequest;
  readonly stream: boolean;
  readonly startedAt: number;
}

export interface CallRecord {
  readonly meter: Meter;
  /** Pico-dollars, once it has ended. Undefined where there is no price for what was used. */
  readonly cost: bigint | undefined;
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
  /** Throws GatewayError `unavailable` when the row can't be written: what can't be counted is not forwarded. */
  open(start: CallStart): Promise<CallRecord>;
}

export interface CallRecorderOptions {
  readonly ledger: Ledger;
  readonly prices: Prices;
  readonly now: () => number;
  /** One line for each call, when it has ended. */
  readonly log: (line: Record<string, unknown>) => void;
  readonly onFault: (error: unknown, requestId: string) => void;
}

/** What a row can hold. */
const MAX_COST = 2n ** 63n - 1n;

export function createCallRecorder(options: CallRecorderOptions): CallRecorder {
  const { ledger } = options;
  return {
    async open(start) {
      const { id, key, request: _request, foundationModel: _model, ...call } = start;
      try {
        await ledger.open({ id, keyId: key.id, ...call });
      } catch (cause) {
        throw new GatewayError("unavailable", "The gateway can't write its ledger and forwards nothing until it can.", {
          cause,
        });
      }
      return callRecord(start, options);
    },
  };
}

function callRecord(start: CallStart, options: CallRecorderOptions): CallRecord {
  const { ledger, prices, now, log, onFault } = options;
  const meter = createMeter(now);
  const inputTokens = estimateInputTokens(start.request);
  let bedrockRequestId: string | undefined;
  let refused = false;
  let lost = false;
  let closing: CallClosing | undefined;

  async function end(outcome: Pick<CallClosing, "status" | "httpStatus" | "errorCode">, used: Used): Promise<void> {
    if (closing !== undefined) return;
    const serviceTier = meter.served.serviceTier ?? start.request.serviceTier?.type;
    const latency = meter.served.latency ?? start.request.performanceConfig?.latency;
    const cost = priced(used.usage, latency === "optimized" ? latency : serviceTier);
    closing = {
      ...outcome,
      ...used,
      ...(cost !== undefined && { cost }),
      ...(serviceTier !== undefined && { serviceTier }),
      finishedAt: now(),
      ...(meter.firstTokenAt === undefined ? {} : { firstTokenAt: meter.firstTokenAt }),
      ...(bedrockRequestId === undefined ? {} : { bedrockRequestId }),
    };
    log(logLine(start, closing));
    try {
      await ledger.close(start.id, closing);
    } catch (error) {
      onFault(error, start.id);
    }
  }

  /** A fault of the pricing leaves a call unpriced; its row and its answer do not depend on it. */
  function priced(usage: TokenUsage, tier: string | undefined): bigint | undefined {
    try {
      return costOfCall(start, usage, tier, prices);
    } catch (error) {
      onFault(error, start.id);
      return undefined;
    }
  }

  /** What Bedrock refuses costs nothing; what it began to answer, or may have, has used something. */
  function usedUntilFailure(): Used {
    return lost || meter.begun ? meter.total(inputTokens) : NOTHING_USED;
  }

  return {
    meter,
    get cost() {
      return closing?.cost;
    },
    answered(status, requestId) {
      refused = status !== 200;
      bedrockRequestId = requestId;
    },
    lost() {
      lost = true;
    },
    completed: (httpStatus) => end({ status: "ok", httpStatus }, meter.total(inputTokens)),
    failed: (error, httpStatus) => end({ status: "error", httpStatus, errorCode: error.code }, usedUntilFailure()),
    // Bedrock reads the prompt to its end, whether or not somebody still waits for the answer.
    interrupted: (httpStatus) =>
      end({ status: "interrupted", httpStatus }, refused ? NOTHING_USED : meter.total(inputTokens)),
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

/** Undefined: unpriced. A call that used nothing costs nothing, whatever its model. */
function costOfCall(start: CallStart, usage: TokenUsage, tier: string | undefined, prices: Prices) {
  const { modelInvoked: modelId, foundationModel, region, startedAt: at } = start;
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = usage;
  if (inputTokens + outputTokens + cacheReadTokens + cacheWriteTokens === 0) return 0n;
  const price = prices.priceOf({ modelId, foundationModel, region, at });
  const cost = price && costOf(usage, price, { serviceTier: tier });
  return cost !== undefined && cost <= MAX_COST ? cost : undefined;
}

const NOTHING_USED: Used = { usage: NO_USAGE, estimated: false };

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
    ...closing.usage,
    estimated: closing.estimated,
    cost_usd: closing.cost === undefined ? null : formatUsd(closing.cost),
    service_tier: closing.serviceTier,
    ...timings(start, closing),
    bedrock_request_id: closing.bedrockRequestId,
  };
}
