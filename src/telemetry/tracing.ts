/**
 * Traces: a server span for each exchange, below it a client span for each attempt at Bedrock.
 *
 * OpenTelemetry's standard variables alone configure them, and nothing is traced until one of them says where to: then the
 * SDK is loaded (spans.ts), which adds 0.1 s and 22 MB to a service that runs (measured). Without it a span is one shared
 * object that does nothing. Spans hold ids, names of models, numbers and codes; never a prompt, an answer or a secret.
 * `traceparent` is read from the client's headers and goes no further: Bedrock has no use for it.
 */
import type { Endpoint } from "../bedrock/endpoints.ts";
import type { CallObserver, ObservedCall } from "./conventions.ts";

export interface Tracing {
  exchange(start: ExchangeStart): ExchangeSpan;
  /** Sends what has not been sent yet, for at most 2 seconds. Never rejects. */
  shutdown(): Promise<void>;
}

export interface ExchangeStart {
  /** A header of the request; Envoy's `:method` and `:scheme` among them. */
  readonly header: (name: string) => string | undefined;
  /** Where it leads, such as `/v1/chat/completions`; undefined where no route is known. Never what the client wrote. */
  readonly route: string | undefined;
}

export interface ExchangeSpan {
  /** 32 hex digits, for the log. Undefined when nothing is traced. */
  readonly traceId: string | undefined;
  attempt(call: ObservedCall): AttemptSpan;
  end(outcome: ExchangeOutcome): void;
}

export interface ExchangeOutcome {
  /** What the client was sent; 499 when it left before that. */
  readonly status: number;
  /** An error's code, or `interrupted`; undefined for a whole answer. */
  readonly error: string | undefined;
  /** Undefined where nobody was let in. */
  readonly keyId: string | undefined;
}

export interface AttemptSpan extends CallObserver {
  /** Bedrock's answer has begun. */
  answered(status: number): void;
}

export interface TracingOptions {
  /** Decides whether the SDK is loaded, which then reads its settings from the process's environment by itself. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly endpointOf: (region: string) => Endpoint;
  readonly now: () => number;
  /** Spans can't be sent, or a setting is wrong. The same again is said once a minute. */
  readonly onFault: (message: string) => void;
}

/** https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ */
export async function createTracing(options: TracingOptions): Promise<Tracing> {
  if (!isWanted(options.environment)) return NO_TRACING;
  const { startTracing } = await import("./spans.ts");
  return startTracing(options);
}

/** Empty is unset. */
function isWanted(environment: TracingOptions["environment"]): boolean {
  const set = (name: string) => environment[name]?.trim().toLowerCase() ?? "";
  if (set("OTEL_SDK_DISABLED") === "true") return false;
  const exporter = set("OTEL_TRACES_EXPORTER");
  if (exporter !== "") return exporter !== "none";
  return set("OTEL_EXPORTER_OTLP_ENDPOINT") !== "" || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") !== "";
}

const NO_ATTEMPT: AttemptSpan = { answered() {}, ended() {} };
const NO_EXCHANGE: ExchangeSpan = { traceId: undefined, attempt: () => NO_ATTEMPT, end() {} };
export const NO_TRACING: Tracing = { exchange: () => NO_EXCHANGE, shutdown: async () => {} };
