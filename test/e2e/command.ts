/**
 * A command line of the project as a real process, the way a person or a supervisor runs it: what it prints, every
 * process that comes of it, and what it leaves behind. Reads /proc, so Linux only.
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findEnvoy } from "../../src/envoy/install.ts";

export interface RunningCommand extends AsyncDisposable {
  /** Also the id of its process group, as for a command typed into a terminal. */
  readonly pid: number;
  /** Its own; goes with it. The database is `gateway.db` in it. */
  readonly dir: string;
  /** Resolves when the process has ended and its output was read to the end. */
  readonly exited: Promise<Exit>;
  stdout(): string;
  stderr(): string;
  /** The first match in what it has printed, now or within `timeoutMs`. Rejects when it ends without. */
  prints(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  /** All live processes that came of it, whoever their parent is now. */
  processes(): readonly LiveProcess[];
  /** What it has left in the folder for temporary files. */
  leftovers(): Promise<string[]>;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface LiveProcess {
  readonly pid: number;
  readonly commandLine: string;
}

export type Environment = Readonly<Record<string, string>>;

const PROJECT = fileURLToPath(new URL("../../", import.meta.url));
const MAIN = join(PROJECT, "src", "main.js");

/** `node src/main.js …`, without npm around it. */
export function runMain(args: readonly string[], env: Environment = {}): Promise<RunningCommand> {
  return run(process.execPath, [MAIN, ...args], env);
}

/** `npm run …` */
export function runNpm(args: readonly string[], env: Environment = {}): Promise<RunningCommand> {
  return run("npm", args, env);
}

/** No credentials, no configuration of this machine: only what `env` gives. Ports are free ones unless it says more. */
async function run(command: string, args: readonly string[], env: Environment): Promise<RunningCommand> {
  const dir = await mkdtemp(join(tmpdir(), "bgw-"));
  const temporary = join(dir, "tmp");
  const home = join(dir, "home");
  await Promise.all([mkdir(temporary), mkdir(home)]);
  const mark = `GATEWAY_TEST_MARK=${randomUUID()}`;
  const child = spawn(command, args, {
    cwd: PROJECT,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      // Where this Node.js is, so that `npm run` finds the same one first.
      PATH: `${dirname(process.execPath)}:${process.env.PATH ?? ""}`,
      HOME: home,
      TMPDIR: temporary,
      ENVOY_PATH: await envoyPath(),
      DATABASE_URL: `sqlite:${join(dir, "gateway.db")}`,
      PORT: "0",
      ADMIN_PORT: "0",
      AWS_EC2_METADATA_DISABLED: "true",
      // npm would keep one in the folder for temporary files.
      NODE_DISABLE_COMPILE_CACHE: "1",
      GATEWAY_TEST_MARK: mark.slice("GATEWAY_TEST_MARK=".length),
      ...env,
    },
  });
  const printed = { out: "", err: "" };
  const waiting = new Set<() => void>();
  const hear = (stream: "out" | "err") => (text: string) => {
    printed[stream] += text;
    for (const wake of waiting) wake();
  };
  child.stdout.setEncoding("utf8").on("data", hear("out"));
  child.stderr.setEncoding("utf8").on("data", hear("err"));
  let ended: Exit | undefined;
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      ended = { code, signal };
      resolve(ended);
      for (const wake of waiting) wake();
    });
  });
  const all = () => `${printed.out}\n${printed.err}`;

  return {
    pid: child.pid ?? -1,
    dir,
    exited,
    stdout: () => printed.out,
    stderr: () => printed.err,
    processes: () => processesMarked(mark),
    leftovers: () => readdir(temporary),
    prints(pattern, timeoutMs = 60_000) {
      return new Promise((resolve, reject) => {
        const settle = (finish: () => void) => {
          clearTimeout(timer);
          waiting.delete(look);
          finish();
        };
        const look = () => {
          const match = pattern.exec(all());
          if (match !== null) settle(() => resolve(match));
          else if (ended !== undefined) settle(() => reject(new Error(`it ended without ${pattern}:\n${all()}`)));
        };
        const late = () => reject(new Error(`no ${pattern} within ${timeoutMs} ms:\n${all()}`));
        const timer = setTimeout(() => settle(late), timeoutMs);
        waiting.add(look);
        look();
      });
    },
    async [Symbol.asyncDispose]() {
      for (const { pid } of processesMarked(mark)) kill(pid);
      if (child.pid !== undefined) await exited;
      await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

let envoy: Promise<string> | undefined;

/** HOME is empty for the command, so it is told where the installed Envoy is. */
function envoyPath(): Promise<string> {
  envoy ??= findEnvoy({ env: process.env, log: (message) => console.error(message) });
  return envoy;
}

/** An environment is inherited by every descendant and kept when its parent dies. Zombies have none. */
function processesMarked(mark: string): LiveProcess[] {
  const found: LiveProcess[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (!readFileSync(`/proc/${name}/environ`, "latin1").split("\0").includes(mark)) continue;
      const commandLine = readFileSync(`/proc/${name}/cmdline`, "latin1").replaceAll("\0", " ").trim();
      found.push({ pid: Number(name), commandLine });
    } catch {
      // It has ended meanwhile, or it is another user's.
    }
  }
  return found;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
