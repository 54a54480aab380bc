/** Runs `keys`, `teams` and `usage`: in this process, which is quick, or in one of their own, as a shell would. */
import { spawn } from "node:child_process";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { runCommand } from "../../src/commands/command.ts";
import { keysCommand } from "../../src/commands/keys.ts";
import { teamsCommand } from "../../src/commands/teams.ts";
import { usageCommand } from "../../src/commands/usage.ts";

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command line such as `keys create --name alice`, its words already apart. */
export async function runCommands(
  databaseUrl: string,
  args: readonly string[],
  stdin = "",
  env: Readonly<Record<string, string>> = {},
): Promise<CommandResult> {
  const written = { stdout: "", stderr: "" };
  const sink = (name: keyof typeof written) => ({
    write(chunk: string) {
      written[name] += chunk;
    },
  });
  const io = {
    env: { DATABASE_URL: databaseUrl, ...env },
    stdin: Readable.from([Buffer.from(stdin)]),
    stdout: sink("stdout"),
    stderr: sink("stderr"),
  };
  const [name, ...rest] = args;
  const command = { keys: keysCommand, teams: teamsCommand, usage: usageCommand }[name ?? ""];
  if (command === undefined) throw new Error(`no such command: ${name}`);
  const code = await runCommand(command(io), rest, io);
  return { code, ...written };
}

/** The same through the program's own entry point. */
export async function runProgram(databaseUrl: string, args: readonly string[], stdin = ""): Promise<CommandResult> {
  const main = fileURLToPath(new URL("../../src/main.js", import.meta.url));
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...process.env, DATABASE_URL: databaseUrl },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.on("error", () => {}).end(stdin);
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { code, stdout, stderr };
}
