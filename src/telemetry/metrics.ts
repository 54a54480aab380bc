/**
 * The gateway's metrics, for Prometheus: `GET /metrics` of the admin port, one registry a process.
 *
 * Calls are counted when they end (call-metrics.ts), refusals when they are answered; what others know already is asked for
 * when somebody scrapes. No label holds a text that a client can choose. Node's and the process's own metrics keep the names
 * that every Node service gives them (`process_…`, `nodejs_…`), so that existing dashboards and alerts read them.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import type { Endpoint } from "../bedrock/endpoints.ts";
import type { ErrorCode, ReachedLimit } from "../errors.ts";
import { boundLabel } from "./bounded-labels.ts";
import { createCallMetrics } from "./call-metrics.ts";
import type { CallObserver, ObservedCall } from "./conventions.ts";

export interface Metrics {
  /** Of what `render` gives. */
  readonly contentType: string;
  /** An attempt is forwarded: counted as in flight until it has ended. */
  call(call: ObservedCall): CallObserver;
  /** A request was answered without being forwarded. `dialect` is undefined where its path says none. */
  refused(code: ErrorCode, dialect: string | undefined): void;
  /** A limit refused a request. */
  limited(reached: ReachedLimit): void;
  /** An attempt failed with `cause` and another one was made: with what was amended, or, a fallback, elsewhere. */
  recovering(cause: ErrorCode, fallback: boolean): void;
  /** A row could not be written: a call that was refused for it, or one that stays open. */
  ledgerFailed(operation: "open" | "close"): void;
  /** Says who knows the value. One that fails leaves its gauge out of the scrape. */
  gauge(name: GaugeName, read: () => number): void;
  render(): Promise<string>;
}

export type GaugeName = keyof typeof GAUGES;

/** `bedrock_gateway_…`, for values that somebody else keeps. */
export const GAUGES = {
  ext_proc_streams: "HTTP exchanges that are open with Envoy.",
  ledger_rows_waiting: "Ended calls whose rows are still to be closed.",
  store_up: "1 when the last access to the database went well.",
  valkey_up: "1 when limits are shared through Valkey, 0 while this process counts alone because it can't be reached.",
} as const;

export interface MetricsOptions {
  readonly version: string;
  /** Whether a model id is one that the catalog or the operator names: no other one becomes a label. */
  readonly knownModel: (modelId: string) => boolean;
  /** Where a region's calls go. */
  readonly endpointOf: (region: string) => Endpoint;
  /** Counts by key and team too, for at most 1,000 of them. */
  readonly keyLabels: boolean;
}

/** There are a handful. */
const MAX_DIALECTS = 20;

export function createMetrics({ version, keyLabels, knownModel, endpointOf }: MetricsOptions): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const callEnded = createCallMetrics({ registry, keyLabels, knownModel, endpointOf });

  const counter = (name: string, help: string, labelNames: readonly string[]) =>
    new Counter({ name: `bedrock_gateway_${name}`, help, labelNames: [...labelNames], registers });
  const refusals = counter("refusals_total", "Requests that were answered without being forwarded, by error code.", [
    "error_type",
    "dialect",
  ]);
  const limits = counter("limit_refusals_total", "Requests that a limit refused, by limit and whose it is.", [
    "limit",
    "subject",
  ]);
  const recoveries = counter("recovery_attempts_total", "Attempts that followed on a failed one, by its error code.", [
    "error_type",
    "fallback",
  ]);
  const ledgerFailures = counter("ledger_write_failures_total", "Rows of the ledger that could not be written.", [
    "operation",
  ]);
  // A rate of something that has not been there before starts with a gap: these two must not.
  for (const operation of ["open", "close"]) ledgerFailures.inc({ operation }, 0);
  for (const limit of ["rpm", "tpm", "parallel", "budget"] satisfies ReachedLimit["limit"][]) {
    for (const subject of ["key", "team"]) limits.inc({ limit, subject }, 0);
  }

  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `bedrock_gateway_${name}`,
      help,
      registers,
      collect() {
        try {
          this.set(read());
        } catch {
          this.remove();
        }
      },
    });
  new Gauge({
    name: "bedrock_gateway_build_info",
    help: "1; the labels say what runs.",
    labelNames: ["version", "node_version"],
    registers,
  }).set({ version, node_version: process.version }, 1);

  let inFlight = 0;
  gauge("calls_in_flight", "Attempts that have been forwarded and have not ended.", () => inFlight);
  const dialectLabel = boundLabel(MAX_DIALECTS);

  return {
    contentType: registry.contentType,
    call(call) {
      inFlight += 1;
      let ended = false;
      return {
        ended(closing) {
          if (ended) return;
          ended = true;
          inFlight -= 1;
          callEnded(call, closing);
        },
      };
    },
    refused(code, dialect) {
      refusals.inc({ error_type: code, ...(dialect !== undefined && { dialect: dialectLabel(dialect) }) });
    },
    limited: ({ limit, subject }) => limits.inc({ limit, subject }),
    recovering: (cause, fallback) => recoveries.inc({ error_type: cause, fallback: String(fallback) }),
    ledgerFailed: (operation) => ledgerFailures.inc({ operation }),
    gauge(name, read) {
      gauge(name, GAUGES[name], read);
    },
    render: () => registry.metrics(),
  };
}
