/**
 * Installs the clients of versions.json, each into a folder of its own, once.
 *
 * They are far too large to be dependencies of this project, and would bring a second version of half of them. Only the
 * clients' own versions are pinned.
 */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

export interface Installed {
  readonly version: string;
  /** The folder that goes first on PATH. */
  readonly bin: string;
}

export interface Missing {
  readonly version: string;
  /** Why it could not be installed. */
  readonly missing: string;
}

const VERSIONS: Readonly<Record<"npm" | "pip", Readonly<Record<string, string>>>> = JSON.parse(
  readFileSync(new URL("versions.json", import.meta.url), "utf8"),
);
const TIMEOUT_MS = 5 * 60_000;
const run = promisify(execFile);

/** The cache is `~/.cache/bedrock-gateway-clients`, or CLIENTS_CACHE. */
export async function install(name: string, env: NodeJS.ProcessEnv): Promise<Installed | Missing> {
  const npm = VERSIONS.npm[name];
  const version = npm ?? VERSIONS.pip[name];
  if (version === undefined) throw new Error(`${name} is not in versions.json`);
  const cache = env.CLIENTS_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "bedrock-gateway-clients");
  const folder = join(cache, `${name.replace(/^@/, "").replaceAll("/", "-")}-${version}`);
  const complete = join(folder, "complete");
  const bin = npm === undefined ? join(folder, "bin") : join(folder, "node_modules", ".bin");
  if (existsSync(complete)) return { version, bin };
  try {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    await (npm === undefined ? installPip(folder, `${name}==${version}`) : installNpm(folder, `${name}@${version}`));
    await writeFile(complete, "");
    return { version, bin };
  } catch (error) {
    return { version, missing: `can't be installed: ${firstError(error)}` };
  }
}

async function installNpm(folder: string, what: string): Promise<void> {
  const flags = ["--no-audit", "--no-fund", "--no-save", "--no-package-lock"];
  // Not the project's own settings: they may forbid what a client needs.
  await run("npm", ["install", ...flags, "--prefix", folder, what], { timeout: TIMEOUT_MS, cwd: folder });
}

async function installPip(folder: string, what: string): Promise<void> {
  await run("python3", ["-m", "venv", folder], { timeout: TIMEOUT_MS });
  const python = join(folder, "bin", "python");
  await run(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", what], { timeout: TIMEOUT_MS });
}

/** Where Node.js stands that runs this: clients in JavaScript need one as new. */
export const NODE_BIN = dirname(process.execPath);

function firstError(error: unknown): string {
  const text = String(error instanceof Error ? error.message : error);
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !/^(Command failed|npm warn)/.test(line));
  return (lines.find((line) => /error/i.test(line)) ?? lines[0] ?? text).trim().slice(0, 200);
}
