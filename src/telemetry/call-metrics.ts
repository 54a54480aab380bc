/**
 * What is counted for each attempt, when it has ended: the histograms of OpenTelemetry's conventions for generative AI, and
 * counters for what they have no name for.
 *
 * Names as OpenTelemetry writes them for Prometheus: dots become underscores, the unit goes to the end, `{token}` is none.
 * The conventions count tokens only where Bedrock gave their number, cached ones among the input's; the gateway's own
 * counter tells the kinds apart and has estimates too. Left out: `gen_ai.client.operation.duration`, which would repeat
 * `gen_ai.server.request.duration`.
 *
 * Adding to a series costs 0.8 µs in prom-client, which joins its labels to find it; all that a streamed answer adds takes
 * 6 µs, 8 µs with the series of keys (measured). The labels themselves are put together once for each model.
 */
import { Counter, Histogram, type Registry } from "prom-client";
import type { Endpoint } from "../bedrock/endpoints.ts";
import type { CallClosing, TokenUsage } from "../store/store.ts";
import { type BoundLabel, boundLabel, OTHER } from "./bounded-labels.ts";
import {
  allInputTokens,
  errorType,
  inUsd,
  type ObservedCall,
  PROVIDER,
  seconds,
  secondsToFirstToken,
  serverAddress,
} from "./conventions.ts";

export interface CallMetricsOptions {
  readonly registry: Registry;
  /** Whether a model id is one that the catalog or the operator names: no other one becomes a label. */
  readonly knownModel: (modelId: string) => boolean;
  readonly endpointOf: (region: string) => Endpoint;
  /** Counts by key and team too. */
  readonly keyLabels: boolean;
}

/** From here on models are `other`. */
export const MAX_MODELS = 200;

/** Keys with their teams, and again teams alone. */
export const MAX_KEYS = 1_000;

/** Regions come from the operator, of whom we expect no more. */
const MAX_REGIONS = 50;

const DURATION_BUCKETS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const FIRST_TOKEN_BUCKETS = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const PER_TOKEN_BUCKETS = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5];
const TOKEN_BUCKETS = Array.from({ length: 14 }, (_, power) => 4 ** power);

const PLACE = [
  "gen_ai_operation_name",
  "gen_ai_provider_name",
  "gen_ai_request_model",
  "gen_ai_response_model",
  "server_address",
  "server_port",
] as const;

type Labels = Record<string, string>;

/** The series of one model in one place. */
interface ModelSeries {
  readonly duration: (error: string | undefined) => Histogram.Internal<string>;
  readonly firstToken: Histogram.Internal<string>;
  readonly perToken: Histogram.Internal<string>;
  readonly inputTokens: Histogram.Internal<string>;
  readonly outputTokens: Histogram.Internal<string>;
  readonly tokens: TokenCounters;
  readonly cost: Counter.Internal;
  readonly unpriced: Counter.Internal;
  readonly estimated: Counter.Internal;
  readonly throttled: Counter.Internal;
}

interface KeySeries {
  readonly calls: Counter.Internal;
  readonly tokens: TokenCounters;
  readonly cost: Counter.Internal;
}

type TokenCounters = Readonly<Record<"input" | "output" | "cache_read" | "cache_write", Counter.Internal>>;

export function createCallMetrics(options: CallMetricsOptions): (call: ObservedCall, closing: CallClosing) => void {
  const seriesOfModel = modelSeries(options);
  const seriesOfKey = options.keyLabels ? keySeries(options.registry) : undefined;

  return (call, closing) => {
    observeModel(seriesOfModel(call), call, closing);
    if (seriesOfKey !== undefined) observeKey(seriesOfKey(call), closing);
  };
}

function observeModel(series: ModelSeries, call: ObservedCall, closing: CallClosing): void {
  const { usage, estimated, cost } = closing;
  const duration = seconds(closing.finishedAt - call.startedAt);
  series.duration(errorType(closing)).observe(duration);
  if (closing.status === "ok") observePace(series, duration, call, closing);
  countTokens(series.tokens, usage);
  if (estimated) series.estimated.inc();
  else observeUsage(series, usage);
  if (cost === undefined) series.unpriced.inc();
  else if (cost > 0n) series.cost.inc(inUsd(cost));
  if (closing.errorCode === "rate_limit_exceeded") series.throttled.inc();
}

/** What Bedrock refused has used nothing, and is no call of zero tokens. */
function observeUsage(series: ModelSeries, usage: TokenUsage): void {
  const inputTokens = allInputTokens(usage);
  if (inputTokens + usage.outputTokens === 0) return;
  series.inputTokens.observe(inputTokens);
  series.outputTokens.observe(usage.outputTokens);
}

/** How fast an answer came, where it came as a stream. */
function observePace(series: ModelSeries, duration: number, call: ObservedCall, closing: CallClosing): void {
  const firstToken = secondsToFirstToken(call, closing);
  if (firstToken === undefined) return;
  series.firstToken.observe(firstToken);
  const { outputTokens } = closing.usage;
  if (!closing.estimated && outputTokens > 1) {
    series.perToken.observe(Math.max(0, duration - firstToken) / (outputTokens - 1));
  }
}

function observeKey(series: KeySeries, { usage, cost }: CallClosing): void {
  series.calls.inc();
  countTokens(series.tokens, usage);
  if (cost !== undefined && cost > 0n) series.cost.inc(inUsd(cost));
}

function countTokens(counters: TokenCounters, usage: TokenUsage): void {
  if (usage.inputTokens > 0) counters.input.inc(usage.inputTokens);
  if (usage.outputTokens > 0) counters.output.inc(usage.outputTokens);
  if (usage.cacheReadTokens > 0) counters.cache_read.inc(usage.cacheReadTokens);
  if (usage.cacheWriteTokens > 0) counters.cache_write.inc(usage.cacheWriteTokens);
}

function modelSeries({ registry, knownModel, endpointOf }: CallMetricsOptions): (call: ObservedCall) => ModelSeries {
  const registers = [registry];
  const histogram = (name: string, help: string, buckets: number[], labels: readonly string[] = []) =>
    new Histogram({ name, help, buckets, labelNames: [...PLACE, ...labels], registers });
  const counter = (name: string, help: string, labels: readonly string[] = []) =>
    new Counter({ name, help, labelNames: ["gen_ai_request_model", ...labels], registers });

  const duration = histogram(
    "gen_ai_server_request_duration_seconds",
    "From a request's body to its answer's last byte, for each attempt. error_type is missing for whole answers.",
    DURATION_BUCKETS,
    ["error_type"],
  );
  const firstToken = histogram(
    "gen_ai_server_time_to_first_token_seconds",
    "Until the first token of a streamed answer.",
    FIRST_TOKEN_BUCKETS,
  );
  const perToken = histogram(
    "gen_ai_server_time_per_output_token_seconds",
    "For each output token after the first one, of streamed answers.",
    PER_TOKEN_BUCKETS,
  );
  const usage = histogram(
    "gen_ai_client_token_usage",
    "Tokens of an attempt, in Bedrock's numbers; input has cached ones too.",
    TOKEN_BUCKETS,
    ["gen_ai_token_type"],
  );
  const tokens = counter("bedrock_gateway_tokens_total", "Tokens by kind, estimated ones too.", ["gen_ai_token_type"]);
  const cost = counter("bedrock_gateway_cost_usd_total", "What calls cost, in USD, rounded. The ledger is exact.");
  const unpriced = counter("bedrock_gateway_unpriced_calls_total", "Attempts that no price was found for.");
  const estimated = counter("bedrock_gateway_estimated_calls_total", "Attempts whose usage never arrived.");
  const throttled = counter("bedrock_gateway_bedrock_throttles_total", "Attempts that Bedrock refused as too many.");

  function create(labels: Labels): ModelSeries {
    const model = { gen_ai_request_model: labels.gen_ai_request_model ?? OTHER };
    return {
      duration: once((error) => duration.labels(error === undefined ? labels : { ...labels, error_type: error })),
      firstToken: firstToken.labels(labels),
      perToken: perToken.labels(labels),
      inputTokens: usage.labels({ ...labels, gen_ai_token_type: "input" }),
      outputTokens: usage.labels({ ...labels, gen_ai_token_type: "output" }),
      tokens: tokenCounters(tokens, model),
      cost: cost.labels(model),
      unpriced: unpriced.labels(model),
      estimated: estimated.labels(model),
      throttled: throttled.labels(model),
    };
  }

  const requestModel = boundLabel(MAX_MODELS, knownModel);
  const responseModel = boundLabel(MAX_MODELS, knownModel);
  const place = boundPlace(endpointOf);
  const known = new Map<string, ModelSeries>();
  return ({ modelInvoked, foundationModel, region, operation = "chat" }) => {
    const request = requestModel(modelInvoked);
    const response = foundationModel === undefined ? "" : responseModel(foundationModel);
    const where = place(region);
    const key = `${operation} ${request} ${response} ${where.server_address}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    const series = create({
      gen_ai_operation_name: operation,
      gen_ai_provider_name: PROVIDER,
      gen_ai_request_model: request,
      ...(response !== "" && { gen_ai_response_model: response }),
      ...where,
    });
    known.set(key, series);
    return series;
  };
}

function boundPlace(endpointOf: (region: string) => Endpoint): (region: string) => Labels {
  const region = boundLabel(MAX_REGIONS);
  const place = once((name: string): Labels => {
    if (name === OTHER) return { server_address: OTHER, server_port: "443" };
    const { address, port } = serverAddress(endpointOf(name));
    return { server_address: address, server_port: String(port) };
  });
  return (name) => place(region(name));
}

function keySeries(registry: Registry): (call: ObservedCall) => KeySeries {
  const counter = (name: string, help: string, labels: readonly string[] = []) =>
    new Counter({ name, help, labelNames: ["key_id", "team", ...labels], registers: [registry] });
  const calls = counter("bedrock_gateway_key_calls_total", "Attempts that were forwarded, by key and its team.");
  const tokens = counter("bedrock_gateway_key_tokens_total", "Tokens by key and its team, estimated ones too.", [
    "gen_ai_token_type",
  ]);
  const cost = counter("bedrock_gateway_key_cost_usd_total", "Cost in USD by key and its team, rounded.");

  const create = (labels: Labels): KeySeries => ({
    calls: calls.labels(labels),
    tokens: tokenCounters(tokens, labels),
    cost: cost.labels(labels),
  });

  // A key that has moved counts with each team that it was in: it is the pairs that have to be few.
  const pair: BoundLabel = boundLabel(MAX_KEYS);
  const team: BoundLabel = boundLabel(MAX_KEYS);
  const known = new Map<string, KeySeries>();
  return (call) => {
    const own = pair(`${call.keyId} ${call.team ?? ""}`);
    const shownTeam = own === OTHER ? team(call.team ?? "") : (call.team ?? "");
    const name = own === OTHER ? `${OTHER} ${shownTeam}` : own;
    const found = known.get(name);
    if (found !== undefined) return found;
    const series = create({
      key_id: own === OTHER ? OTHER : call.keyId,
      ...(shownTeam !== "" && { team: shownTeam }),
    });
    known.set(name, series);
    return series;
  };
}

function tokenCounters(counter: Counter, labels: Labels): TokenCounters {
  const of = (type: string) => counter.labels({ ...labels, gen_ai_token_type: type });
  return { input: of("input"), output: of("output"), cache_read: of("cache_read"), cache_write: of("cache_write") };
}

/** Keeps what was made for each of a few keys. */
function once<K, V>(make: (key: K) => V): (key: K) => V {
  const made = new Map<K, V>();
  return (key) => {
    const found = made.get(key);
    if (found !== undefined) return found;
    const value = make(key);
    made.set(key, value);
    return value;
  };
}
