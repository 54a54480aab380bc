/** Runs one command to its end, with what it printed; a failure quotes it. */
import { spawn } from "node:child_process";

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Rejects when the exit code is not 0; true by default. */
  readonly check?: boolean;
  readonly env?: NodeJS.ProcessEnv;
}

export function run(
  command: string,
  args: readonly string[],
  { check = true, env = process.env }: RunOptions = {},
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (exit) => {
      const code = exit ?? 1;
      if (check && code !== 0)
        reject(new Error(`${command} ${args.join(" ")} ended with ${code}:\n${tail(stderr || stdout)}`));
      else resolve({ code, stdout, stderr });
    });
  });
}

function tail(text: string): string {
  return text.trimEnd().split("\n").slice(-20).join("\n");
}
