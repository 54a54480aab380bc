/**
 * `npm run soak`: the gateway as it is deployed under a mixed load for a long time, to see that nothing of it grows and that
 * the ledger is exact afterwards.
 *
 *     npm run soak -- [--minutes 30] [--clients 16] [--json]
 *
 * Every ten seconds a sample of the service's and Envoy's memory and open files; it fails where the last third is above
 * the first by more than the margins of samples.ts. At the end each call that reached the simulated Bedrock has a row, no row
 * is open, and what keys have spent is what the rows cost.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createKeys, type NewKeySettings } from "../../src/access/keys.ts";
import { formatUsd } from "../../src/money.ts";
import { startSimulator } from "../../src/simulator/simulator.ts";
import type { Key } from "../../src/store/store.ts";
import { type SplitGateway, startSplitGateway } from "../e2e/split-gateway.ts";
import { createLoad, type Load, MODELS } from "./load.ts";
import { type Growth, growths, measureProcesses, type Sample } from "./samples.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    clients: { type: "string", default: "16" },
    json: { type: "boolean", default: false },
  },
});

const SAMPLE_MS = 10_000;
const QUIET_MS = 30_000;
const MICRO = 10n ** 6n;
const USD = 10n ** 12n;

const seconds = positive("minutes", values.minutes) * 60;
const clients = Math.ceil(positive("clients", values.clients));
const warmUpSeconds = Math.min(120, seconds / 5);

let calls = 0;
await using parts = new AsyncDisposableStack();
const dir = await mkdtemp(join(tmpdir(), "gateway-soak-"));
parts.defer(() => rm(dir, { recursive: true, force: true }));
const operatorFile = join(dir, "gateway.yaml");
await writeFile(operatorFile, `prices:\n  - { match: "${MODELS}", input: 3, output: 15 }\n`);
const simulator = await startSimulator({
  recordLimit: 50,
  log: (line) => {
    if (/ Converse(Stream)? /.test(line)) calls += 1;
  },
});
parts.defer(() => simulator.close());
const gateway = parts.use(
  await startSplitGateway({
    simulator,
    env: {
      GATEWAY_CONFIG: operatorFile,
      NODE_OPTIONS: `--import ${fileURLToPath(new URL("./heap.ts", import.meta.url))}`,
    },
  }),
);

const keys = await makeKeys(gateway);
const load = createLoad({ url: gateway.url, simulator, keys: keys.map(({ secret }) => secret), random: Math.random });
const started = performance.now();
const elapsed = () => (performance.now() - started) / 1000;
const running = Promise.all(Array.from({ length: clients }, () => load.client(() => elapsed() > seconds)));
const samples = await sampleUntil(running);
const problems = [
  ...growths(samples, warmUpSeconds)
    .filter(({ last, limit }) => last > limit)
    .map(sayGrowth),
  ...(await ledgerProblems(
    gateway,
    keys.map(({ key }) => key),
  )),
  ...load.failures.slice(0, 20),
];
print(samples, load, problems);
if (problems.length > 0) process.exitCode = 1;

/** Of every sort that a key can be: without limits, and with each of them. */
async function makeKeys({ store }: SplitGateway) {
  const settings: NewKeySettings[] = Array.from({ length: 24 }, (_, n) => {
    const name = `soak-${n}`;
    if (n % 6 === 1) return { name, rpm: 120 };
    if (n % 6 === 2) return { name, tpm: 100_000 };
    if (n % 6 === 3) return { name, parallel: 1 };
    if (n % 6 === 4) return { name, budget: BigInt(n) * (USD / 10n), budgetPeriod: "total" };
    return { name, team: `team-${n % 3}`, softBudget: 1_000n * MICRO };
  });
  return createKeys(store, { now: Date.now, randomBytes, by: "soak" }).createMany(settings);
}

async function sampleUntil(done: Promise<unknown>): Promise<Sample[]> {
  if (!values.json) process.stdout.write("seconds, requests; service: heap, resident, files; Envoy: resident, files\n");
  const taken: Sample[] = [];
  let over = false;
  const ended = done.finally(() => {
    over = true;
  });
  while (!over) {
    await Promise.race([ended, sleep(SAMPLE_MS, undefined, { ref: false })]);
    const sample = await takeSample(taken.length + 1);
    taken.push(sample);
    if (!values.json) process.stdout.write(`${row(Object.values(sample))}\n`);
  }
  return taken;
}

async function takeSample(count: number): Promise<Sample> {
  const { service, envoy } = gateway;
  process.kill(service.pid, "SIGUSR2");
  const [, heap] = await service.prints(new RegExp(`heap ${count}: (\\d+)`), 10_000);
  return {
    seconds: elapsed(),
    requests: load.requests,
    serviceHeap: Number(heap) / 2 ** 20,
    ...measureProcesses(service.pid, envoy.process.pid),
  };
}

async function ledgerProblems({ store, databaseUrl }: SplitGateway, issued: readonly Key[]): Promise<string[]> {
  const deadline = performance.now() + QUIET_MS;
  let rows = countRows(databaseUrl);
  for (; rows.open > 0 && performance.now() < deadline; rows = countRows(databaseUrl)) await sleep(100);
  const problems: string[] = [];
  if (rows.open > 0) problems.push(`${rows.open} rows are open`);
  // A client may leave before its request has gone out: its row is there already.
  if (rows.all < calls || rows.all - rows.unanswered > calls) {
    problems.push(`${rows.all} rows, ${rows.unanswered} of them for clients that left early, and ${calls} calls`);
  }
  const { cost } = await store.reports.total({});
  const budgets = issued.map(({ id }) => ({
    subject: `key:${id}` as const,
    period: "total" as const,
    limit: undefined,
  }));
  const states = await store.calls.budgets(budgets, Date.now());
  const spent = states.reduce((sum, state) => sum + state.spent, 0n);
  const reserved = states.reduce((sum, state) => sum + state.reserved, 0n);
  if (spent !== cost || spent !== rows.cost) {
    problems.push(`keys spent ${spent}, the totals say ${cost} and the rows ${rows.cost} pico-dollars`);
  }
  if (reserved !== 0n) problems.push(`${reserved} pico-dollars are still reserved`);
  if (!values.json) {
    process.stdout.write(`\n${rows.all} rows, ${calls} calls at the simulator, ${formatUsd(spent)} USD spent\n`);
  }
  return problems;
}

function countRows(databaseUrl: string): { all: number; open: number; unanswered: number; cost: bigint } {
  const database = new DatabaseSync(databaseUrl.slice("sqlite:".length), { readOnly: true });
  try {
    const counts = database.prepare(
      `SELECT count(*) AS everything, count(*) FILTER (WHERE status IS NULL) AS open,
         count(*) FILTER (WHERE status = 'interrupted' AND bedrock_request_id IS NULL) AS unanswered,
         coalesce(sum(cost), 0) AS cost
       FROM calls`,
    );
    counts.setReadBigInts(true);
    const { everything, open, unanswered, cost } = counts.get() ?? {};
    return { all: Number(everything), open: Number(open), unanswered: Number(unanswered), cost: BigInt(String(cost)) };
  } finally {
    database.close();
  }
}

function print(taken: readonly Sample[], { outcomes, requests }: Load, found: readonly string[]): void {
  const grown = growths(taken, warmUpSeconds);
  if (values.json) {
    const all = { seconds, clients, requests, calls, outcomes: Object.fromEntries(outcomes), samples: taken, grown };
    process.stdout.write(`${JSON.stringify({ ...all, problems: found }, null, 2)}\n`);
    return;
  }
  const ended = [...outcomes].sort().map(([name, count]) => `  ${name}: ${count}\n`);
  process.stdout.write(`${requests} requests:\n${ended.join("")}\nFirst and last third:\n`);
  for (const growth of grown) process.stdout.write(`  ${sayGrowth(growth)}\n`);
  process.stdout.write(found.length === 0 ? "\nholds\n" : `\nFAILS\n${found.map((text) => `  ${text}\n`).join("")}`);
}

function sayGrowth({ what, first, last, limit }: Growth): string {
  return `${what}: ${first.toFixed(1)}, then ${last.toFixed(1)} of at most ${limit.toFixed(1)}`;
}

function row(cells: readonly number[]): string {
  return cells.map((cell) => (Number.isInteger(cell) ? String(cell) : cell.toFixed(1)).padStart(10)).join("");
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} must be a positive number, not ${text}`);
  return value;
}
