/**
 * Spans by OpenTelemetry's SDK: loaded by tracing.ts when somebody wants them.
 *
 * Names and attributes: https://opentelemetry.io/docs/specs/semconv/http/http-spans/ for the server span, the conventions for
 * generative AI (conventions.ts) for the client span; `bedrock_gateway.…` for what they have no name for. Of the SDK only
 * traces are used: metrics are Prometheus's, logs are pino's. Nothing is instrumented behind the code's back, and no context
 * is kept for it: a span gets its parent as an argument.
 */
import {
  type Attributes,
  type Context,
  DiagLogLevel,
  diag,
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { NodeSDK, resources } from "@opentelemetry/sdk-node";
import type { CallClosing } from "../store/store.ts";
import {
  allInputTokens,
  errorType,
  inUsd,
  type ObservedCall,
  PROVIDER,
  secondsToFirstToken,
  serverAddress,
} from "./conventions.ts";
import { withoutRepeats } from "./fault-reports.ts";
import type { AttemptSpan, ExchangeOutcome, ExchangeSpan, ExchangeStart, Tracing, TracingOptions } from "./tracing.ts";

const SERVICE = "bedrock-gateway";
const SHUTDOWN_MS = 2_000;
const MAX_REQUEST_ID = 128;

/** https://opentelemetry.io/docs/specs/semconv/registry/attributes/http/: any other one is `_OTHER`. */
const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]);

export function startTracing({ environment, version, endpointOf, now, onFault }: TracingOptions): Tracing {
  // OTEL_LOG_LEVEL makes the SDK write to the console instead.
  const report = withoutRepeats(onFault, now);
  diag.setLogger({ ...silent, warn: report, error: report }, { logLevel: DiagLogLevel.WARN });
  const sdk = new NodeSDK({
    // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before these.
    resource: resources
      .defaultResource()
      .merge(resources.resourceFromAttributes({ "service.name": SERVICE, "service.version": version })),
    // By default the SDK would also tell the command line and the user's name.
    ...(environment.OTEL_NODE_RESOURCE_DETECTORS === undefined && {
      resourceDetectors: [resources.envDetector, resources.hostDetector],
    }),
    instrumentations: [],
    metricReaders: [],
    logRecordProcessors: [],
  });
  sdk.start();
  const tracer = trace.getTracer(SERVICE, version);
  const attempt = attemptSpans(tracer, endpointOf);

  return {
    exchange(start) {
      const { name, attributes } = describe(start);
      const context = propagation.extract(ROOT_CONTEXT, start, HEADERS);
      const span = tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, context);
      return exchangeSpan(span, attempt);
    },
    async shutdown() {
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, SHUTDOWN_MS);
      await Promise.race([late, sdk.shutdown().catch((error: unknown) => onFault(String(error)))]);
      clearTimeout(timer);
    },
  };
}

const silent = { debug() {}, info() {}, verbose() {} };

/** Propagators ask for the headers that they know. */
const HEADERS: TextMapGetter<ExchangeStart> = {
  keys: () => [],
  get: ({ header }, name) => header(name),
};

function describe({ header, route }: ExchangeStart): { name: string; attributes: Attributes } {
  const given = header(":method") ?? "";
  const method = METHODS.has(given) ? given : "_OTHER";
  const shown = method === "_OTHER" ? "HTTP" : method;
  const attributes: Attributes = { "http.request.method": method };
  const scheme = header(":scheme");
  if (scheme === "http" || scheme === "https") attributes["url.scheme"] = scheme;
  const requestId = header("x-request-id");
  if (requestId !== undefined) attributes["bedrock_gateway.request.id"] = requestId.slice(0, MAX_REQUEST_ID);
  if (route === undefined) return { name: shown, attributes };
  attributes["http.route"] = route;
  return { name: `${shown} ${route}`, attributes };
}

type StartAttempt = (call: ObservedCall, parent: Context) => AttemptSpan;

function exchangeSpan(span: Span, attempt: StartAttempt): ExchangeSpan {
  const context = trace.setSpan(ROOT_CONTEXT, span);
  const own = span.spanContext();
  return {
    // Without an exporter that works there is no trace, and its id is all zeros.
    traceId: isSpanContextValid(own) ? own.traceId : undefined,
    attempt: (call) => attempt(call, context),
    end({ status, error, keyId }: ExchangeOutcome) {
      if (!span.isRecording()) return;
      span.setAttribute("http.response.status_code", status);
      if (keyId !== undefined) span.setAttribute("bedrock_gateway.key.id", keyId);
      if (error !== undefined) span.setAttribute("error.type", error);
      // A 4xx is the client's fault, not the server's; an error behind a 200 came after the answer had begun.
      const fault = error !== undefined && (status < 400 || status >= 500);
      if (fault) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    },
  };
}

function attemptSpans(tracer: Tracer, endpointOf: TracingOptions["endpointOf"]): StartAttempt {
  return (call, parent) => {
    const { operation = "chat", modelInvoked, foundationModel, stream, region } = call;
    const { address, port } = serverAddress(endpointOf(region));
    const attributes: Attributes = {
      "gen_ai.operation.name": operation,
      "gen_ai.provider.name": PROVIDER,
      "gen_ai.request.model": modelInvoked,
      "server.address": address,
      "server.port": port,
      "bedrock_gateway.attempt.id": call.id,
      "bedrock_gateway.dialect": call.dialect,
      "bedrock_gateway.key.id": call.keyId,
    };
    if (foundationModel !== undefined) attributes["gen_ai.response.model"] = foundationModel;
    if (stream) attributes["gen_ai.request.stream"] = true;
    if (call.team !== null) attributes["bedrock_gateway.team"] = call.team;
    const span = tracer.startSpan(`${operation} ${modelInvoked}`, { kind: SpanKind.CLIENT, attributes }, parent);
    return {
      answered(status) {
        if (span.isRecording()) span.setAttribute("http.response.status_code", status);
      },
      ended(closing) {
        if (!span.isRecording()) return;
        span.setAttributes(ending(call, closing));
        if (closing.status !== "ok") span.setStatus({ code: SpanStatusCode.ERROR });
        span.end();
      },
    };
  };
}

function ending(call: ObservedCall, closing: CallClosing): Attributes {
  const { usage, estimated, cost, bedrockRequestId, serviceTier } = closing;
  const firstToken = secondsToFirstToken(call, closing);
  const error = errorType(closing);
  return {
    "gen_ai.usage.input_tokens": allInputTokens(usage),
    "gen_ai.usage.output_tokens": usage.outputTokens,
    "gen_ai.usage.cache_read.input_tokens": usage.cacheReadTokens,
    "gen_ai.usage.cache_creation.input_tokens": usage.cacheWriteTokens,
    ...(usage.reasoningTokens !== undefined && { "gen_ai.usage.reasoning.output_tokens": usage.reasoningTokens }),
    ...(firstToken !== undefined && { "gen_ai.response.time_to_first_chunk": firstToken }),
    ...(bedrockRequestId !== undefined && { "aws.request_id": bedrockRequestId }),
    ...(serviceTier !== undefined && { "bedrock_gateway.service_tier": serviceTier }),
    ...(estimated && { "bedrock_gateway.usage.estimated": true }),
    ...(cost !== undefined && { "bedrock_gateway.cost_usd": inUsd(cost) }),
    ...(error !== undefined && { "error.type": error }),
  };
}
