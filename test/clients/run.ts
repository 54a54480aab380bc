/**
 * `npm run test:clients`: real clients, as processes, against the whole gateway in front of a simulated Bedrock.
 *
 *     npm run test:clients -- [part of a client's name …] [--requests]
 *
 * Each is installed once (install.ts), connected as README.md says, and plays what plays.ts has. It prints a table, and with
 * --requests what each client sent. Exits with 1 when a play failed or none could be played; REQUIRE_CLIENTS=1 makes a client
 * that can't be installed a failure too.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempDisposable } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { isJsonObject } from "../../src/json.ts";
import type { CallStatus } from "../../src/store/store.ts";
import { startTestGateway, type TestGateway, until } from "../e2e/harness.ts";
import { makeCertificate } from "../envoy/certificate.ts";
import { clientSnippet } from "../readme-snippets.ts";
import { type ClientProcess, createHome } from "./client-process.ts";
import { CLIENTS, type Client } from "./clients.ts";
import { type Installed, install } from "./install.ts";
import { type Play, playsFor, type Seen } from "./plays.ts";
import { type Exchange, isEventStream, type RecordingProxy, startRecordingProxy } from "./recording-proxy.ts";

interface Row {
  readonly client: string;
  readonly version: string;
  readonly tried: string;
  readonly result: string;
  readonly seconds: string;
}

const { values, positionals } = parseArgs({
  options: { requests: { type: "boolean", default: false } },
  allowPositionals: true,
});

const PLAY_TIMEOUT_MS = 90_000;
const ALL_TIMEOUT_MS = 30 * 60_000;
const MAX_CALLS = 20;
const wanted = CLIENTS.filter(
  ({ name }) => positionals.length === 0 || positionals.some((part) => name.toLowerCase().includes(part.toLowerCase())),
);
const rows: Row[] = [];
const details: string[] = [];
let played = 0;
let failed = false;

setTimeout(() => {
  process.stderr.write(`not done within ${ALL_TIMEOUT_MS / 60_000} minutes\n`);
  process.exit(1);
}, ALL_TIMEOUT_MS).unref();

{
  await using gateway = await startTestGateway();
  await using plain = await startRecordingProxy(gateway.url);
  await using folder = await mkdtempDisposable(join(tmpdir(), "gateway-clients-"));
  const certificate = await makeCertificate(folder.path, "gateway", "IP:127.0.0.1");
  await using encrypted = await startRecordingProxy(gateway.url, certificate);
  for (const client of wanted) {
    const installed = await install(client.package, process.env);
    if ("missing" in installed) {
      if (process.env.REQUIRE_CLIENTS) failed = true;
      addRow(client, installed.version, "installation", `NOT TRIED: ${installed.missing}`, 0);
      continue;
    }
    for (const play of playsFor(client, `x${randomBytes(4).toString("hex")}`)) {
      played += 1;
      await tryOut(client, installed, play, { gateway, proxy: client.tls ? encrypted : plain });
    }
  }
}
print();
if (failed || played === 0) process.exitCode = 1;

async function tryOut(
  client: Client,
  installed: Installed,
  play: Play,
  at: { gateway: TestGateway; proxy: RecordingProxy },
): Promise<void> {
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  at.proxy.reset();
  const linesBefore = at.gateway.serviceLog().length;
  let running: ClientProcess | undefined;
  try {
    await perform(client, installed, play, { ...at, started: (process) => (running = process) });
    addRow(client, installed.version, play.what, "ok", seconds());
  } catch (error) {
    failed = true;
    const reason = error instanceof Error ? error.message : String(error);
    addRow(client, installed.version, play.what, `FAILED: ${reason.split("\n")[0]}`, seconds());
    const sent = at.proxy.exchanges.map(({ method, path, status, answer }) =>
      [`${method} ${path}: ${status}`, ...(status >= 400 ? [answer.slice(0, 500)] : [])].join("\n"),
    );
    const logged = at.gateway.serviceLog().slice(linesBefore);
    const problems = logged.filter(({ level }) => level !== "info").map((line) => JSON.stringify(line));
    const output = (running?.output() ?? "").slice(-3_000);
    details.push([`${client.name}, ${play.what}: ${reason}`, ...sent, ...problems, output].join("\n"));
  }
  if (values.requests) details.push(describeRequests(client, play, at.proxy));
}

async function perform(
  client: Client,
  installed: Installed,
  play: Play,
  {
    gateway,
    proxy,
    started,
  }: { gateway: TestGateway; proxy: RecordingProxy; started: (running: ClientProcess) => void },
): Promise<void> {
  const { simulator } = gateway;
  const before = simulator.requests.at(-1)?.order ?? 0;
  const known = new Set((await gateway.usage()).map(({ id }) => id));
  simulator.reset();
  simulator.scriptModel(
    client.model,
    Array.from({ length: MAX_CALLS }, () => play.answer),
  );
  const { command = [], env = {}, files = {} } = client;
  const snippet = clientSnippet(client.name);
  const setup = { snippet, command, env, files };
  await using home = await createHome(setup, installed, { ...proxy, key: gateway.key });
  const running = home.start(client.args(play.prompt, play.task));
  started(running);
  if (play.interrupted) await interrupt(running, proxy);
  const exit = await running.end(PLAY_TIMEOUT_MS);

  // The end of a client reaches Bedrock a little later.
  await until("the end of all requests", () => (simulator.requests.every(({ done }) => done) ? true : undefined));
  const requests = simulator.requests.filter(
    ({ order, operation }) => order > before && !/^(Get|List)/.test(operation),
  );
  const seen: Seen = { exit, output: running.output(), work: home.work, exchanges: proxy.exchanges, requests };
  await play.check(seen);
  assert.ok(
    requests.every(({ leaks }) => leaks.length === 0),
    "the client's key has reached Bedrock",
  );
  await checkLedger(gateway, known, play.interrupted ? "interrupted" : "ok");
}

/** By the bytes that have passed: not every client shows them at once. The answer takes half a minute. */
async function interrupt(running: ClientProcess, proxy: RecordingProxy): Promise<void> {
  const begun = ({ contentType, answer }: Exchange) => isEventStream(contentType) && answer !== "";
  const answer = () => {
    if (running.ended) throw new Error("it ended before an answer began");
    return proxy.exchanges.find(begun);
  };
  await until("the beginning of an answer", answer, 60_000);
  await sleep(1_000);
  running.interrupt();
}

/** Every call that the client made has a row, closed with what became of it. */
async function checkLedger(gateway: TestGateway, known: ReadonlySet<string>, status: CallStatus): Promise<void> {
  const closed = await until("closed rows", async () => {
    const calls = (await gateway.usage()).filter(({ id }) => !known.has(id));
    return calls.every(({ closing }) => closing !== undefined) ? calls : undefined;
  });
  assert.ok(closed.length > 0, "no row in the ledger");
  const statuses = new Set(closed.map(({ closing }) => closing?.status));
  assert.ok(statuses.delete(status), `no row of the ledger is ${status}`);
  // What came before the interruption was answered.
  statuses.delete("ok");
  assert.deepEqual([...statuses], [], "other rows of the ledger");
}

/** What the client needs of a gateway: its paths, its way to show the key, its fields. */
function describeRequests(client: Client, play: Play, { exchanges, refused }: RecordingProxy): string {
  const lines = exchanges.map((exchange) => {
    const key = ["authorization", "x-api-key", "api-key"].filter((name) => name in exchange.headers).join("+");
    return `  ${exchange.method} ${exchange.path} ${exchange.status} [${key}] ${fieldsOf(exchange)}`;
  });
  const elsewhere = refused.size === 0 ? [] : [`  refused: ${[...refused].join(", ")}`];
  return [`${client.name}, ${play.what}:`, ...lines, ...elsewhere].join("\n");
}

function fieldsOf({ body }: Exchange): string {
  try {
    const fields: unknown = JSON.parse(body);
    return isJsonObject(fields) ? Object.keys(fields).join(" ") : "";
  } catch {
    return body === "" ? "" : `${body.length} characters`;
  }
}

function addRow({ name }: Client, version: string, tried: string, result: string, seconds: number): void {
  rows.push({ client: name, version, tried, result, seconds: seconds.toFixed(1) });
  process.stderr.write(`${name}, ${tried}: ${result}\n`);
}

function print(): void {
  const header: Row = { client: "client", version: "version", tried: "tried", result: "result", seconds: "s" };
  const widths = (["client", "version", "tried", "seconds"] as const).map((column) =>
    Math.max(...[header, ...rows].map((row) => row[column].length)),
  );
  for (const { client, version, tried, result, seconds } of [header, ...rows]) {
    const cells = [client, version, tried, seconds].map((text, index) => text.padEnd(widths[index] ?? 0));
    process.stdout.write(`${[...cells, result].join("  ")}\n`);
  }
  for (const text of details) process.stdout.write(`\n${text}\n`);
}
