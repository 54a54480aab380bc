/**
 * Shared counters, and what stands in for them while they can't be reached: the process's own counters, or a refusal.
 *
 * What was taken goes back to where it was taken from, so a call may begin in one and end in the other.
 */
import { GatewayError } from "../../errors.ts";
import type { Counters } from "./counters.ts";
import type { SharedCounters } from "./redis.ts";

/** local: each process counts by itself. refuse: limited callers are answered 503. */
export type WhenLost = "local" | "refuse";

export function createInsuredCounters(shared: SharedCounters, own: Counters, whenLost: WhenLost): Counters {
  return {
    async take(ask) {
      try {
        // Where the connection is known to be lost, an exception a request would be the costly way to say so.
        if (!shared.lost) return await shared.take(ask);
      } catch (cause) {
        if (whenLost === "refuse") throw refusal(cause);
      }
      if (whenLost === "refuse") throw refusal();
      return own.take(ask);
    },
    async close() {
      await Promise.all([shared.close(), own.close()]);
    },
  };
}

function refusal(cause?: unknown): GatewayError {
  return new GatewayError("unavailable", "The limits of this API key can't be checked now. Try again in a moment.", {
    retryAfter: 1,
    cause,
  });
}
