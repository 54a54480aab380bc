/**
 * The connection to Valkey or Redis: every command is answered in time or given up, and what is not answered is noticed once.
 *
 * A command that fails or takes longer than `timeoutMs` makes the connection lost: further ones fail at once, nothing is
 * queued, and a small write is tried until it is answered in time. Reconnecting is ioredis's work. A server that is not
 * there at start is the same case. Neither end of it throws anything but to the caller of `run`.
 */
import { createRequire } from "node:module";
import type { Redis } from "ioredis";

const require = createRequire(import.meta.url);

export interface ConnectionOptions {
  /** redis://, rediss:// or unix:///path/of/a/socket, with user, password and database number where needed. */
  readonly url: string;
  readonly timeoutMs?: number;
  /** Sends what each new connection needs first. */
  readonly prepare?: (client: Redis) => void;
  /** Called once each time the connection is lost, before the command that found out rejects. */
  readonly onLost: (cause: unknown) => void;
  readonly onBack: () => void;
}

export interface Connection {
  readonly lost: boolean;
  /**
   * Rejects when the server refuses, can't be reached or is late. `late` hears an answer that came after that: the
   * command has been executed all the same.
   */
  run<T>(command: (client: Redis) => Promise<T>, late?: (answer: T) => void): Promise<T>;
  close(): Promise<void>;
}

/** Longer than any command of ours takes on a server that is well, shorter than what a caller would notice. */
const TIMEOUT_MS = 250;
const PROBE_INTERVAL_MS = 500;
/** A socket that says nothing for so long is opened anew. */
const SILENT_MS = 3000;
const CONNECT_MS = 2000;
/** How long the first commands wait for the first connection. */
const PATIENCE_MS = 1000;
const RECONNECT_MS = 1000;
const PROBE_NAME = "gw:{probe}";

export function createConnection(options: ConnectionOptions): Connection {
  const { url, timeoutMs = TIMEOUT_MS, prepare, onLost, onBack } = options;
  // 10 MB that most gateways have no use for (measured).
  const library: typeof import("ioredis") = require("ioredis");
  const client = new library.Redis(url.replace(/^unix:\/\//, ""), {
    connectTimeout: CONNECT_MS,
    socketTimeout: SILENT_MS,
    retryStrategy: (times) => Math.min(times * 100, RECONNECT_MS),
    // After a fail-over the old primary may go on as a replica: a new connection finds the new one.
    reconnectOnError: ({ message }) => message.startsWith("READONLY"),
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
  });
  let lost = false;
  let closing = false;
  let probing: NodeJS.Timeout | undefined;
  let lastError: unknown;

  // Settled by the first connection, or by its failure: commands that come earlier wait for it.
  const begun = Promise.withResolvers<void>();
  let ready = false;

  client.on("error", (error) => {
    lastError = error;
  });
  client.on("close", () => lose(lastError ?? new Error("the connection was closed")));
  client.on("ready", () => {
    lastError = undefined;
    prepare?.(client);
    begin();
    if (lost) void probe();
  });
  const patience = setTimeout(() => lose(new Error(`no connection within ${PATIENCE_MS} ms`)), PATIENCE_MS);

  function begin(): void {
    ready = true;
    clearTimeout(patience);
    begun.resolve();
  }

  function lose(cause: unknown): void {
    if (lost || closing) return;
    lost = true;
    onLost(cause);
    begin();
    probing = setInterval(probe, PROBE_INTERVAL_MS).unref();
  }

  async function probe(): Promise<void> {
    if (client.status !== "ready") return;
    const answered = await inTime(client.set(PROBE_NAME, 1, "PX", PROBE_INTERVAL_MS)).then(
      () => true,
      () => false,
    );
    if (!answered || !lost || closing) return;
    lost = false;
    clearInterval(probing);
    onBack();
  }

  function inTime<T>(answer: Promise<T>, late: (answer: T) => void = () => {}): Promise<T> {
    return new Promise((resolve, reject) => {
      let waiting = true;
      const giveUp = () => {
        if (!waiting) return;
        waiting = false;
        reject(new Error(`no answer within ${timeoutMs} ms`));
      };
      // One more turn of the loop: an answer that lies in the socket because this process was busy is in time.
      const timer = setTimeout(() => setImmediate(giveUp), timeoutMs);
      const settle = (then: () => void) => {
        if (!waiting) return;
        waiting = false;
        clearTimeout(timer);
        then();
      };
      answer.then(
        (value) => (waiting ? settle(() => resolve(value)) : late(value)),
        (error) => settle(() => reject(error)),
      );
    });
  }

  return {
    get lost() {
      return lost;
    },
    async run(command, late) {
      if (!ready) await begun.promise;
      if (lost || closing) throw new Error("the connection is lost");
      try {
        return await inTime(command(client), late);
      } catch (cause) {
        lose(cause);
        throw cause;
      }
    },
    async close() {
      closing = true;
      clearTimeout(patience);
      clearInterval(probing);
      begun.resolve();
      // What was sent before is answered first.
      if (client.status === "ready") await inTime(client.quit()).catch(() => {});
      client.disconnect();
    },
  };
}
