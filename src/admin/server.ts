/** Serves the admin port. */
import { type ServerType, serve } from "@hono/node-server";
import type { Address } from "../config.ts";
import type { AdminApp } from "./gate.ts";

export interface AdminServer {
  readonly port: number;
  /** Connections without a request end at once, the others with their answer, or soon. */
  close(): Promise<void>;
}

export interface AdminServerOptions extends Address {
  readonly app: Pick<AdminApp, "fetch">;
}

const MAX_CONNECTIONS = 500;
const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
const CLOSE_MS = 2000;
const IDLE_CHECK_MS = 20;

/** Rejects with a message that names ADMIN_PORT when the port is taken. */
export async function startAdminServer({ host, port, app }: AdminServerOptions): Promise<AdminServer> {
  return new Promise((resolve, reject) => {
    const serverOptions = { headersTimeout: HEADERS_MS, requestTimeout: REQUEST_MS };
    const server = serve({ fetch: app.fetch, hostname: host, port, serverOptions }, (address) => {
      resolve({ port: address.port, close: () => close(server) });
    });
    if ("maxConnections" in server) server.maxConnections = MAX_CONNECTIONS;
    server.once("error", (error: NodeJS.ErrnoException) => {
      const taken = error.code === "EADDRINUSE";
      reject(
        taken ? new Error(`Port ${port} on ${host} is in use; set ADMIN_PORT to a free one.`, { cause: error }) : error,
      );
    });
  });
}

async function close(server: ServerType): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  if (!("closeAllConnections" in server)) return promise;
  // A connection becomes idle when its answer is sent, and a client may keep it for long.
  const idle = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
  const soon = setTimeout(() => server.closeAllConnections(), CLOSE_MS);
  await promise;
  clearInterval(idle);
  clearTimeout(soon);
}
