/**
 * The service: configuration to store, access, models, ledger, ext_proc server and admin port, and back down again.
 */
import { createAuthenticator } from "./access/authenticate.ts";
import { createRequestLimiter } from "./access/request-limits.ts";
import { type AdminServer, startAdminServer } from "./admin/server.ts";
import { createBedrockClient } from "./bedrock/client.ts";
import { createConverseCalls, type SignedCall } from "./bedrock/converse-call.ts";
import { awsCredentials, bearerCredentials, type CredentialSource } from "./bedrock/credentials.ts";
import { type Egress, type IncomingAnswer, sendThrough } from "./bedrock/egress.ts";
import { type Endpoint, regionalEndpoint } from "./bedrock/endpoints.ts";
import type { AwsConfig, Config } from "./config.ts";
import { dialects } from "./dialects/index.ts";
import { createExchange } from "./extproc/exchange.ts";
import { type ExtProcServer, startExtProcServer } from "./extproc/server.ts";
import type { Logger } from "./log.ts";
import { createImageFetcher } from "./media/fetch-image.ts";
import { createPlanner } from "./models/call-plan.ts";
import { createCatalog } from "./models/catalog.ts";
import { createLessons } from "./models/lessons.ts";
import { createTargets } from "./models/targets.ts";
import { type OperatorConfig, parseOperatorConfig } from "./operator-config.ts";
import { openStore } from "./store/open.ts";
import { createCallRecorder } from "./usage/call-record.ts";
import { createLedger } from "./usage/ledger.ts";
import { createPrices } from "./usage/prices.ts";

export interface Gateway {
  readonly adminPort: number;
  /** Says NOT_SERVING to Envoy and not ready to whoever asks; requests are still answered. */
  stopServing(): void;
  /** From now on new requests get 503; what runs goes on. */
  stopAccepting(): void;
  /** Waits for running exchanges, at most `timeoutMs`. */
  idle(timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}

export interface GatewayOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly credentials?: CredentialSource;
  /** GATEWAY_CONFIG's content; without it the defaults. */
  readonly operator?: OperatorConfig;
}

/** Everything is up when this resolves; when it rejects nothing is left running. */
export async function startGateway({
  config,
  log,
  credentials = createCredentials(config, log),
  operator = parseOperatorConfig("", "", config.aws.region),
}: GatewayOptions): Promise<Gateway> {
  const { aws, egress } = config;
  const now = Date.now;
  const report = (message: string) => (error: unknown, requestId?: string) =>
    log.error({ err: error, ...(requestId === undefined ? {} : { request_id: requestId }) }, message);

  let accepting = true;
  const store = await openStore(config.databaseUrl);
  const client = createBedrockClient({ region: aws.region, endpoint: aws.control, egress, credentials });
  const catalog = createCatalog({ client, now, onError: report("the model catalog was not refreshed") });
  const targets = createTargets(catalog, aws.region, {
    aliases: operator.models.aliases,
    fallbacks: operator.models.fallbacks,
    automaticProfiles: operator.profiles.automatic,
  });
  const services = {
    dialects,
    authenticator: createAuthenticator({
      store,
      now,
      onTouchError: report("a key's time of last use was not written"),
    }),
    limiter: createRequestLimiter(),
    catalog,
    targets,
    planner: createPlanner({
      targets,
      lessons: createLessons(),
      overrides: operator.models.capabilities,
      autoCache: operator.caching.auto,
    }),
    calls: createConverseCalls({ endpointOf: runtimeOf(aws), credentials, now }),
    buckets: operator.s3.buckets,
    fetchImage: createImageFetcher(operator.images.fetch),
    egress: (signed: SignedCall, signal: AbortSignal) => sendSigned(egress, signed, signal),
    recorder: createCallRecorder({
      ledger: createLedger(store.calls),
      prices: createPrices(operator.prices),
      now,
      log: (line) => log.info(line, "call"),
      onFault: report("a call's row was not closed"),
    }),
    now,
    accepting: () => accepting,
    onRefused: (line: Record<string, unknown>) => log.info(line, "refused"),
    onFault: report("request failed"),
  };

  let draining = false;
  let extProc: ExtProcServer | undefined;
  let admin: AdminServer;
  try {
    extProc = await startExtProcServer({
      listen: config.extProcListen,
      openExchange: (send) => createExchange(services, send),
      onFault: report("ext_proc stream failed"),
    });
    admin = await startAdminServer({ ...config.admin, notReady: () => (draining ? "draining" : undefined) });
  } catch (error) {
    await extProc?.close();
    await store.close();
    throw error;
  }

  const server = extProc;
  return {
    adminPort: admin.port,
    stopServing() {
      draining = true;
      server.stopServing();
    },
    stopAccepting() {
      accepting = false;
    },
    idle: (timeoutMs) => server.idle(timeoutMs),
    async close() {
      await server.close();
      await admin.close();
      await store.close();
    },
  };
}

/** An endpoint of the operator's own stands for Bedrock as a whole, whichever region a call is signed for. */
function runtimeOf(aws: AwsConfig): (region: string) => Endpoint {
  return (region) =>
    region === aws.region || aws.runtimeServesAll
      ? aws.runtime
      : regionalEndpoint("bedrock-runtime", region, aws.endpoints);
}

function sendSigned(egress: Egress | undefined, signed: SignedCall, signal: AbortSignal): Promise<IncomingAnswer> {
  const { authority, route, path, headers, body } = signed;
  return sendThrough(egress, {
    endpoint: { authority, tls: route === "tls" },
    method: "POST",
    path,
    headers: { ...headers, host: authority, "content-length": String(body.length) },
    body,
    signal,
  });
}

export function createCredentials({ aws }: Config, log: Logger): CredentialSource {
  if (aws.bearerToken !== undefined) return bearerCredentials(aws.bearerToken);
  // The chain's reason is one sentence; its stack tells an operator nothing.
  const reason = (error: unknown) => (error instanceof Error ? error.message : String(error));
  return awsCredentials({
    onError: (error) => log.error({ reason: reason(error) }, "AWS credentials could not be loaded"),
  });
}
