/**
 * `npm run bench`: what the gateway costs, beside a bare Envoy that does the same work on the same machine in the same run.
 *
 *     npm run bench -- [--json] [--only chat,stream,burst] [--rounds 10] [--seconds 1.5] [--profile DIR]
 *
 * Rounds are interleaved (direct, envoy, echo, gateway, direct, …) and the table shows medians, because the speed of a
 * shared machine drifts. Times depend on how busy it is; the processor time of each process per request, and its ratio to
 * the bare Envoy's, much less. So aims are set for these. What the ledger and the limits add is measured apart, at a rate
 * that is the same with and without them.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { availableParallelism, cpus } from "node:os";
import { parseArgs } from "node:util";
import { findEnvoy } from "../../src/envoy/install.ts";
import type { LoadOrder, LoadResult } from "./load.ts";
import { cpuSeconds, peakResidentBytes } from "./process-usage.ts";
import { startChild, startTargets, type Target, type TargetName } from "./targets.ts";
import { type Work, works } from "./work.ts";

const MAX_COUNTING_RATIO = 1.1;
const MAX_SERVICE_MB = 200;
/** Of the requests a second that the gateway can answer, for what is measured below full load. */
const PART_OF_MOST = 0.7;
/** A service compiles its code for as long, on threads of its own: 100 µs a request at first. */
const WARM_UP_SECONDS = 8;

interface Round extends LoadResult {
  /** Microseconds of processor time per request, by process. */
  readonly envoy: number;
  readonly service: number;
  readonly simulator: number;
  readonly load: number;
}

type Measure = keyof Round;

interface Row extends Record<Measure, number> {
  readonly work: string;
  readonly target: TargetName;
  /** Envoy and service together. */
  readonly cpu: number;
  /** `cpu` in that of a bare Envoy: the median of the rounds' ratios. */
  readonly ratio: number;
  readonly serviceMB: number;
}

interface Measured {
  readonly rows: readonly Row[];
  /** Processor time of the gateway in that without ledger and limits, at the same rate of requests. */
  readonly counting: number;
}

interface Aim {
  readonly what: string;
  readonly measured: number;
  readonly limit: number;
}

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    only: { type: "string", default: works.map(({ name }) => name).join(",") },
    rounds: { type: "string", default: "10" },
    seconds: { type: "string", default: "1.5" },
    profile: { type: "string" },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort(new Error("interrupted")));

const rows: Row[] = [];
const aims: Aim[] = [];
const note = (text: string) => void process.stderr.write(`${text}\n`);
const envoy = await findEnvoy({ env: process.env, log: note });
for (const work of works.filter(({ name }) => values.only.split(",").includes(name))) {
  note(`${work.name}: ${rounds} rounds of ${seconds} s for each configuration ...`);
  const measured = await measure(work);
  rows.push(...measured.rows);
  aims.push(...aimsOf(work, measured));
}
print();

async function measure(work: Work): Promise<Measured> {
  await using targets = await startTargets({ work, envoy, profileDir: values.profile });
  await using parts = new AsyncDisposableStack();
  const load = startChild("load.ts", parts);
  const pids = { simulator: targets.simulator, load: load.pid ?? 0 };

  async function interleaved(compared: readonly Target[], rate?: number): Promise<Map<TargetName, Round[]>> {
    const results = new Map<TargetName, Round[]>(compared.map(({ name }) => [name, []]));
    const order = { ...work, seconds, rate };
    for (let count = 0; count < rounds; count += 1)
      for (const target of compared) results.get(target.name)?.push(await round(target, order, pids, load));
    return results;
  }

  for (const target of targets.all) await round(target, { ...work, seconds: WARM_UP_SECONDS }, pids, load);
  const results = await interleaved(targets.all);
  // What counting adds to a request is measured at one rate of requests: of two services under full load the faster one has
  // more to do in each turn of its loop, and each request costs it less for that alone.
  const most = median(results.get("gateway")?.map((round) => round.requests / round.seconds) ?? []);
  const compared = targets.all.filter(({ name }) => name === "uncounted" || name === "gateway");
  const counting = await interleaved(compared, PART_OF_MOST * most);
  const summaries = targets.all.map((target) => summary(work, target, results));
  return { rows: summaries, counting: ratioOf("gateway", "uncounted", counting) };
}

async function round(
  target: Target,
  { connections, seconds, rate }: Pick<LoadOrder, "connections" | "seconds" | "rate">,
  { simulator, load }: { simulator: number; load: number },
  generator: ChildProcess,
): Promise<Round> {
  interrupted.signal.throwIfAborted();
  const pids = { envoy: target.envoy, service: target.service, simulator, load };
  const used = () => Object.values(pids).map((pid) => (pid === undefined ? 0 : cpuSeconds(pid)));
  const before = used();
  const answered = once(generator, "message", { signal: interrupted.signal });
  const order: LoadOrder = { port: target.port, request: onTheWire(target), connections, seconds, rate };
  generator.send(order);
  const [result]: LoadResult[] = await answered;
  if (result === undefined || result.requests === 0) throw new Error(`${target.name} answered nothing`);
  const after = used();
  const perRequest = after.map((end, index) => ((end - (before[index] ?? 0)) * 1e6) / result.requests);
  const [envoy = 0, service = 0, simulated = 0, generated = 0] = perRequest;
  return { ...result, envoy, service, simulator: simulated, load: generated };
}

function onTheWire({ request, headers }: Target): string {
  const all = {
    ...headers,
    "content-type": "application/json",
    "user-agent": "bench",
    "content-length": String(Buffer.byteLength(request.body)),
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST ${request.path} HTTP/1.1\r\n${lines.join("")}\r\n${request.body}`;
}

function summary({ name }: Work, target: Target, results: ReadonlyMap<TargetName, readonly Round[]>): Row {
  const own = results.get(target.name) ?? [];
  const of = (measure: Measure) => median(own.map((round) => round[measure]));
  return {
    work: name,
    target: target.name,
    requests: own.reduce((sum, round) => sum + round.requests, 0),
    failures: own.reduce((sum, round) => sum + round.failures, 0),
    seconds: own.reduce((sum, round) => sum + round.seconds, 0),
    p50: of("p50"),
    p99: of("p99"),
    firstByteP50: of("firstByteP50"),
    firstByteP99: of("firstByteP99"),
    envoy: of("envoy"),
    service: of("service"),
    simulator: of("simulator"),
    load: of("load"),
    cpu: median(own.map(cpuOf)),
    ratio: ratioOf(target.name, "envoy", results),
    serviceMB: target.service === undefined ? 0 : peakResidentBytes(target.service) / 1e6,
  };
}

/** Envoy and service together. */
function cpuOf({ envoy, service }: Round): number {
  return envoy + service;
}

/** The median of the rounds' ratios. */
function ratioOf(one: TargetName, other: TargetName, results: ReadonlyMap<TargetName, readonly Round[]>): number {
  const others = results.get(other) ?? [];
  const pairs = (results.get(one) ?? []).map((round, index) => [round, others[index]] as const);
  return median(pairs.map(([round, beside]) => (beside === undefined ? Number.NaN : cpuOf(round) / cpuOf(beside))));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

function aimsOf({ name, maxRatio }: Work, { rows, counting }: Measured): Aim[] {
  const gateway = rows.find(({ target }) => target === "gateway");
  if (gateway === undefined) return [];
  const ratio = { what: `${name}: processor time, in that of a bare Envoy`, measured: gateway.ratio };
  return [
    ...(maxRatio === undefined ? [] : [{ ...ratio, limit: maxRatio }]),
    {
      what: `${name}: processor time, in that without ledger and limits at the same rate`,
      measured: counting,
      limit: MAX_COUNTING_RATIO,
    },
    { what: `${name}: the service's memory in MB`, measured: gateway.serviceMB, limit: MAX_SERVICE_MB },
    { what: `${name}: failed requests`, measured: rows.reduce((sum, row) => sum + row.failures, 0), limit: 0 },
  ];
}

function print(): void {
  const judged = aims.map((aim) => ({ ...aim, holds: aim.measured <= aim.limit }));
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ rounds, seconds, works, rows, aims: judged }, null, 2)}\n`);
    return;
  }
  const head = "work target req/s p50 p99 first(p50) first(p99) Envoy service together ratio simulator load memory";
  const lines = rows.map((row) => [
    row.work,
    row.target,
    (row.requests / row.seconds).toFixed(0),
    ...[row.p50, row.p99, row.firstByteP50, row.firstByteP99].map((value) => value.toFixed(2)),
    ...[row.envoy, row.service, row.cpu].map((value) => (value === 0 ? "-" : value.toFixed(0))),
    row.cpu === 0 ? "-" : row.ratio.toFixed(2),
    row.simulator.toFixed(0),
    row.load.toFixed(0),
    row.serviceMB === 0 ? "-" : row.serviceMB.toFixed(0),
  ]);
  const table = columns([head.split(" "), ...lines]);
  const model = cpus()[0]?.model ?? "unknown processor";
  const said = judged.map(
    ({ what, measured, limit, holds }) => `${holds ? "holds" : "FAILS"}  ${what}: ${measured.toFixed(2)} of ${limit}`,
  );
  const about = works
    .filter(({ name }) => rows.some(({ work }) => work === name))
    .map((work) => `${work.name}: ${work.about}, ${work.connections} under way`);
  process.stdout.write(
    `${availableParallelism()} cores, ${model}; Envoy with one worker. ${about.join("; ")}.\n` +
      "Times in ms; processor time in µs per request or stream, by process; memory: the service's peak in MB.\n\n" +
      `${table}\n\n${said.join("\n")}\n`,
  );
}

function columns(cells: readonly (readonly string[])[]): string {
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)));
  return cells.map((row) => line(row).join("  ").trimEnd()).join("\n");
}
