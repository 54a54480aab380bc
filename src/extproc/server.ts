/**
 * The gRPC server that Envoy calls: one Process stream for each HTTP exchange, and health checks.
 *
 * Back-pressure, cancellation and failures live here and nowhere else. Events reach an exchange strictly one after the
 * other: what comes while it works on one that needs I/O waits in a short line. Reading pauses when that is full, and while
 * Envoy does not take what was written. When Envoy ends its side, so do we (with `ext_proc_graceful_grpc_close` in Envoy's runtime): a reset for each stream would trip the
 * rapid-reset guard of Node's HTTP/2 and cut the whole connection about every thousand requests.
 */
import { chmod, rm } from "node:fs/promises";
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import type { ProcessingRequest__Output } from "./generated/envoy/service/ext_proc/v3/ProcessingRequest.ts";
import type { ProcessingResponse } from "./generated/envoy/service/ext_proc/v3/ProcessingResponse.ts";
import type { HealthCheckRequest__Output } from "./generated/grpc/health/v1/HealthCheckRequest.ts";
import type { HealthCheckResponse } from "./generated/grpc/health/v1/HealthCheckResponse.ts";
import { type EnvoyEvent, healthService, processorService, type Reply, toEvent, toMessage } from "./wire.ts";

/** One HTTP exchange as the server sees it. */
export interface Exchange {
  /** Handles one event. A returned promise holds back the next event; it must not reject. */
  receive(event: EnvoyEvent): void | Promise<void>;
  /** Envoy has ended or broken the stream; nothing can be sent any more. Called exactly once. */
  close(): void;
}

/** A promise that is returned asks to wait with more: it resolves when Envoy takes it again, or the stream is over. */
export type Send = (reply: Reply) => void | Promise<void>;

export type OpenExchange = (send: Send) => Exchange;

export interface ExtProcServer {
  /** Live exchanges. */
  readonly active: number;
  /** From now on health checks answer NOT_SERVING, so that Envoy sends new exchanges elsewhere; live ones go on. */
  stopServing(): void;
  /** Resolves when no exchange is live, or after `timeoutMs`. */
  idle(timeoutMs: number): Promise<void>;
  /** Ends what is left and closes the socket. */
  close(): Promise<void>;
}

export interface ExtProcServerOptions {
  /** `unix:/absolute/path` or `host:port`. */
  readonly listen: string;
  readonly openExchange: OpenExchange;
  /** A failure that no exchange answered: a broken protocol or a bug. */
  readonly onFault: (error: unknown) => void;
}

export async function startExtProcServer({
  listen,
  openExchange,
  onFault,
}: ExtProcServerOptions): Promise<ExtProcServer> {
  // Buffered bodies come in one message: the 4 MB default would break them. Envoy's own body limit is the real one.
  const server = new Server({ "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 });
  const health = createHealth();
  const idleWaiters = new Set<() => void>();
  let active = 0;

  const onClosed = () => {
    active -= 1;
    if (active > 0) return;
    for (const wake of idleWaiters) wake();
  };

  server.addService(processorService, {
    Process(call: ServerDuplexStream<ProcessingRequest__Output, ProcessingResponse>) {
      active += 1;
      serve(call, openExchange, onFault, onClosed);
    },
  });
  server.addService(healthService, health.handlers);
  await bind(server, listen);

  return {
    get active() {
      return active;
    },
    stopServing: () => health.set("NOT_SERVING"),
    async idle(timeoutMs) {
      if (active === 0) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, timeoutMs);
        idleWaiters.add(done);
        function done() {
          clearTimeout(timer);
          idleWaiters.delete(done);
          resolve();
        }
      });
    },
    async close() {
      health.set("NOT_SERVING");
      server.forceShutdown();
      if (listen.startsWith("unix:")) await rm(listen.slice("unix:".length), { force: true });
    },
  };
}

/** Events of one exchange that wait while one is in work; beyond that reading pauses. */
const MAX_WAITING = 8;

/** Couples one gRPC stream with one exchange. */
function serve(
  call: ServerDuplexStream<ProcessingRequest__Output, ProcessingResponse>,
  openExchange: OpenExchange,
  onFault: (error: unknown) => void,
  onClosed: () => void,
): void {
  let open = true;
  /** An event is in work; those that come meanwhile wait. Reading goes on, or Envoy's end would not be noticed. */
  let working = false;
  const waiting: EnvoyEvent[] = [];
  /** Envoy does not take what was written. */
  let congestion: PromiseWithResolvers<void> | undefined;

  const exchange = openExchange((reply) => {
    if (!open || call.writableEnded || call.destroyed || call.write(toMessage(reply))) return;
    congestion ??= congested();
    return congestion.promise;
  });

  function congested(): PromiseWithResolvers<void> {
    const relief = Promise.withResolvers<void>();
    call.pause();
    call.once("drain", () => {
      congestion = undefined;
      readOn();
      relief.resolve();
    });
    return relief;
  }

  const close = () => {
    if (!open) return;
    open = false;
    exchange.close();
    congestion?.resolve();
    onClosed();
  };

  const fail = (error: unknown) => {
    onFault(error);
    // Not destroy(): that sends nothing, and Envoy would wait for its message timeout.
    if (open && !call.writableEnded) call.emit("error", { code: status.INTERNAL, details: "exchange failed" });
    close();
  };

  function work(): void {
    while (open && !working) {
      const event = waiting.shift();
      if (event === undefined) break;
      const pending = exchange.receive(event);
      if (pending === undefined) continue;
      working = true;
      pending.then(workOn).catch(fail);
    }
    readOn();
  }

  function workOn(): void {
    working = false;
    work();
  }

  function readOn(): void {
    if (congestion === undefined && waiting.length < MAX_WAITING && call.isPaused()) call.resume();
  }

  call.on("data", (message: ProcessingRequest__Output) => {
    if (!open) return;
    try {
      const event = toEvent(message);
      if (event === undefined) throw new Error(`Envoy sent a message of an unknown kind: ${message.request}`);
      waiting.push(event);
      if (waiting.length >= MAX_WAITING) call.pause();
      work();
    } catch (error) {
      fail(error);
    }
  });
  call.on("end", () => {
    close();
    call.end();
  });
  call.on("cancelled", close);
  call.on("error", close);
  call.on("close", close);
}

function createHealth() {
  type Status = "SERVING" | "NOT_SERVING";
  let current: Status = "SERVING";
  const watchers = new Set<ServerWritableStream<HealthCheckRequest__Output, HealthCheckResponse>>();
  return {
    set(next: Status) {
      current = next;
      for (const watcher of watchers) watcher.write({ status: next });
    },
    handlers: {
      Check(
        _call: ServerUnaryCall<HealthCheckRequest__Output, HealthCheckResponse>,
        reply: sendUnaryData<HealthCheckResponse>,
      ) {
        reply(null, { status: current });
      },
      Watch(call: ServerWritableStream<HealthCheckRequest__Output, HealthCheckResponse>) {
        watchers.add(call);
        call.on("cancelled", () => {
          watchers.delete(call);
          call.end();
        });
        call.write({ status: current });
      },
    },
  };
}

async function bind(server: Server, listen: string): Promise<void> {
  const socket = listen.startsWith("unix:") ? listen.slice("unix:".length) : undefined;
  // A socket left by a process that was killed would make bind fail with EADDRINUSE.
  if (socket !== undefined) await rm(socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(listen, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  if (socket !== undefined) await chmod(socket, 0o600);
}
