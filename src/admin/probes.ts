/**
 * What machines ask for without a token: /livez says that the process answers, /readyz that it may get traffic (not while it
 * starts or drains), /metrics what Prometheus collects.
 */
import type { AdminApp } from "./gate.ts";
import { failure, ok, operation } from "./openapi.ts";
import { statusJson } from "./schemas.ts";

export interface ProbesOptions {
  /** Undefined when ready, else the reason why not. */
  readonly notReady: () => string | undefined;
  /** In Prometheus' text format. */
  readonly metrics?: (() => Promise<string>) | undefined;
}

const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export function mountProbes(app: AdminApp, { notReady, metrics }: ProbesOptions): void {
  const probe = { tag: "operation", open: true } as const;

  app.get(
    "/livez",
    operation({ ...probe, summary: "Whether the process answers", answers: { 200: ok("It does", statusJson) } }),
    (context) => context.json({ status: "ok" }),
  );

  app.get(
    "/readyz",
    operation({
      ...probe,
      summary: "Whether the gateway may get traffic",
      answers: { 200: ok("It may", statusJson), 503: ok("It starts or drains", statusJson) },
    }),
    (context) => {
      const reason = notReady();
      if (reason === undefined) return context.json({ status: "ok" });
      return context.json({ status: "unavailable", reason }, 503);
    },
  );

  if (metrics === undefined) return;
  // Anybody may ask, and an answer may take 100 ms to make: those who ask meanwhile get the same one.
  let rendering: Promise<string> | undefined;
  const shared = () => {
    rendering ??= metrics().finally(() => {
      rendering = undefined;
    });
    return rendering;
  };
  app.get(
    "/metrics",
    operation({
      ...probe,
      summary: "Metrics for Prometheus",
      answers: {
        200: { description: "In its text format", content: { "text/plain": undefined } },
        403: failure("Asked under a host name that is not the gateway's"),
      },
    }),
    async (context) => context.body(await shared(), 200, { "content-type": METRICS_TYPE }),
  );
}
