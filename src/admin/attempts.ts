/**
 * How often somebody may be wrong about the admin token: per address, and all together.
 *
 * Wrong tokens alone are counted, so a client that has the right one is never slowed down by its own requests. A right
 * token from an address that has guessed too often is refused like a wrong one: the answer tells nothing. When too many
 * addresses guess at once, those that had the right token before are still let in.
 */
import { LRUCache } from "lru-cache";
import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";

export interface Attempts {
  /** Resolves with the seconds to wait before another attempt, 0 for none. */
  wrong(address: string): Promise<number>;
  right(address: string): Promise<number>;
}

export interface AttemptsOptions {
  /** In a minute. */
  readonly perAddress?: number;
  readonly total?: number;
}

const WINDOW_S = 60;
const BLOCK_S = 300;
const EVERYBODY = "all";

export function createAttempts({ perAddress = 10, total = 100 }: AttemptsOptions = {}): Attempts {
  const everybody = new RateLimiterMemory({ points: total, duration: WINDOW_S });
  const addresses = new RateLimiterMemory({ points: perAddress, duration: WINDOW_S, blockDuration: BLOCK_S });
  const trusted = new LRUCache<string, true>({ max: 1000 });

  return {
    async wrong(address) {
      const from = networkOf(address);
      // One that is refused already uses up nothing of the total; those beyond the total are not remembered.
      const blocked = await blockedFor(addresses, from, perAddress);
      if (blocked > 0) return blocked;
      if (!trusted.has(from)) {
        const wait = await consume(everybody, EVERYBODY);
        if (wait > 0) return wait;
      }
      return consume(addresses, from);
    },
    async right(address) {
      const from = networkOf(address);
      const wait = await blockedFor(addresses, from, perAddress);
      if (wait > 0) return wait;
      if (!trusted.has(from)) {
        const waitForAll = await blockedFor(everybody, EVERYBODY, total);
        if (waitForAll > 0) return waitForAll;
      }
      trusted.set(from, true);
      return 0;
    },
  };
}

async function consume(limiter: RateLimiterMemory, key: string): Promise<number> {
  try {
    await limiter.consume(key);
    return 0;
  } catch (refused) {
    if (refused instanceof RateLimiterRes) return seconds(refused);
    throw refused;
  }
}

async function blockedFor(limiter: RateLimiterMemory, key: string, points: number): Promise<number> {
  const state = await limiter.get(key);
  return state !== null && state.consumedPoints > points ? seconds(state) : 0;
}

function seconds({ msBeforeNext }: RateLimiterRes): number {
  return Math.max(1, Math.ceil(msBeforeNext / 1000));
}

/** One household has a whole /64 of IPv6 addresses. */
export function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");
  if (!plain.includes(":")) return plain;
  const [head = "", tail] = plain.split("::");
  const groups = head === "" ? [] : head.split(":");
  const behind = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array.from({ length: Math.max(0, 8 - groups.length - behind.length) }, () => "0");
  return [...groups, ...zeros, ...behind].slice(0, 4).join(":");
}
