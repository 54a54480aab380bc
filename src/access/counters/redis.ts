/**
 * Counters that all gateways share, in Valkey or Redis (6 or later).
 *
 * One step is one Lua script and one round trip, atomic on the server and by its clock. rate-limiter-flexible counts one
 * name a call there: a request with a team and places would be four calls and, when one refuses, more to undo the others,
 * with others refused for what is about to be undone; and its reward, come after a window's end, opens the next one below
 * zero. A window is a counter that expires. A place is a member of a sorted set with the time until which it is leased, so
 * that those of a process that was killed come back by themselves.
 */
import { createHash, randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import { type Connection, type ConnectionOptions, createConnection } from "./connection.ts";
import { type Ask, type Counters, type Held, type Outcome, SAME_WINDOW_MS, WINDOW_MS } from "./counters.ts";

export interface SharedCounters extends Counters {
  /** While it is, `take` rejects at once. */
  readonly lost: boolean;
}

export interface RedisCountersOptions extends ConnectionOptions {
  readonly leaseMs?: number;
}

const LEASE_MS = 30_000;
const RENEWALS_PER_LEASE = 3;
/** Places whose release could not be told are told later; more than so many run out by themselves. */
const MAX_UNTOLD = 10_000;

const CLOCK = `
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
`;

/**
 * KEYS: windows, then places. ARGV: how many windows, a window's length, limit and amount of each, how many places, a
 * lease's length and name, limit of each. Answers 1 when all was taken, else 0; then of each window what is taken of it, when
 * it ends by the server's clock, in how many milliseconds, and whether it refused; of each place whether it was full.
 */
const TAKE = script(`${CLOCK}
local windows, length = tonumber(ARGV[1]), tonumber(ARGV[2])
local states, passes, at = {}, 1, 2
for i = 1, windows do
  local limit, amount = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  at = at + 2
  local used, left = tonumber(redis.call("GET", KEYS[i]) or 0), redis.call("PTTL", KEYS[i])
  local refused = 0
  if used + amount > limit then refused, passes = 1, 0 end
  states[i] = {used, left, refused, amount}
end
local places, lease, name = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3]
local full = {}
for i = 1, places do
  local key = KEYS[windows + i]
  redis.call("ZREMRANGEBYSCORE", key, "-inf", now)
  full[i] = 0
  if redis.call("ZCARD", key) >= tonumber(ARGV[at + 3 + i]) then full[i], passes = 1, 0 end
end
local reply = {passes}
for i = 1, windows do
  local used, left, refused, amount = unpack(states[i])
  if passes == 1 then
    used = redis.call("INCRBY", KEYS[i], amount)
    if left < 0 then redis.call("PEXPIRE", KEYS[i], length) end
  end
  if left < 0 then left = length end
  reply[#reply + 1] = used
  reply[#reply + 1] = now + left
  reply[#reply + 1] = left
  reply[#reply + 1] = refused
end
for i = 1, places do
  if passes == 1 then
    redis.call("ZADD", KEYS[windows + i], now + lease, name)
    redis.call("PEXPIRE", KEYS[windows + i], lease)
  end
  reply[#reply + 1] = full[i]
end
return reply
`);

/** KEYS: windows. ARGV: how far ends may differ; of each when it ended as far as we know, and by how much it changes. */
const CORRECT = script(`${CLOCK}
for i = 1, #KEYS do
  local left = redis.call("PTTL", KEYS[i])
  if left > 0 and math.abs(now + left - ARGV[2 * i]) < tonumber(ARGV[1]) then
    redis.call("INCRBY", KEYS[i], ARGV[2 * i + 1])
  end
end
`);

/** KEYS: one place's set. ARGV: a lease's length, then leases: prolonged, or written again when the server has lost them. */
const RENEW = script(`${CLOCK}
for i = 2, #ARGV do redis.call("ZADD", KEYS[1], now + ARGV[1], ARGV[i]) end
redis.call("PEXPIRE", KEYS[1], ARGV[1])
`);

/** KEYS: places' sets. ARGV: a lease. */
const RELEASE = script(`for i = 1, #KEYS do redis.call("ZREM", KEYS[i], ARGV[1]) end`);

interface Script {
  readonly lua: string;
  readonly sha1: string;
}

type Command = (client: Redis) => Promise<unknown>;

export function createRedisCounters(options: RedisCountersOptions): SharedCounters {
  const { leaseMs = LEASE_MS, onBack } = options;
  const instance = randomUUID();
  const leases = new Map<string, Set<string>>();
  let count = 0;
  let untold: Command[] = [];
  const connection: Connection = createConnection({
    ...options,
    // Loaded before the first command, so that none comes later than one that was sent after it.
    prepare(client) {
      for (const { lua } of [TAKE, CORRECT, RENEW, RELEASE]) client.script("LOAD", lua).catch(() => {});
    },
    onBack() {
      renewAll();
      for (const command of untold.splice(0)) connection.run(command).catch(() => {});
      onBack();
    },
  });
  const renewal = setInterval(renewAll, leaseMs / RENEWALS_PER_LEASE).unref();

  function renewAll(): void {
    for (const [name, held] of leases) {
      connection.run((client) => evaluate(client, RENEW, [name], [leaseMs, ...held])).catch(() => {});
    }
  }

  /** Nobody waits for it. What the server may have done although it did not answer is told again only if that changes nothing. */
  function tell(command: Command, repeatable: boolean): void {
    const later = () => {
      if (untold.length < MAX_UNTOLD) untold.push(command);
    };
    if (connection.lost) later();
    else connection.run(command).catch(() => repeatable && later());
  }

  function read(answer: unknown, ask: Ask, lease: string): Outcome {
    const numbers = Array.isArray(answer) ? answer.map(Number) : [];
    const [passes, ...states] = numbers;
    const windows = ask.windows.map((_, index) => {
      const [used = 0, endsAt = 0, endsInMs = 0, refused] = states.slice(4 * index);
      return { used, endsAt, endsInMs, refused: refused === 1 };
    });
    const full = states.slice(4 * windows.length).map((flag) => flag === 1);
    const ends = windows.map(({ endsAt }) => endsAt);
    return { windows, full, held: passes === 1 ? hold(ask, ends, lease) : undefined };
  }

  function hold({ windows, places }: Ask, ends: readonly number[], lease: string): Held {
    for (const { name } of places) {
      const held = leases.get(name) ?? new Set();
      leases.set(name, held.add(lease));
    }
    let released = false;
    return {
      correct(by) {
        const names = windows.map(({ name }) => name);
        const changes = ends.flatMap((end, index) => [end, by[index] ?? 0]);
        tell((client) => evaluate(client, CORRECT, names, [SAME_WINDOW_MS, ...changes]), false);
      },
      release() {
        if (released) return;
        released = true;
        const names = places.map(({ name }) => name);
        for (const name of names) forget(name, lease);
        if (names.length > 0) tell((client) => evaluate(client, RELEASE, names, [lease]), true);
      },
    };
  }

  function forget(name: string, lease: string): void {
    const held = leases.get(name);
    held?.delete(lease);
    if (held?.size === 0) leases.delete(name);
  }

  return {
    get lost() {
      return connection.lost;
    },
    async take(ask) {
      const { windows, places } = ask;
      const lease = `${instance}:${++count}`;
      const names = [...windows, ...places].map(({ name }) => name);
      const sizes = windows.flatMap(({ limit, amount }) => [limit, amount]);
      const limits = places.map(({ limit }) => limit);
      const args = [windows.length, WINDOW_MS, ...sizes, places.length, leaseMs, lease, ...limits];
      // What is taken after nobody waits for it any more is given back.
      const undo = (answer: unknown) => {
        const { held } = read(answer, ask, lease);
        held?.release();
        held?.correct(windows.map(({ amount }) => -amount));
      };
      const answer = await connection.run((client) => evaluate(client, TAKE, names, args), undo);
      return read(answer, ask, lease);
    },
    async close() {
      clearInterval(renewal);
      for (const [name, held] of leases) tell((client) => client.zrem(name, ...held), true);
      leases.clear();
      untold = [];
      await connection.close();
    },
  };
}

async function evaluate(
  client: Redis,
  { lua, sha1 }: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
) {
  try {
    return await client.evalsha(sha1, keys.length, ...keys, ...args);
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
    return client.eval(lua, keys.length, ...keys, ...args);
  }
}

function script(lua: string): Script {
  return { lua, sha1: createHash("sha1").update(lua).digest("hex") };
}
