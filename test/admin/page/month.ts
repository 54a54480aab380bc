/**
 * A month of a gateway's life: four teams, a dozen keys, six models of which one has no price,
 * weekdays and nights, errors, estimates, budgets that are nearly spent and calls that still run.
 */
import type { Key } from "../../../src/access/keys.ts";
import type { CallClosing, CallOpening } from "../../../src/store/store.ts";
import type { AdminPort } from "./admin-port.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const USD = 10n ** 12n;

/** Pico-dollars a token; how often it is asked. */
const MODELS = [
  { id: "anthropic.claude-sonnet-5-v1:0", input: 3_000_000n, output: 15_000_000n, weight: 40, firstToken: 700 },
  {
    id: "anthropic.claude-haiku-4-5-20251001-v1:0",
    input: 1_000_000n,
    output: 5_000_000n,
    weight: 25,
    firstToken: 350,
  },
  { id: "amazon.nova-pro-v1:0", input: 800_000n, output: 3_200_000n, weight: 15, firstToken: 420 },
  { id: "meta.llama4-maverick-17b-instruct-v1:0", input: 240_000n, output: 970_000n, weight: 10, firstToken: 300 },
  { id: "anthropic.claude-opus-4-8-v1:0", input: 5_000_000n, output: 25_000_000n, weight: 8, firstToken: 1600 },
  { id: "example.preview-model-v1:0", input: undefined, output: undefined, weight: 2, firstToken: 900 },
] as const;

const KEYS = [
  { name: "ci-review-bot", team: "platform", owner: "platform@example.com", tags: ["ci"], share: 22 },
  { name: "alice", team: "platform", owner: "alice@example.com", tags: [], share: 9 },
  { name: "bob", team: "platform", owner: "bob@example.com", tags: [], share: 6 },
  { name: "support-assistant", team: "support", owner: "support@example.com", tags: ["production"], share: 24 },
  { name: "ticket-triage", team: "support", owner: "support@example.com", tags: ["production"], share: 10 },
  { name: "search-rewrite", team: "search", owner: "search@example.com", tags: ["production"], share: 8 },
  { name: "embeddings-batch", team: "search", owner: "search@example.com", tags: ["batch"], share: 5 },
  { name: "carol", team: "research", owner: "carol@example.com", tags: [], share: 5 },
  { name: "dave-notebook", team: "research", owner: "dave@example.com", tags: [], share: 4 },
  { name: "evaluation-nightly", team: "research", owner: "research@example.com", tags: ["ci", "batch"], share: 4 },
  { name: "intern", team: undefined, owner: undefined, tags: [], share: 2 },
  { name: "old-prototype", team: undefined, owner: undefined, tags: [], share: 1 },
] as const;

export interface MonthOptions {
  /** Of closed calls; all of them end before `now`. */
  readonly calls?: number;
  readonly now?: number;
}

/** Resolves with the keys, in their order of creation. */
export async function fillMonth(
  port: AdminPort,
  { calls = 1500, now = Date.now() }: MonthOptions = {},
): Promise<Key[]> {
  // When calls are made depends on the hour of the test's run; what they are like must not.
  const [random, when] = [seeded(7), seeded(11)];
  const issued = await port.keys.createMany(
    KEYS.map(({ name, team, owner, tags }) => ({
      name,
      tags: [...tags],
      ...(team !== undefined && { team }),
      ...(owner !== undefined && { owner }),
    })),
  );
  const keys = issued.map(({ key }) => key);
  const starts = Array.from({ length: calls }, (_, index) =>
    momentOf(when, now, index % 10 === 0 ? 20 * HOUR : 30 * DAY),
  ).sort((a, b) => a - b);
  const openings = starts.map((startedAt, index) => openingOf(random, keys, startedAt, `req-${index}`));
  for (const opening of openings) await port.store.calls.open(opening);
  await Promise.all(openings.map((opening) => port.store.calls.close(opening.id, closingOf(random, opening))));
  await setLimits(port, keys);
  for (let index = 0; index < 4; index += 1) {
    const opening = openingOf(random, keys.slice(3, 5), now - 2_000 * (index + 1), `running-${index}`);
    const budgets = [{ subject: "team:support", period: "total", limit: undefined }] as const;
    await port.store.calls.open({ ...opening, reserved: USD / 20n, budgets });
  }
  return keys;
}

async function setLimits({ store, keys }: AdminPort, made: readonly Key[]): Promise<void> {
  const change = { at: Date.now(), by: "cli:alice" };
  const spent = async (subject: `team:${string}`) => {
    const [state] = await store.calls.budgets([{ subject, period: "total", limit: undefined }], Date.now());
    return state?.spent ?? 0n;
  };
  const budget = async (team: string, fullness: bigint) => {
    const whole = await spent(`team:${team}`);
    return ((whole * 100n) / fullness / USD + 1n) * USD;
  };
  const platform = await budget("platform", 62n);
  await store.teams.set(
    "platform",
    { budget: platform, softBudget: (platform * 8n) / 10n, budgetPeriod: "total", tpm: 2_000_000 },
    change,
  );
  const support = await budget("support", 87n);
  await store.teams.set(
    "support",
    { budget: support, softBudget: (support * 75n) / 100n, budgetPeriod: "total", rpm: 600 },
    change,
  );
  const research = await budget("research", 100n);
  await store.teams.set(
    "research",
    { budget: research - USD, budgetPeriod: "total", note: "Evaluation runs at night" },
    change,
  );
  const [bot, alice, , , , rewrite] = made;
  if (bot) await keys.update(bot.id, { budget: 200n * USD, softBudget: 150n * USD, rpm: 120, parallel: 8 });
  if (alice) await keys.update(alice.id, { budget: 50n * USD, budgetPeriod: "month", models: ["anthropic.*"] });
  if (rewrite) await keys.update(rewrite.id, { softBudget: 5n * USD, budgetPeriod: "day", tpm: 400_000 });
  const [intern, prototype] = made.slice(-2);
  if (intern) await keys.block(intern.id);
  if (prototype) await keys.revoke(prototype.id);
}

/** Before `now` and within `span`: more by day than by night, less at weekends. */
function momentOf(random: () => number, now: number, span: number): number {
  for (;;) {
    const at = now - 5 * 60_000 - Math.floor(random() * (span - 10 * 60_000));
    const date = new Date(at);
    const hour = date.getUTCHours();
    const busy = hour >= 7 && hour < 19 ? 1 : 0.25;
    const weekend = date.getUTCDay() % 6 === 0 ? 0.35 : 1;
    if (random() < busy * weekend) return at;
  }
}

function openingOf(random: () => number, keys: readonly Key[], startedAt: number, id: string): CallOpening {
  const weights = keys.length === KEYS.length ? KEYS.map(({ share }) => share) : keys.map(() => 1);
  const key = keys[pick(random, weights)];
  const model =
    MODELS[
      pick(
        random,
        MODELS.map(({ weight }) => weight),
      )
    ];
  if (key === undefined || model === undefined) throw new Error("nothing to pick from");
  return {
    id,
    keyId: key.id,
    team: key.team,
    instance: "gateway-1",
    dialect: "openai-chat",
    modelRequested: model.id,
    modelInvoked: model.id,
    region: "eu-central-1",
    stream: random() < 0.8,
    startedAt,
    inputEstimate: 1000,
    reserved: 0n,
    budgets: [],
  };
}

function closingOf(random: () => number, { modelInvoked, startedAt, stream }: CallOpening): CallClosing {
  const model = MODELS.find(({ id }) => id === modelInvoked) ?? MODELS[0];
  const luck = random();
  const status = luck < 0.025 ? "error" : luck < 0.035 ? "interrupted" : "ok";
  const failed = status === "error";
  const cached = random() < 0.45;
  const size = Math.floor(4_000 + random() ** 3 * 90_000);
  const usage = {
    inputTokens: failed ? 0 : cached ? Math.floor(size * 0.15) : size,
    outputTokens: failed ? 0 : Math.floor(80 + random() ** 2 * 2_500),
    cacheReadTokens: !failed && cached ? Math.floor(size * 0.8) : 0,
    cacheWriteTokens: !failed && cached ? Math.floor(size * 0.05) : 0,
  };
  const firstToken = Math.floor(model.firstToken * (0.6 + random() * 1.4));
  const cost =
    model.input === undefined || failed
      ? undefined
      : BigInt(usage.inputTokens + usage.cacheWriteTokens) * model.input +
        (BigInt(usage.cacheReadTokens) * model.input) / 10n +
        BigInt(usage.outputTokens) * model.output;
  return {
    status,
    httpStatus: failed ? (random() < 0.5 ? 429 : 503) : 200,
    ...(failed && { errorCode: random() < 0.5 ? "rate_limit_exceeded" : "server_error" }),
    usage,
    estimated: status === "interrupted",
    ...(cost !== undefined && { cost }),
    ...(failed && { cost: 0n }),
    finishedAt: startedAt + firstToken + usage.outputTokens * 12,
    ...(stream && !failed && { firstTokenAt: startedAt + firstToken }),
  };
}

function pick(random: () => number, weights: readonly number[]): number {
  const wanted = random() * weights.reduce((sum, weight) => sum + weight, 0);
  let passed = 0;
  for (const [index, weight] of weights.entries()) {
    passed += weight;
    if (wanted < passed) return index;
  }
  return weights.length - 1;
}

/** Mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
