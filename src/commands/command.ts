/**
 * What every subcommand shares: where it reads and writes, how it fails, and what exit code that gives.
 *
 * Results go to stdout and nothing else does, so that `--json` can be piped. Exit codes: 0, 1 for input or a situation
 * that the person has to correct, 2 for a command line that makes no sense (commander's own errors).
 */
import { userInfo } from "node:os";
import { Command, CommanderError } from "commander";
import { KeyInputError } from "../access/key-settings.ts";
import { SETTING_WORDS } from "../access/setting-text.ts";
import { ConfigError } from "../config.ts";
import { openStore } from "../store/open.ts";
import { type Store, StoreConflict, StoreUnavailable } from "../store/store.ts";

export interface CommandIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly stdout: TextSink;
  readonly stderr: TextSink;
}

export type CommandFactory = (io: CommandIo) => Command;

export interface TextSink {
  write(text: string): unknown;
}

/** Something to correct, in words for the person at the terminal. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";
}

/** Waits for something to start whose plain errors are words for the operator: a port in use, no Envoy, no database. */
export async function started<T>(start: Promise<T>): Promise<T> {
  try {
    return await start;
  } catch (cause) {
    // A TypeError and its like are mistakes of ours, and keep their stack.
    if (cause instanceof Error && cause.constructor === Error) throw new CommandFailure(cause.message, { cause });
    throw cause;
  }
}

/** A command whose output and errors go to `io` and which throws instead of ending the process. */
export function createCommand(name: string, io: CommandIo): Command {
  return new Command(name)
    .exitOverride()
    .showHelpAfterError("(--help shows the options)")
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
    });
}

/** Runs a command line (without node and the script) and says what failed on stderr. Resolves with the exit code. */
export async function runCommand(command: Command, args: readonly string[], io: CommandIo): Promise<number> {
  try {
    await command.parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    // Commander has already said what is wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    io.stderr.write(`error: ${explain(error)}\n`);
    return 1;
  }
}

/** Opens the database of DATABASE_URL for one piece of work. */
export async function withStore<T>(io: CommandIo, work: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore(io.env.DATABASE_URL).catch((error: unknown) => {
    throw new CommandFailure(error instanceof Error ? error.message : String(error), { cause: error });
  });
  try {
    return await work(store);
  } catch (error) {
    // A full disk, a damaged file: the place in the code says nothing about it.
    if (!isDatabaseError(error)) throw error;
    throw new CommandFailure(`DATABASE_URL: the database can't be used: ${error.message}`, { cause: error });
  } finally {
    await store.close();
  }
}

function isDatabaseError(error: unknown): error is Error {
  if (error instanceof StoreUnavailable) return true;
  return error instanceof Error && "code" in error && error.code === "ERR_SQLITE_ERROR";
}

/** Who changes something at the command line, for the audit: the user that the operating system knows. */
export function actor(): string {
  try {
    return `cli:${userInfo().username}`;
  } catch {
    // A container may run under a number that has no name.
    return `cli:${process.getuid?.() ?? "unknown"}`;
  }
}

export function printJson(io: CommandIo, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

function explain(error: unknown): string {
  if (error instanceof CommandFailure || error instanceof ConfigError) return error.message;
  if (error instanceof KeyInputError) return explainInput(error);
  // The database is fine: somebody else was faster.
  if (error instanceof StoreConflict) return error.message;
  // Unforeseen, so whoever reads it needs the place.
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function explainInput({ problems }: KeyInputError): string {
  return problems
    .map(({ setting, message }) => (setting === undefined ? message : `--${SETTING_WORDS[setting]}: ${message}`))
    .join("\n");
}
