/**
 * Requests per minute of each key, within one process.
 *
 * A key's minute starts with its first request; its whole allowance may be spent at once, and is back when the minute
 * ends. Counting is one synchronous step, so it is exact under any concurrency. A refused request takes nothing from
 * the allowance. Headers as in https://platform.openai.com/docs/guides/rate-limits.
 */
import { RateLimiterMemory } from "rate-limiter-flexible";
import { GatewayError } from "../errors.ts";
import type { Key } from "../store/store.ts";

export interface RequestAllowance {
  /** `x-ratelimit-*`, for the answer; none for an unlimited key. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface RequestLimiter {
  /** Counts one request. Throws GatewayError `rate_limit_exceeded` with the seconds until the minute ends. */
  take(key: Pick<Key, "id" | "rpm">): Promise<RequestAllowance>;
}

const WINDOW_SECONDS = 60;
const UNLIMITED: RequestAllowance = { headers: {} };

export function createRequestLimiter(): RequestLimiter {
  // The library only counts; the limit is compared here, so that a changed one holds within the running minute.
  const counter = new RateLimiterMemory({ points: Number.MAX_SAFE_INTEGER, duration: WINDOW_SECONDS });
  return {
    async take({ id, rpm }) {
      if (rpm === null) return UNLIMITED;
      const { consumedPoints, msBeforeNext } = await counter.consume(id);
      const seconds = Math.max(1, Math.ceil(msBeforeNext / 1000));
      const headers = requestHeaders(rpm, Math.max(0, rpm - consumedPoints), seconds);
      if (consumedPoints <= rpm) return { headers };
      await counter.reward(id);
      throw new GatewayError(
        "rate_limit_exceeded",
        `This API key may make ${rpm} ${rpm === 1 ? "request" : "requests"} per minute. Try again in ${seconds} s.`,
        { retryAfter: seconds, headers },
      );
    },
  };
}

function requestHeaders(limit: number, remaining: number, resetSeconds: number): Record<string, string> {
  return {
    "x-ratelimit-limit-requests": String(limit),
    "x-ratelimit-remaining-requests": String(remaining),
    "x-ratelimit-reset-requests": duration(resetSeconds),
  };
}

/** As OpenAI writes it: `12s`, `1m0s`. */
function duration(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  return minutes > 0 ? `${minutes}m${seconds % 60}s` : `${seconds}s`;
}
