/**
 * Python's clients as a real process: python_clients.py, with the packages of python-clients.txt.
 *
 * The packages are installed once into a cache folder, by `pip install --target`: it takes no more than what the installation
 * of Envoy takes, where a virtual environment is a further package on some systems and can't be moved into place.
 */
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { isJsonObject, type JsonObject } from "../../src/json.ts";

export interface PythonClients {
  /** Runs a function of python_clients.py, and resolves with what the client gave and what it raised. */
  play(scenario: string, args: Readonly<Record<string, unknown>>): Promise<Played>;
  stop(): Promise<void>;
}

export interface Played {
  readonly saw: JsonObject;
  /** Undefined when nothing was. */
  readonly raised: JsonObject | undefined;
}

const REQUIREMENTS = fileURLToPath(new URL("python-clients.txt", import.meta.url));
const SCRIPT = fileURLToPath(new URL("python_clients.py", import.meta.url));
const INSTALL_TIMEOUT_MS = 300_000;
const run = promisify(execFile);

/**
 * The folder with the packages. Where they can't be, the reason why: a machine without Python runs the other tests, unless
 * REQUIRE_PYTHON_CLIENTS is set.
 */
export async function findPythonPackages(): Promise<{ folder: string } | { missing: string }> {
  try {
    return { folder: await packages() };
  } catch (error) {
    const missing = `the Python clients can't be installed: ${error instanceof Error ? error.message.trim() : error}`;
    if (process.env.REQUIRE_PYTHON_CLIENTS) throw new Error(missing, { cause: error });
    return { missing };
  }
}

async function packages(): Promise<string> {
  // Wheels are for one version of Python on one kind of machine.
  const probe = "import pip, sys, sysconfig; print(sys.version_info[:2], sysconfig.get_platform())";
  const { stdout } = await run("python3", ["-c", probe], { timeout: 60_000 });
  const versions = createHash("sha256").update(stdout).update(readFileSync(REQUIREMENTS));
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "bedrock-gateway");
  const folder = join(cache, `python-clients-${versions.digest("hex").slice(0, 16)}`);
  if (existsSync(folder)) return folder;

  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, "install-"));
  try {
    // Every package is named with its version, so pip has nothing to resolve, and nothing to build.
    const flags = ["--no-deps", "--only-binary=:all:", "--no-compile", "--disable-pip-version-check", "--quiet"];
    const args = ["-m", "pip", "install", ...flags, "--target", join(work, "packages"), "--requirement", REQUIREMENTS];
    await run("python3", args, { timeout: INSTALL_TIMEOUT_MS });
    await rename(join(work, "packages"), folder).catch((error: unknown) => {
      // Another run may have put it there meanwhile.
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return folder;
}

export async function startPythonClients(
  gateway: { url: string; key: string },
  folder: string,
): Promise<PythonClients> {
  const home = await mkdtemp(join(tmpdir(), "python-clients-"));
  const python = spawn("python3", ["-s", SCRIPT], {
    stdio: ["pipe", "pipe", "inherit"],
    // Nothing of this machine's: no proxy, no key, no tracing.
    env: {
      PATH: process.env.PATH ?? "",
      HOME: home,
      PYTHONPATH: folder,
      GATEWAY_URL: gateway.url,
      GATEWAY_KEY: gateway.key,
    },
  });
  const ended = once(python, "close");
  const waiting = new Map<number, PromiseWithResolvers<Played>>();
  let last = 0;
  createInterface({ input: python.stdout }).on("line", (line) => {
    const { id, saw, raised }: Record<string, unknown> = JSON.parse(line);
    if (!isJsonObject(saw)) throw new Error(`not what python_clients.py writes: ${line}`);
    waiting.get(Number(id))?.resolve({ saw, raised: isJsonObject(raised) ? raised : undefined });
    waiting.delete(Number(id));
  });
  python.once("close", (code) => {
    for (const { reject } of waiting.values()) reject(new Error(`python_clients.py ended with ${code}`));
  });

  return {
    play(scenario, args) {
      last += 1;
      const played = Promise.withResolvers<Played>();
      waiting.set(last, played);
      python.stdin.write(`${JSON.stringify({ id: last, scenario, arguments: args })}\n`);
      return played.promise;
    },
    async stop() {
      python.stdin.end();
      await ended;
      await rm(home, { recursive: true, force: true });
    },
  };
}
