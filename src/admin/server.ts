/**
 * The operator's port, on loopback by default: liveness and readiness.
 *
 * /livez says that the process answers, /readyz that it may get traffic: not while it starts or drains.
 */
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import type { Address } from "../config.ts";

export interface AdminServer {
  readonly port: number;
  close(): Promise<void>;
}

export interface AdminServerOptions extends Address {
  /** Undefined when ready, else the reason why not. */
  readonly notReady: () => string | undefined;
}

/** Rejects with a message that names ADMIN_PORT when the port is taken. */
export async function startAdminServer({ host, port, notReady }: AdminServerOptions): Promise<AdminServer> {
  const app = new Hono();
  app.get("/livez", (context) => context.json({ status: "ok" }));
  app.get("/readyz", (context) => {
    const reason = notReady();
    return reason === undefined ? context.json({ status: "ok" }) : context.json({ status: "unavailable", reason }, 503);
  });

  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname: host, port }, (address) => {
      resolve({
        port: address.port,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            if ("closeAllConnections" in server) server.closeAllConnections();
          }),
      });
    });
    server.once("error", (error: NodeJS.ErrnoException) => {
      const taken = error.code === "EADDRINUSE";
      reject(
        taken ? new Error(`Port ${port} on ${host} is in use; set ADMIN_PORT to a free one.`, { cause: error }) : error,
      );
    });
  });
}
