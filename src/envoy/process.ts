/**
 * One Envoy as a child process: started, watched, drained and ended.
 *
 * It runs in a process group of its own, because Ctrl-C goes to the whole group of a terminal and would cut every
 * stream that Envoy carries; only `drain` ends it in good order. A parent that dies without saying goodbye (kill -9) must
 * not leave an Envoy behind that holds the port: Envoy does not notice (1.40), so a shell waits on a pipe for it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readAddresses } from "./config.ts";

export interface StartOptions {
  /** From `findEnvoy`. */
  readonly binary: string;
  /** From `renderEnvoyConfig`. */
  readonly config: string;
  /** The configuration is written here; made (mode 0700) when it does not exist. */
  readonly runDir: string;
  readonly log: (message: string) => void;
  /** Worker threads; by default one for each core. */
  readonly concurrency?: number;
  /** How long a draining listener goes on accepting, for load balancers that have not noticed yet. Default 1. */
  readonly drainSeconds?: number;
  readonly logLevel?: "debug" | "info" | "warn" | "error";
  /** Envoy's log and the access log: a file descriptor, by default this process's stderr. */
  readonly stderr?: number;
}

export interface EnvoyExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface AdminReply {
  readonly status: number;
  readonly body: string;
}

export interface EnvoyProcess {
  readonly pid: number;
  /** Resolves when Envoy has ended, for whatever reason; never rejects. */
  readonly exited: Promise<EnvoyExit>;
  /** Waits until Envoy carries traffic; the port of the listener for clients. Rejects when Envoy ends before. */
  ready(timeoutMs?: number): Promise<number>;
  /** A call to the admin interface, https://www.envoyproxy.io/docs/envoy/latest/operations/admin */
  admin(method: "GET" | "POST", path: string): Promise<AdminReply>;
  /** Lets the requests under way finish, for at most `timeoutMs`, then ends Envoy. Calling it again waits for the first. */
  drain(options: { readonly timeoutMs: number }): Promise<EnvoyExit>;
  /** Ends Envoy now, and with it every stream. */
  stop(): Promise<EnvoyExit>;
}

const READY_TIMEOUT_MS = 20_000;
const ADMIN_TIMEOUT_MS = 5_000;
const POLL_MS = 50;
const TERM_GRACE_MS = 5_000;

export async function startEnvoy(options: StartOptions): Promise<EnvoyProcess> {
  const { host, port, adminSocket } = readAddresses(options.config);
  await assertPortFree(host, port);
  const configPath = await writeConfig(options.runDir, options.config);
  const child = spawn(options.binary, args(configPath, options), {
    detached: true,
    stdio: ["ignore", options.stderr ?? 2, options.stderr ?? 2],
  });
  const pid = await spawned(child, options.binary);
  const exited = new Promise<EnvoyExit>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  endWithParent(pid, exited);
  return envoyProcess({ child, pid, exited, adminSocket, options });
}

interface Parts {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly exited: Promise<EnvoyExit>;
  readonly adminSocket: string;
  readonly options: StartOptions;
}

function envoyProcess({ child, pid, exited, adminSocket, options }: Parts): EnvoyProcess {
  let ended: EnvoyExit | undefined;
  exited.then((exit) => {
    ended = exit;
  });
  let draining: Promise<EnvoyExit> | undefined;

  const admin = (method: "GET" | "POST", path: string): Promise<AdminReply> => callAdmin(adminSocket, method, path);

  async function ready(timeoutMs = READY_TIMEOUT_MS): Promise<number> {
    const deadline = performance.now() + timeoutMs;
    while (performance.now() < deadline) {
      if (ended) throw new Error(`Envoy ended while it started (${describeExit(ended)}). Its log says why.`);
      const reply = await admin("GET", "/ready").catch(() => undefined);
      if (reply?.status === 200) return clientPort(await admin("GET", "/listeners?format=json"));
      await sleep(POLL_MS);
    }
    throw new Error(`Envoy was not ready after ${timeoutMs / 1000} s.`);
  }

  async function stop(): Promise<EnvoyExit> {
    child.kill("SIGTERM");
    const kill = setTimeout(() => child.kill("SIGKILL"), TERM_GRACE_MS);
    return exited.finally(() => clearTimeout(kill));
  }

  async function finishRequests(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    await admin("POST", "/healthcheck/fail"); // answers now carry `connection: close`
    await admin("POST", "/drain_listeners?graceful");
    while (!ended) {
      const active = await activeRequests(admin);
      if (active === 0) return;
      if (performance.now() >= deadline) {
        options.log(`${active} requests did not finish within ${timeoutMs / 1000} s and are cut off.`);
        return;
      }
      await sleep(POLL_MS);
    }
  }

  async function drainOnce(timeoutMs: number): Promise<EnvoyExit> {
    // An Envoy that no longer answers its admin interface cannot be drained, only ended.
    await finishRequests(timeoutMs).catch((error: unknown) => {
      if (!ended) options.log(`Envoy could not be drained: ${error instanceof Error ? error.message : error}`);
    });
    return stop();
  }

  function drain({ timeoutMs }: { readonly timeoutMs: number }): Promise<EnvoyExit> {
    draining ??= drainOnce(timeoutMs);
    return draining;
  }

  return { pid, exited, ready, admin, drain, stop };
}

function args(configPath: string, options: StartOptions): string[] {
  const given = ["-c", configPath, "--disable-hot-restart", "--log-level", options.logLevel ?? "warn"];
  // `immediate`: from /healthcheck/fail on every answer closes its connection, not a growing share of them.
  given.push("--drain-strategy", "immediate", "--drain-time-s", String(options.drainSeconds ?? 1));
  given.push("--file-flush-interval-msec", "1000"); // the access log; 10 s by default
  if (options.concurrency !== undefined) given.push("--concurrency", String(options.concurrency));
  return given;
}

/** Envoy would name a used port too, but in its log, and exit with 1. */
function assertPortFree(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => reject(portError(error, host, port)));
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve()));
  });
}

function portError(error: NodeJS.ErrnoException, host: string, port: number): Error {
  if (error.code === "EADDRINUSE") return new Error(`Port ${port} is in use; set PORT to another one.`);
  if (error.code === "EACCES") return new Error(`Port ${port} needs privileges; set PORT to one above 1023.`);
  return new Error(`Cannot listen on ${host}:${port}: ${error.message}`, { cause: error });
}

async function writeConfig(runDir: string, config: string): Promise<string> {
  await mkdir(runDir, { recursive: true, mode: 0o700 });
  const path = join(runDir, "envoy.yaml");
  await writeFile(`${path}.new`, config, { mode: 0o600 });
  await rename(`${path}.new`, path);
  return path;
}

function spawned(child: ChildProcess, binary: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("spawn", () => resolve(child.pid as number)); // a process that was spawned has a pid
    child.once("error", (error) => reject(new Error(`Cannot run ${binary}: ${error.message}`, { cause: error })));
  });
}

/** `read` returns when the other end of its pipe, which only this process holds, is closed. */
function endWithParent(pid: number, exited: Promise<EnvoyExit>): void {
  const script = 'read -r _; kill -TERM "$1" && sleep 3 && kill -KILL "$1"';
  const watchdog = spawn("/bin/sh", ["-c", script, "envoy-watchdog", String(pid)], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  // Neither may keep this process alive.
  watchdog.unref();
  if (watchdog.stdin && "unref" in watchdog.stdin && typeof watchdog.stdin.unref === "function") watchdog.stdin.unref();
  exited.then(() => watchdog.kill("SIGKILL"));
}

function callAdmin(socketPath: string, method: string, path: string): Promise<AdminReply> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, method, path, agent: false, timeout: ADMIN_TIMEOUT_MS }, async (reply) => {
      try {
        const chunks: Buffer[] = await reply.toArray();
        resolve({ status: reply.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") });
      } catch (error) {
        reject(error);
      }
    });
    call.once("timeout", () => call.destroy(new Error(`Envoy's admin interface did not answer ${path} in time`)));
    call.once("error", reject);
    call.end();
  });
}

function clientPort(listeners: AdminReply): number {
  const statuses = field(JSON.parse(listeners.body), "listener_statuses");
  const clients = Array.isArray(statuses) ? statuses.find((status) => field(status, "name") === "clients") : undefined;
  const port = field(field(field(clients, "local_address"), "socket_address"), "port_value");
  if (typeof port !== "number") throw new Error("Envoy has no listener `clients`.");
  return port;
}

async function activeRequests(admin: EnvoyProcess["admin"]): Promise<number> {
  const reply = await admin("GET", "/stats?filter=^http\\.clients\\.downstream_rq_active$");
  return Number(/: (\d+)/.exec(reply.body)?.[1] ?? 0);
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

function describeExit({ code, signal }: EnvoyExit): string {
  return signal === null ? `exit code ${code}` : signal;
}
