/**
 * Everything that one work is measured on, each part in a process of its own: the simulated Bedrock, a bare Envoy, Envoy
 * with a service that changes nothing, the gateway as it really runs, and the gateway without its ledger and limits.
 */
import { type ChildProcess, execFile, type ForkOptions, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { renderEnvoyConfig } from "../../src/envoy/config.ts";
import { type EnvoyProcess, startEnvoy } from "../../src/envoy/process.ts";
import { ENVOY_TEMPLATE } from "../../src/standalone.ts";
import { bareEnvoyConfig, echoEnvoyConfig } from "./envoy-baselines.ts";
import { chatRequest, converseRequest, type HttpRequest, type Work } from "./work.ts";

export type TargetName = "direct" | "envoy" | "echo" | "uncounted" | "gateway";

export interface Target {
  readonly name: TargetName;
  readonly port: number;
  readonly request: HttpRequest;
  /** As on the wire. */
  readonly headers: Readonly<Record<string, string>>;
  /** Envoy's process, where there is one. */
  readonly envoy: number | undefined;
  /** The ext_proc service's process, where there is one. */
  readonly service: number | undefined;
}

export interface Targets extends AsyncDisposable {
  readonly simulator: number;
  readonly all: readonly Target[];
}

export interface TargetOptions {
  readonly work: Work;
  /** Path of the Envoy binary. */
  readonly envoy: string;
  /** Writes a profile of the gateway's service into this folder when it ends. */
  readonly profileDir: string | undefined;
}

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Never reached. */
const LIMITS = ["--rpm", "10000000", "--tpm", "1000000000", "--parallel", "1000", "--budget", "1000000"];
const READY_MS = 20_000;
const END_MS = 5_000;

export async function startTargets({ work, envoy, profileDir }: TargetOptions): Promise<Targets> {
  await using parts = new AsyncDisposableStack();
  const root = await mkdtemp(join(tmpdir(), "gateway-bench-"));
  parts.defer(() => rm(root, { recursive: true, force: true }));
  const devNull = await open("/dev/null", "w");
  parts.defer(() => devNull.close());

  const template = await readFile(ENVOY_TEMPLATE, "utf8");
  async function runEnvoy(dir: string, adapt: (rendered: string) => string): Promise<Running> {
    const config = adapt(renderEnvoyConfig(template, { host: "127.0.0.1", port: 0, socketDir: dir }));
    const log = (message: string) => void process.stderr.write(`${message}\n`);
    const options = { binary: envoy, config, runDir: dir, log, concurrency: 1, stderr: devNull.fd };
    const running = await startEnvoy(options);
    parts.defer(async () => void (await running.stop()));
    return { process: running, port: await running.ready() };
  }

  const simulator = await startSimulator(work, parts);
  const toBedrock = { request: converseRequest(work), headers: { host: `127.0.0.1:${simulator.port}` } };

  const bareDir = join(root, "bare");
  const bare = await runEnvoy(bareDir, bareEnvoyConfig);

  const echoDir = join(root, "echo");
  const echo = await runEnvoy(echoDir, echoEnvoyConfig);
  const echoService = await startEcho(join(echoDir, "extproc.sock"), parts);

  async function runGateway(name: "gateway" | "uncounted"): Promise<Target> {
    const dir = join(root, name);
    const proxy = await runEnvoy(dir, (rendered) => rendered);
    const service = await startService({ dir, simulatorPort: simulator.port, profileDir, name }, parts);
    return {
      name,
      port: proxy.port,
      request: chatRequest(work),
      headers: { host: `127.0.0.1:${proxy.port}`, authorization: `Bearer ${service.key}` },
      envoy: proxy.process.pid,
      service: service.pid,
    };
  }

  const none = { envoy: undefined, service: undefined };
  const all: Target[] = [
    { name: "direct", port: simulator.port, ...toBedrock, ...none },
    { name: "envoy", port: bare.port, ...toBedrock, ...none, envoy: bare.process.pid },
    { name: "echo", port: echo.port, ...toBedrock, envoy: echo.process.pid, service: echoService },
    await runGateway("uncounted"),
    await runGateway("gateway"),
  ];
  for (const target of all) await answers(target);
  const running = parts.move();
  return { simulator: simulator.pid, all, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

interface Running {
  readonly process: EnvoyProcess;
  readonly port: number;
}

async function startSimulator({ simulator }: Work, parts: AsyncDisposableStack) {
  const script = join(ROOT, "src/simulator/serve.ts");
  const child = spawn(process.execPath, [script, "--no-verify", ...simulator], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  parts.defer(() => end(child));
  for await (const line of createInterface({ input: child.stdout })) {
    const { url }: { url: string } = JSON.parse(line);
    return { pid: pidOf(child), port: Number(new URL(url).port) };
  }
  throw new Error("the simulator did not start");
}

async function startEcho(socket: string, parts: AsyncDisposableStack): Promise<number> {
  const child = startChild("echo-service.ts", parts, [socket]);
  await once(child, "message", { signal: AbortSignal.timeout(READY_MS) });
  return pidOf(child);
}

/** A script of this folder that ends with this process. */
export function startChild(script: string, parts: AsyncDisposableStack, args: readonly string[] = []): ChildProcess {
  const options: ForkOptions = { stdio: ["ignore", "ignore", "inherit", "ipc"] };
  const child = fork(join(import.meta.dirname, script), args, options);
  parts.defer(() => end(child));
  return child;
}

interface ServiceOptions {
  readonly dir: string;
  readonly simulatorPort: number;
  readonly profileDir: string | undefined;
  readonly name: "gateway" | "uncounted";
}

/** The service with all that it has on: authentication, every limit, a budget, the ledger in a file, its log; or without. */
async function startService(
  { dir, simulatorPort, profileDir, name }: ServiceOptions,
  parts: AsyncDisposableStack,
): Promise<{ pid: number; key: string }> {
  const simulator = `http://127.0.0.1:${simulatorPort}`;
  const env = {
    PATH: process.env.PATH,
    DATABASE_URL: `sqlite:${join(dir, "gateway.db")}`,
    EXTPROC_LISTEN: `unix:${join(dir, "extproc.sock")}`,
    EGRESS_URL: `unix:${join(dir, "egress.sock")}`,
    ADMIN_PORT: "0",
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: "AKIDBENCHMARK",
    AWS_SECRET_ACCESS_KEY: "a-secret-that-opens-nothing-at-all-anywhere",
    AWS_ENDPOINT_URL_BEDROCK_RUNTIME: simulator,
    AWS_ENDPOINT_URL_BEDROCK: simulator,
  };
  const main = join(ROOT, "src/main.js");
  const counted = name === "gateway";
  const create = [main, "keys", "create", "--name", "bench", "--json", ...(counted ? LIMITS : [])];
  const { stdout } = await promisify(execFile)(process.execPath, create, { env });
  const { key }: { key: string } = JSON.parse(stdout);

  const profile = profileDir === undefined ? [] : ["--cpu-prof", "--cpu-prof-dir", profileDir];
  const preload = counted ? [] : ["--import", join(import.meta.dirname, "uncounted.ts")];
  const child = spawn(process.execPath, [...(await nodeFlags()), ...preload, ...profile, main, "serve"], {
    env,
    stdio: "ignore",
  });
  parts.defer(() => end(child));
  return { pid: pidOf(child), key };
}

/** Those that `npm start` gives Node.js. */
async function nodeFlags(): Promise<string[]> {
  const { scripts }: { scripts: { start: string } } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  return scripts.start.split(" ").filter((word) => word.startsWith("--"));
}

/** Waits until the target serves. */
async function answers(target: Target): Promise<void> {
  const deadline = performance.now() + READY_MS;
  let last: unknown;
  while (performance.now() < deadline) {
    try {
      const { status, text } = await post(target);
      if (status === 200) return;
      last = `${status} ${text}`;
    } catch (error) {
      last = error;
    }
    await sleep(50);
  }
  throw new Error(`${target.name} does not answer: ${last}`);
}

/** Not fetch, which sends a `host` of its own. */
function post({ port, request: { path, body }, headers }: Target): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const length = String(Buffer.byteLength(body));
    const sent = { ...headers, "content-type": "application/json", "content-length": length };
    const call = request(
      { host: "127.0.0.1", port, path, method: "POST", headers: sent, agent: false },
      async (reply) => {
        try {
          resolve({ status: reply.statusCode ?? 0, text: Buffer.concat(await reply.toArray()).toString() });
        } catch (error) {
          reject(error);
        }
      },
    );
    call.once("error", reject);
    call.end(body);
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const kill = setTimeout(() => child.kill("SIGKILL"), END_MS);
  await exited;
  clearTimeout(kill);
}

function pidOf({ pid }: ChildProcess): number {
  if (pid === undefined) throw new Error("a process was not started");
  return pid;
}
