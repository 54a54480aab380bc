/**
 * The command line: composes the subcommands. This file alone reads argv and the environment and ends the process.
 */
import { type CommandFactory, createCommand, runCommand } from "./commands/command.ts";

/** Each is loaded when it is asked for: the gateway's own parts take half a second that `keys list` has no use for. */
const COMMANDS: Readonly<Record<string, () => Promise<CommandFactory>>> = {
  start: async () => (await import("./commands/start.ts")).startCommand,
  demo: async () => (await import("./commands/demo.ts")).demoCommand,
  serve: async () => (await import("./commands/start.ts")).serveCommand,
  "config-check": async () => (await import("./commands/config-check.ts")).configCheckCommand,
  "envoy-config": async () => (await import("./commands/envoy-config.ts")).envoyConfigCommand,
  keys: async () => (await import("./commands/keys.ts")).keysCommand,
  teams: async () => (await import("./commands/teams.ts")).teamsCommand,
  usage: async () => (await import("./commands/usage.ts")).usageCommand,
};

const args = process.argv.slice(2);
const io = { env: process.env, stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };

const program = createCommand("bedrock-gateway", io).description(
  "OpenAI's and Anthropic's APIs for the models on Amazon Bedrock, with revocable keys, limits and a ledger.",
);
const [asked = ""] = args;
const needed = Object.hasOwn(COMMANDS, asked) ? [asked] : Object.keys(COMMANDS);
for (const name of needed) {
  const command = await COMMANDS[name]?.();
  if (command !== undefined) program.addCommand(command(io));
}

// One request's mistake must not end everybody else's: it is said, and the process goes on.
process.on("unhandledRejection", (error) => {
  process.stderr.write(
    `unhandled rejection: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
});

const exitCode = await runCommand(program, args, io);
// Give stdout, which may be a pipe, the time to take what was written; then nothing may keep the process alive.
process.stdout.write("", () => process.exit(exitCode));
