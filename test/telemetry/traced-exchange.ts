/**
 * A process that traces one exchange as its environment says, for tracing.test.ts: the SDK's settings are a process's own.
 *
 * Takes the request's headers as JSON, prints what a test may want to know.
 */
import { createRequire } from "node:module";
import { createTracing } from "../../src/telemetry/tracing.ts";
import { closing, endpointOf, NOTHING_USED, observedCall } from "./observed-calls.ts";

const headers: Record<string, string> = JSON.parse(process.argv[2] ?? "{}");
const faults: string[] = [];
const tracing = await createTracing({
  environment: process.env,
  version: "1.2.3",
  endpointOf,
  onFault: (message) => faults.push(message),
});

const exchange = tracing.exchange({ header: (name) => headers[name], route: "/v1/chat/completions" });
const first = exchange.attempt(observedCall({ foundationModel: undefined, modelInvoked: "first-model" }));
first.answered(429);
first.ended(
  closing({ status: "error", httpStatus: 429, errorCode: "rate_limit_exceeded", usage: NOTHING_USED, cost: 0n }),
);
const second = exchange.attempt(observedCall({ id: "request-1/2" }));
second.answered(200);
second.ended(closing());
exchange.end({ status: 200, error: undefined, keyId: "key_0123456789abcdef0123" });

const begun = performance.now();
await tracing.shutdown();
const report = {
  traceId: exchange.traceId,
  shutdownMs: performance.now() - begun,
  loaded: Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes("@opentelemetry/sdk-node")),
  faults,
};
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit());
