/** A real Envoy for one test file: the product's configuration, a port and a directory of its own, and its log. */
import { closeSync, openSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type EnvoyOptions, renderEnvoyConfig } from "../../src/envoy/config.ts";
import { findEnvoy } from "../../src/envoy/install.ts";
import { type EnvoyProcess, startEnvoy } from "../../src/envoy/process.ts";

export interface RunningEnvoy extends AsyncDisposable {
  readonly process: EnvoyProcess;
  readonly port: number;
  /** Holds extproc.sock, egress.sock and admin.sock. */
  readonly dir: string;
  /** What `startEnvoy` told its caller. */
  readonly messages: readonly string[];
  /** Envoy's log and the access log so far; written a moment after the fact. */
  log(): string;
  /** Waits for a line of the log that holds `text`. */
  logged(text: string): Promise<string>;
}

export const TEMPLATE = readFileSync(new URL("../../envoy/envoy.yaml", import.meta.url), "utf8");

export function envoyBinary(): Promise<string> {
  return findEnvoy({ env: process.env, log: (message) => console.error(message) });
}

interface RunOptions extends Partial<EnvoyOptions> {
  /** Changes the configuration: a timeout that is too long for a test. */
  readonly edit?: (config: string) => string;
}

export async function runEnvoy(options: RunOptions = {}): Promise<RunningEnvoy> {
  const binary = await envoyBinary();
  const dir = options.socketDir ?? (await temporaryDir());
  const { edit = (config) => config, ...given } = options;
  const config = edit(renderEnvoyConfig(TEMPLATE, { host: "127.0.0.1", port: 0, socketDir: dir, ...given }));
  const logFile = join(dir, "log");
  const stderr = openSync(logFile, "a");
  const log = (): string => readFileSync(logFile, "utf8");
  const logged = async (text: string): Promise<string> => {
    for (const deadline = performance.now() + 3_000; performance.now() < deadline; await sleep(20)) {
      const line = log()
        .split("\n")
        .find((candidate) => candidate.includes(text));
      if (line !== undefined) return line;
    }
    throw new Error(`Envoy did not log ${text}:\n${log()}`);
  };
  const messages: string[] = [];
  const tell = (message: string): void => void messages.push(message);
  try {
    const envoy = await startEnvoy({ binary, config, runDir: dir, log: tell, concurrency: 1, stderr });
    const dispose = async (): Promise<void> => {
      await envoy.stop();
      await rm(dir, { recursive: true, force: true });
    };
    try {
      return { process: envoy, port: await envoy.ready(), dir, messages, log, logged, [Symbol.asyncDispose]: dispose };
    } catch (error) {
      const text = log();
      await dispose();
      throw new Error(`Envoy did not start:\n${text}`, { cause: error });
    }
  } finally {
    closeSync(stderr);
  }
}

/** Short, because it goes into the paths of Unix sockets. */
export function temporaryDir(): Promise<string> {
  return mkdtemp(join(tmpdir(), "bgw-"));
}

/** Sends bytes as they are and gives what comes back until the connection ends. */
export function sendRaw(port: number, bytes: string, timeoutMs = 5_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const chunks: Buffer[] = [];
    socket.setTimeout(timeoutMs, () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      // A whole answer is enough: a keep-alive connection would stay open.
      if (Buffer.concat(chunks).includes("}}")) socket.end();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "ECONNRESET" && error.code !== "EPIPE") reject(error);
    });
    socket.on("close", () => resolve(Buffer.concat(chunks).toString("latin1")));
    socket.write(bytes);
  });
}
