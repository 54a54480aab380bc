/**
 * The command line: composes the subcommands. This file alone reads argv and the environment and ends the process.
 */
import { createCommand, runCommand } from "./commands/command.ts";
import { configCheckCommand } from "./commands/config-check.ts";
import { demoCommand } from "./commands/demo.ts";
import { envoyConfigCommand } from "./commands/envoy-config.ts";
import { keysCommand } from "./commands/keys.ts";
import { serveCommand, startCommand } from "./commands/start.ts";
import { teamsCommand } from "./commands/teams.ts";
import { usageCommand } from "./commands/usage.ts";

const io = { env: process.env, stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };

const program = createCommand("bedrock-gateway", io).description(
  "OpenAI-compatible access to every model on Amazon Bedrock, with revocable keys, limits and a ledger.",
);
for (const command of [
  startCommand,
  demoCommand,
  serveCommand,
  configCheckCommand,
  envoyConfigCommand,
  keysCommand,
  teamsCommand,
  usageCommand,
]) {
  program.addCommand(command(io));
}

// One request's mistake must not end everybody else's: it is said, and the process goes on.
process.on("unhandledRejection", (error) => {
  process.stderr.write(
    `unhandled rejection: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
});

const exitCode = await runCommand(program, process.argv.slice(2), io);
// Give stdout, which may be a pipe, the time to take what was written; then nothing may keep the process alive.
process.stdout.write("", () => process.exit(exitCode));
