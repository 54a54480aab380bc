/**
 * A process that traces exchanges as its environment says, for tracing.test.ts: the SDK's settings are a process's own.
 *
 * Takes the requests' headers as a JSON array, prints what a test may want to know.
 */
import { createRequire } from "node:module";
import { metrics } from "@opentelemetry/api";
import { createTracing, type Tracing } from "../../src/telemetry/tracing.ts";
import { closing, endpointOf, NOTHING_USED, observedCall } from "./observed-calls.ts";

const requests: readonly Readonly<Record<string, string>>[] = JSON.parse(process.argv[2] ?? "[]");
const faults: string[] = [];
const tracing = await createTracing({
  environment: process.env,
  version: "1.2.3",
  endpointOf,
  now: Date.now,
  onFault: (message) => faults.push(message),
});
const traceIds = requests.map((headers) => traceExchange(tracing, headers) ?? null);
// Somebody's own: the SDK's metrics are off.
metrics.getMeter("test").createCounter("test").add(1);

const begun = performance.now();
await tracing.shutdown();
const report = {
  traceIds,
  shutdownMs: performance.now() - begun,
  loaded: Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes("@opentelemetry/sdk-node")),
  faults,
};
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit());

/** Two attempts, the first of which Bedrock throttles. */
function traceExchange({ exchange }: Tracing, headers: Readonly<Record<string, string>>): string | undefined {
  const span = exchange({ header: (name) => headers[name], route: "/v1/chat/completions" });
  const first = span.attempt(observedCall({ foundationModel: undefined, modelInvoked: "first-model" }));
  first.answered(429);
  first.ended(
    closing({ status: "error", httpStatus: 429, errorCode: "rate_limit_exceeded", usage: NOTHING_USED, cost: 0n }),
  );
  const second = span.attempt(observedCall({ id: "request-1/2" }));
  second.answered(200);
  second.ended(closing());
  span.end({ status: 200, error: undefined, keyId: "key_0123456789abcdef0123" });
  // What comes too late changes nothing.
  first.answered(200);
  first.ended(closing());
  span.end({ status: 503, error: "unavailable", keyId: undefined });
  return span.traceId;
}
