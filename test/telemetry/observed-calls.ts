/** Calls and how they ended, for the tests of metrics and traces. */
import type { CallClosing } from "../../src/store/store.ts";
import type { ObservedCall } from "../../src/telemetry/conventions.ts";
import { createMetrics, type Metrics, type MetricsOptions } from "../../src/telemetry/metrics.ts";
import { type Exposition, parseMetrics, type Sample } from "./prometheus-text.ts";

export const MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

export const endpointOf = (region: string) => ({
  authority: `bedrock-runtime.${region}.amazonaws.com`,
  tls: true,
  basePath: "",
});

/** A streamed call that began at 10 s. */
export function observedCall(call: Partial<ObservedCall> = {}): ObservedCall {
  return {
    id: "request-1",
    keyId: "key_0123456789abcdef0123",
    team: "search",
    dialect: "openai-chat",
    modelInvoked: MODEL,
    foundationModel: MODEL.slice("us.".length),
    region: "us-east-1",
    stream: true,
    startedAt: 10_000,
    ...call,
  };
}

/** Whole after 3 s, its first token after half of one. */
export function closing(how: Partial<CallClosing> = {}): CallClosing {
  return {
    status: "ok",
    httpStatus: 200,
    usage: { inputTokens: 100, outputTokens: 51, cacheReadTokens: 30, cacheWriteTokens: 7 },
    estimated: false,
    cost: 1_500_000_000_000n,
    finishedAt: 13_000,
    firstTokenAt: 10_500,
    bedrockRequestId: "bedrock-1",
    ...how,
  };
}

export function unpricedClosing(): CallClosing {
  const { cost: _cost, ...rest } = closing();
  return rest;
}

export const NOTHING_USED = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };

export function testMetrics(options: Partial<MetricsOptions> = {}) {
  const metrics = createMetrics({ version: "1.2.3", knownModel: () => true, endpointOf, keyLabels: false, ...options });
  return {
    metrics,
    end: (call: Partial<ObservedCall> = {}, how: Partial<CallClosing> = {}) =>
      metrics.call(observedCall(call)).ended(closing(how)),
  };
}

export async function scrape(metrics: Metrics): Promise<Exposition> {
  return parseMetrics(await metrics.render());
}

export async function samplesOf(metrics: Metrics, name: string): Promise<readonly Sample[]> {
  return (await scrape(metrics)).samples.filter((sample) => sample.name === name);
}

/** Of the samples with these labels, whatever others they have. */
export async function sumOf(metrics: Metrics, name: string, labels: Record<string, string> = {}): Promise<number> {
  const samples = await samplesOf(metrics, name);
  const matching = samples.filter((sample) =>
    Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  );
  return matching.reduce((sum, { value }) => sum + value, 0);
}
