/** Runs `keys`, `teams` and `usage` in processes of their own, as a shell would. */
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command line such as `keys create --name alice`, its words already apart. */
export async function runCommands(databaseUrl: string, args: readonly string[], stdin = ""): Promise<CommandResult> {
  const source = (path: string) => JSON.stringify(new URL(`../../src/commands/${path}`, import.meta.url).href);
  const script = `
    import { runCommand } from ${source("command.ts")};
    import { keysCommand } from ${source("keys.ts")};
    import { teamsCommand } from ${source("teams.ts")};
    import { usageCommand } from ${source("usage.ts")};
    const io = { env: process.env, stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };
    const [name, ...args] = process.argv.slice(1);
    process.exitCode = await runCommand({ keys: keysCommand, teams: teamsCommand, usage: usageCommand }[name](io), args, io);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script, "--", ...args], {
    env: { ...process.env, DATABASE_URL: databaseUrl },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.on("error", () => {}).end(stdin);
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { code, stdout, stderr };
}
