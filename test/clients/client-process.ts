/**
 * A client as somebody runs it: a process of its own in a fresh home, set up by README.md's snippet, the gateway's address and
 * key in place of the example's.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { forGateway, type Snippet } from "../readme-snippets.ts";
import { type Installed, NODE_BIN } from "./install.ts";

export interface ClientSetup {
  readonly snippet: Snippet;
  /** What is run headless where the snippet does not end with the client's own command. */
  readonly command: readonly string[];
  /** The client's own switches against telemetry and updates. */
  readonly env: Readonly<Record<string, string>>;
  /** The same as files, below the home. */
  readonly files: Readonly<Record<string, string>>;
}

export interface ClientProcess {
  /** What it has written so far, to both of its outputs. */
  output(): string;
  readonly ended: boolean;
  /** As Ctrl-C: to all processes in the foreground. */
  interrupt(): void;
  /** The exit code, or the signal that ended it. Rejects after `timeoutMs`, and then the client is ended. */
  end(timeoutMs: number): Promise<number | string>;
}

export interface ClientHome extends AsyncDisposable {
  /** The folder that clients are started in. */
  readonly work: string;
  start(args: readonly string[]): ClientProcess;
}

/** A temporary home for one run; whatever still runs there at the end is ended. */
export async function createHome(
  setup: ClientSetup,
  installed: Installed,
  gateway: { readonly url: string; readonly key: string; readonly ca: string | undefined },
): Promise<ClientHome> {
  const home = await mkdtemp(join(tmpdir(), "gateway-client-"));
  const work = join(home, "work");
  await mkdir(work);
  const { snippet } = setup;
  const code = forGateway(snippet.code, gateway);
  const files = { ...setup.files, ...(snippet.file !== undefined && { [inHome(snippet.file)]: code }) };
  if (snippet.language === "python") files["work/snippet.py"] = code;
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(home, path)), { recursive: true });
    await writeFile(join(home, path), content);
  }
  const script = shellScript(setup, gateway);
  const env = {
    PATH: [installed.bin, NODE_BIN, "/usr/local/bin", "/usr/bin", "/bin"].join(":"),
    HOME: home,
    TMPDIR: home,
    LANG: "C.UTF-8",
    TERM: "dumb",
    NO_COLOR: "1",
    // Whatever else it calls meets the recording proxy, and goes no further.
    ...Object.fromEntries(["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].flatMap((name) => both(name, gateway.url))),
    ...Object.fromEntries(both("NO_PROXY", "127.0.0.1,localhost")),
    ...(gateway.ca !== undefined && { AWS_CA_BUNDLE: gateway.ca }),
    ...setup.env,
  };
  return {
    work,
    start(args) {
      const child = spawn("sh", ["-c", script, "sh", ...args], {
        cwd: work,
        env,
        stdio: ["ignore", "pipe", "pipe"],
        detached: true,
      });
      return follow(child);
    },
    async [Symbol.asyncDispose]() {
      await endAll(home);
      await rm(home, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

function inHome(file: string): string {
  return file.startsWith("~/") ? file.slice(2) : join("work", file);
}

/** The snippet as it stands; the arguments that make the client headless follow its last command. */
function shellScript({ snippet, command }: ClientSetup, gateway: { url: string; key: string }): string {
  const lines = snippet.language === "sh" ? snippet.code.trimEnd().split("\n") : [];
  const last = lines.at(-1);
  const own = last !== undefined && !last.startsWith("export ") ? lines.pop() : command.join(" ");
  return forGateway(["set -e", ...snippet.shell, ...lines, `exec ${own} "$@"`].join("\n"), gateway);
}

function both(name: string, value: string): [string, string][] {
  return [
    [name, value],
    [name.toLowerCase(), value],
  ];
}

function follow(child: ChildProcess): ClientProcess {
  let output = "";
  const closed = once(child, "close");
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (output += text));
  // A client's daemon may keep the pipes open: the end of the client itself counts.
  const exited = once(child, "exit");
  const signal = (name: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // It has ended.
    }
  };
  return {
    output: () => output,
    get ended() {
      return child.exitCode !== null || child.signalCode !== null;
    },
    interrupt: () => signal("SIGINT"),
    async end(timeoutMs) {
      const late = sleep(timeoutMs, "late" as const, { ref: false });
      const result = await Promise.race([exited, late]);
      if (result === "late") {
        signal("SIGKILL");
        throw new Error(`did not end within ${timeoutMs / 1000} s`);
      }
      await Promise.race([closed, sleep(500)]);
      const [code, name] = result;
      return code ?? name;
    },
  };
}

/** Daemons that a client has left behind are known by the home that they were given. */
async function endAll(home: string): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const pids = processesOf(home);
    if (pids.length === 0) return;
    for (const pid of pids) {
      try {
        process.kill(pid, attempt === 0 ? "SIGTERM" : "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    }
    await sleep(100);
  }
}

function processesOf(home: string): number[] {
  if (!existsSync("/proc")) return [];
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && environmentOf(pid).includes(`HOME=${home}`));
}

function environmentOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  } catch {
    return [];
  }
}
