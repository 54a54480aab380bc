/**
 * Limits of keys and teams: requests and tokens per minute, requests at once.
 *
 * A caller's requests and places are taken together when the headers are there, its tokens when the body is; of key and
 * team either both are counted or none. A minute begins with its first request, and its whole allowance may be spent at
 * once. A refused request takes nothing. Tokens are reserved by estimate and put right when the call has ended, within the
 * minute where they were reserved: what a call used beyond its reservation may bring a minute over its limit and delays
 * the next calls. A request never reserves more than the limit, so one that may answer at length still passes, alone in
 * its minute. Headers as in https://platform.openai.com/docs/guides/rate-limits, in whole seconds.
 */
import { GatewayError, type ReachedLimit } from "../errors.ts";
import type { Limits } from "../store/store.ts";
import type { Caller } from "./authenticate.ts";
import type { Counters, Held, WindowState } from "./counters/counters.ts";
import { createInsuredCounters, type WhenLost } from "./counters/insured.ts";
import { createMemoryCounters, type MemoryCountersOptions } from "./counters/memory.ts";
import { createRedisCounters, type RedisCountersOptions } from "./counters/redis.ts";

export interface LimiterOptions extends MemoryCountersOptions {
  /** Where all gateways count together; undefined: each by itself. */
  readonly redis?: (RedisCountersOptions & { readonly whenLost: WhenLost }) | undefined;
}

export interface Limiter {
  /**
   * Counts one request for the key and its team and takes a place among their parallel ones. Throws GatewayError:
   * `rate_limit_exceeded`, or `unavailable` where that was chosen for lost counters; then nothing stays counted anywhere.
   */
  admit(caller: Caller): Promise<Admission>;
  /** The shared counters can't be reached. */
  readonly lost: boolean;
  close(): Promise<void>;
}

export interface TokenEstimate {
  readonly prompt: number;
  /** At most. */
  readonly output: number;
}

export interface Admission {
  /** `x-ratelimit-*`, for whatever is answered; there are more once tokens are reserved. */
  readonly headers: Readonly<Record<string, string>>;
  /** Throws as `admit`; then nothing is reserved. */
  reserveTokens(estimate: TokenEstimate): Promise<void>;
  /** What the call has used in the end; 0 frees all. The first call counts; without one the reservation stays. */
  settle(tokens: number): void;
  /** Gives the parallel place back. The first call counts; one is always needed. */
  release(): void;
}

/** One limit of the key or of its team. */
interface Limit {
  readonly reached: ReachedLimit;
  readonly whose: string;
  readonly name: string;
  readonly limit: number;
}

/** Each the key's first, then the team's. */
interface CallerLimits {
  readonly perMinute: readonly Limit[];
  readonly atOnce: readonly Limit[];
  readonly tokens: readonly Limit[];
}

const DONE = Promise.resolve();
const UNLIMITED: Promise<Admission> = Promise.resolve({
  headers: {},
  reserveTokens: () => DONE,
  settle() {},
  release() {},
});

export function createLimiter({ redis, ...options }: LimiterOptions = {}): Limiter {
  const own = createMemoryCounters(options);
  const shared = redis && createRedisCounters(redis);
  const counters = shared === undefined ? own : createInsuredCounters(shared, own, redis?.whenLost ?? "refuse");
  return {
    get lost() {
      return shared?.lost === true;
    },
    admit: (caller) =>
      isLimited(caller.key) || isLimited(caller.team) ? admit(counters, limitsOf(caller)) : UNLIMITED,
    close: () => counters.close(),
  };
}

function isLimited(limits: Limits | null): boolean {
  return limits !== null && (limits.rpm !== null || limits.tpm !== null || limits.parallel !== null);
}

async function admit(counters: Counters, { perMinute, atOnce, tokens }: CallerLimits): Promise<Admission> {
  if (perMinute.length === 0 && atOnce.length === 0) return createAdmission(counters, tokens, {}, undefined);
  const windows = perMinute.map(({ name, limit }) => ({ name, limit, amount: 1 }));
  const { windows: states, full, held } = await counters.take({ windows, places: atOnce });
  const headers = rateHeaders("requests", perMinute, states);
  if (held !== undefined) return createAdmission(counters, tokens, headers, held);
  const retryAfter = secondsUntilFree(states);
  const overdrawn = perMinute.find((_, index) => states[index]?.refused);
  if (overdrawn !== undefined) throw tooManyRequests(overdrawn, retryAfter, headers);
  const crowded = atOnce.find((_, index) => full[index]);
  if (crowded !== undefined) throw tooManyAtOnce(crowded, headers);
  throw new Error("nothing was taken, and no limit says that it refused");
}

function createAdmission(
  counters: Counters,
  limits: readonly Limit[],
  requestHeaders: Readonly<Record<string, string>>,
  place: Held | undefined,
): Admission {
  let headers = requestHeaders;
  let reserved: { readonly held: Held; readonly amounts: readonly number[] } | undefined;
  let used: number | undefined;

  function correct(): void {
    if (reserved === undefined || used === undefined) return;
    const tokens = Math.ceil(used);
    reserved.held.correct(reserved.amounts.map((amount) => tokens - amount));
    reserved = undefined;
  }

  return {
    get headers() {
      return headers;
    },
    async reserveTokens(estimate) {
      if (limits.length === 0) return;
      const prompt = Math.ceil(estimate.prompt);
      const tooSmall = limits.find(({ limit }) => prompt > limit);
      if (tooSmall !== undefined) throw promptTooLong(tooSmall, prompt, headers);
      const wanted = prompt + Math.ceil(estimate.output);
      const windows = limits.map(({ name, limit }) => ({ name, limit, amount: Math.min(wanted, limit) }));
      const { windows: states, held } = await counters.take({ windows, places: [] });
      headers = { ...headers, ...rateHeaders("tokens", limits, states) };
      if (held === undefined) throw tooManyTokens(limits, states, wanted, headers);
      reserved = { held, amounts: windows.map(({ amount }) => amount) };
      // A client that left meanwhile has been settled already.
      correct();
    },
    settle(tokens) {
      used ??= tokens;
      correct();
    },
    release() {
      place?.release();
    },
  };
}

/** A caller is the same object for all requests until its key is read anew. */
const limitsOfCallers = new WeakMap<Caller, CallerLimits>();

function limitsOf(caller: Caller): CallerLimits {
  let limits = limitsOfCallers.get(caller);
  if (limits === undefined) {
    limits = {
      perMinute: limitsOn("rpm", caller),
      atOnce: limitsOn("parallel", caller),
      tokens: limitsOn("tpm", caller),
    };
    limitsOfCallers.set(caller, limits);
  }
  return limits;
}

function limitsOn(what: "rpm" | "tpm" | "parallel", { key, team }: Caller): Limit[] {
  const limits: Limit[] = [];
  // A hash tag for all keys of a team, since key and team are counted in one step.
  const tag = key.team === null ? key.id : `team:${encodeURIComponent(key.team)}`;
  const ofKey = key[what];
  if (ofKey !== null) {
    const reached = { limit: what, subject: "key" } as const;
    limits.push({ reached, whose: "This API key", name: `gw:{${tag}}:${key.id}:${what}`, limit: ofKey });
  }
  const ofTeam = team?.[what] ?? null;
  if (team !== null && ofTeam !== null) {
    const whose = `The team ${JSON.stringify(team.name)}, all its API keys together,`;
    limits.push({ reached: { limit: what, subject: "team" }, whose, name: `gw:{${tag}}:${what}`, limit: ofTeam });
  }
  return limits;
}

/** Of whichever has less left; of equals the one that is back later. */
function rateHeaders(
  what: "requests" | "tokens",
  limits: readonly Limit[],
  states: readonly WindowState[],
): Record<string, string> {
  let scarcest: { readonly limit: number; readonly left: number; readonly endsInMs: number } | undefined;
  for (const [index, { used, endsInMs }] of states.entries()) {
    const limit = limits[index]?.limit ?? 0;
    const left = Math.max(0, limit - used);
    const scarcer = scarcest === undefined || left < scarcest.left;
    if (scarcer || (left === scarcest?.left && endsInMs > scarcest.endsInMs)) scarcest = { limit, left, endsInMs };
  }
  if (scarcest === undefined) return {};
  const { limit, left, endsInMs } = scarcest;
  return {
    [`x-ratelimit-limit-${what}`]: String(limit),
    [`x-ratelimit-remaining-${what}`]: String(left),
    [`x-ratelimit-reset-${what}`]: duration(wholeSeconds(endsInMs)),
  };
}

/** As OpenAI writes it: `12s`, `1m0s`. */
function duration(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  return minutes > 0 ? `${minutes}m${seconds % 60}s` : `${seconds}s`;
}

function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}

function secondsUntilFree(states: readonly WindowState[]): number {
  return wholeSeconds(Math.max(0, ...states.filter(({ refused }) => refused).map(({ endsInMs }) => endsInMs)));
}

function tooManyRequests(
  { reached, whose, limit }: Limit,
  retryAfter: number,
  headers: Record<string, string>,
): GatewayError {
  const requests = limit === 1 ? "request" : "requests";
  const message = `${whose} may make ${limit} ${requests} per minute. Try again in ${retryAfter} s.`;
  return new GatewayError("rate_limit_exceeded", message, { reached, retryAfter, headers });
}

function tooManyAtOnce({ reached, whose, limit }: Limit, headers: Record<string, string>): GatewayError {
  const requests = limit === 1 ? "request" : "requests";
  const message = `${whose} may have ${limit} ${requests} running at once. Try again when one has ended.`;
  return new GatewayError("rate_limit_exceeded", message, { reached, retryAfter: 1, headers });
}

function tooManyTokens(
  limits: readonly Limit[],
  states: readonly WindowState[],
  wanted: number,
  headers: Readonly<Record<string, string>>,
): GatewayError {
  const index = states.findIndex(({ refused }) => refused);
  const refusing = limits[index];
  if (refusing === undefined) throw new Error("nothing was taken, and no limit says that it refused");
  const { reached, whose, limit } = refusing;
  const left = Math.max(0, limit - (states[index]?.used ?? 0));
  const retryAfter = secondsUntilFree(states);
  return new GatewayError(
    "rate_limit_exceeded",
    `${whose} may use ${limit} tokens per minute: ${left} are left, and this request may take ${wanted} with its answer. ` +
      `Try again in ${retryAfter} s, or allow a shorter answer.`,
    { reached, retryAfter, headers },
  );
}

function promptTooLong({ reached, whose, limit }: Limit, prompt: number, headers: Readonly<Record<string, string>>) {
  return new GatewayError(
    "rate_limit_exceeded",
    `${whose} may use ${limit} tokens per minute, and the prompt alone has about ${prompt}: it can never pass. ` +
      "Shorten it, or ask the gateway's operator for a higher limit.",
    { reached, headers: { ...headers, "x-should-retry": "false" } },
  );
}
