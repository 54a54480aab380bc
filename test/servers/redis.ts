/**
 * A real Redis or Valkey for a test: in a temporary folder, on a Unix socket unless a port is wanted, until `end`.
 *
 * Nothing is kept on disk, so a server that was killed begins anew, empty, at the same address.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export interface RedisServer {
  readonly url: string;
  /** Ends it without any farewell. */
  kill(): Promise<void>;
  /** After `kill`. */
  start(): Promise<void>;
  end(): Promise<void>;
  /** It keeps its connections and answers nothing. */
  pause(): void;
  resume(): void;
  /** What redis-cli prints. */
  command(...args: string[]): string;
}

export interface RedisServerOptions {
  readonly password?: string;
  /** On a TCP port of 127.0.0.1. */
  readonly tcp?: boolean;
}

const PROGRAM = ["valkey-server", "redis-server"].find(isInstalled);

/** Why tests without a server are skipped, for `describe`; false where there is one, or where one is required. */
export const redisMissing =
  PROGRAM === undefined && process.env.REQUIRE_SERVERS !== "1"
    ? "neither valkey-server nor redis-server is installed"
    : false;

export async function startRedis({ password, tcp = false }: RedisServerOptions = {}): Promise<RedisServer> {
  if (PROGRAM === undefined) throw new Error("this test needs valkey-server or redis-server on PATH");
  const program = PROGRAM;
  const folder = mkdtempSync(join(tmpdir(), "gateway-redis-"));
  const socket = join(folder, "redis.sock");
  const port = tcp ? await freePort() : 0;
  const auth = password === undefined ? [] : ["--requirepass", password];
  const args = [
    "--port",
    `${port}`,
    "--bind",
    "127.0.0.1",
    "--unixsocket",
    socket,
    "--save",
    "",
    "--dir",
    folder,
    ...auth,
  ];
  let server: ChildProcess | undefined;

  async function start(): Promise<void> {
    server = spawn(program, args, { stdio: "ignore" });
    for (let tries = 0; !(await accepts(socket)); tries++) {
      if (server.exitCode !== null || tries > 200) throw new Error(`${program} did not start`);
      await sleep(25);
    }
  }

  async function kill(): Promise<void> {
    if (server === undefined) return;
    const ended = once(server, "exit");
    server.kill("SIGKILL");
    await ended;
    rmSync(socket, { force: true });
    server = undefined;
  }

  await start();
  return {
    url: tcp ? `redis://127.0.0.1:${port}` : `unix://${socket}`,
    kill,
    start,
    async end() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
    pause: () => void server?.kill("SIGSTOP"),
    resume: () => void server?.kill("SIGCONT"),
    command: (...words) =>
      execFileSync("redis-cli", ["-s", socket, ...(password === undefined ? [] : ["-a", password]), ...words], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      }).trim(),
  };
}

function isInstalled(program: string): boolean {
  try {
    execFileSync(program, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}
