/**
 * The service: configuration to store, access, models, ledger, ext_proc server and admin port, and back down again.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { createAuthenticator } from "./access/authenticate.ts";
import { budgetRefusal, createBudgetGate } from "./access/budgets.ts";
import { createKeys } from "./access/keys.ts";
import { createLimiter } from "./access/limits.ts";
import { createTeams } from "./access/teams.ts";
import { createAdminApp } from "./admin/app.ts";
import { usagePage } from "./admin/page/index.ts";
import { startAdminServer } from "./admin/server.ts";
import { createBedrockClient } from "./bedrock/client.ts";
import { createConverseCalls, type SignedCall } from "./bedrock/converse-call.ts";
import { awsCredentials, bearerCredentials, type CredentialSource } from "./bedrock/credentials.ts";
import { type Egress, type IncomingAnswer, sendThrough } from "./bedrock/egress.ts";
import { type Endpoint, regionalEndpoint } from "./bedrock/endpoints.ts";
import { createModelCalls } from "./bedrock/model-call.ts";
import type { AwsConfig, Config, Environment } from "./config.ts";
import { dialects, embeddingsDialects } from "./dialects/index.ts";
import { createExchange, type Refusal } from "./extproc/exchange.ts";
import { startExtProcServer } from "./extproc/server.ts";
import { createAnswerArchive } from "./extproc/stored-answers.ts";
import type { Logger } from "./log.ts";
import { createImageFetcher } from "./media/fetch-image.ts";
import { createPlanner } from "./models/call-plan.ts";
import { type Catalog, createCatalog } from "./models/catalog.ts";
import { createLessons } from "./models/lessons.ts";
import { createTargets } from "./models/targets.ts";
import { type OperatorConfig, parseOperatorConfig } from "./operator-config.ts";
import { openStore } from "./store/open.ts";
import { createMetrics } from "./telemetry/metrics.ts";
import { createTracing } from "./telemetry/tracing.ts";
import { createCallRecorder } from "./usage/call-record.ts";
import { createLedger } from "./usage/ledger.ts";
import { createPrices } from "./usage/prices.ts";
import { startUpkeep } from "./usage/upkeep.ts";

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

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
  /** For OpenTelemetry's variables, which say whether and where to traces go; without it nothing is traced. */
  readonly environment?: Environment;
}

/** How long closings that the database has not taken yet may hold up the end. */
const LEDGER_DRAIN_MS = 5_000;

/** Everything is up when this resolves; when it rejects nothing is left running. */
export async function startGateway({
  config,
  log,
  credentials = createCredentials(config, log),
  operator = parseOperatorConfig("", "", config.aws.region),
  environment = {},
}: GatewayOptions): Promise<Gateway> {
  const { aws, egress } = config;
  const now = Date.now;
  const report = (message: string) => (error: unknown, requestId?: string) =>
    log.error({ err: error, ...(requestId === undefined ? {} : { request_id: requestId }) }, message);

  let accepting = true;
  let draining = false;
  const self = { id: randomUUID(), host: hostname(), pid: process.pid, startedAt: now() };
  const endpointOf = runtimeOf(aws);
  const prices = createPrices(operator.prices);
  const { aliases, fallbacks } = operator.models;
  const client = createBedrockClient({ region: aws.region, endpoint: aws.control, egress, credentials });
  const catalog = createCatalog({ client, now, onError: report("the model catalog was not refreshed") });
  const targets = createTargets(catalog, aws.region, {
    aliases,
    fallbacks,
    automaticProfiles: operator.profiles.automatic,
  });
  const metrics = createMetrics({
    version,
    keyLabels: operator.metrics.keyLabels,
    knownModel: modelsByName(catalog, config, operator, now),
    endpointOf,
  });
  const tracing = await createTracing({
    environment,
    version,
    endpointOf,
    now,
    onFault: (message) => log.warn(message),
  });
  const limiter = createLimiter({ redis: sharedLimits(config, operator, log) });
  if (config.redisUrl !== undefined) metrics.gauge("valkey_up", () => (limiter.lost ? 0 : 1));
  // What has been started, to be ended in the opposite order.
  const started: (() => Promise<unknown>)[] = [() => tracing.shutdown(), () => limiter.close()];
  const end = async () => {
    while (started.length > 0) await started.pop()?.();
  };

  try {
    const store = await openStore(config.databaseUrl);
    started.push(() => store.close());
    const upkeep = await startUpkeep({
      store,
      prices,
      self,
      keep: operator.retention,
      now,
      isAlive,
      onSwept: (calls) => log.warn({ calls }, "closed the calls of gateways that are gone, as estimates"),
      onFault: (what, error) => log.error({ err: error }, what),
    });
    started.push(() => upkeep.close());
    const ledger = createLedger(store.calls, {
      now,
      onFault: (error, callId) => {
        metrics.ledgerFailed("close");
        report("a call's row was not closed")(error, callId);
      },
      onWaiting: (error) =>
        log.error({ err: error }, "the database takes no rows: ended calls wait, new ones are refused"),
      onWritten: () => log.warn("the database takes rows again, and all ended calls are written"),
    });
    started.push(async () => {
      const left = await ledger.drain(LEDGER_DRAIN_MS);
      if (left > 0) log.error({ calls: left }, "ended calls could not be written: they will be closed as estimates");
    });
    metrics.gauge("ledger_rows_waiting", () => ledger.waiting);
    let readable = true;
    metrics.gauge("store_up", () => (readable && !ledger.failing ? 1 : 0));

    const services = {
      dialects,
      embeddings: embeddingsDialects,
      authenticator: createAuthenticator({
        store,
        now,
        onRead: (well) => {
          readable = well;
        },
        onTouchError: report("a key's time of last use was not written"),
      }),
      budgets: createBudgetGate({ calls: store.calls, now }),
      limiter,
      tracing,
      catalog,
      targets,
      planner: createPlanner({
        targets,
        lessons: createLessons(),
        overrides: operator.models.capabilities,
        autoCache: operator.caching.auto,
      }),
      calls: createConverseCalls({ endpointOf, credentials, now }),
      modelCalls: createModelCalls({ endpointOf, credentials, now }),
      buckets: operator.s3.buckets,
      answers:
        operator.responses.store === undefined
          ? undefined
          : createAnswerArchive({ store: store.answers, keepMs: operator.responses.store, now }),
      fetchImage: createImageFetcher(operator.images.fetch),
      egress: (signed: SignedCall, signal: AbortSignal) => sendSigned(egress, signed, signal),
      recorder: createCallRecorder({
        ledger,
        prices,
        allowUnpriced: operator.limits.unpriced === "allow",
        instance: self.id,
        refused: (states) => budgetRefusal(states, now()),
        observe: metrics.call,
        now,
        log: (line) => log.info(line, "call"),
        onNotOpened: () => metrics.ledgerFailed("open"),
        onFault: report("a call's row was not closed"),
      }),
      now,
      accepting: () => accepting,
      onRecovering: metrics.recovering,
      onRefused: (refusal: Refusal) => {
        metrics.refused(refusal.error, refusal.dialect);
        if (refusal.reached !== undefined) metrics.limited(refusal.reached);
        log.info(refusal, "refused");
      },
      onFault: report("request failed"),
    };
    const extProc = await startExtProcServer({
      listen: config.extProcListen,
      openExchange: (send) => createExchange(services, send),
      onFault: report("ext_proc stream failed"),
    });
    started.push(() => extProc.close());
    metrics.gauge("ext_proc_streams", () => extProc.active);

    const by = "admin";
    const admin = await startAdminServer({
      ...config.admin,
      app: createAdminApp({
        ...config.admin,
        store,
        keys: createKeys(store, { now, randomBytes, by }),
        teams: createTeams(store, { now, by }),
        now,
        randomBytes,
        notReady: () => (draining ? "draining" : undefined),
        metrics: metrics.render,
        page: usagePage(),
        log,
        version,
      }),
    });
    started.push(() => admin.close());

    return {
      adminPort: admin.port,
      stopServing() {
        draining = true;
        extProc.stopServing();
      },
      stopAccepting() {
        accepting = false;
      },
      idle: (timeoutMs) => extProc.idle(timeoutMs),
      close: end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Whether a model's id may become a label. Not what the operator's prices fit: a pattern there fits whatever a client makes up. */
function modelsByName(catalog: Catalog, { aws }: Config, { models }: OperatorConfig, now: () => number) {
  const listPrices = createPrices();
  const named = new Set(
    [...models.aliases.values(), ...[...models.fallbacks.values()].flat()].map(({ model }) => model),
  );
  return (modelId: string) =>
    catalog.has(modelId) ||
    named.has(modelId) ||
    listPrices.priceOf({ modelId, foundationModel: undefined, region: aws.region, at: now() }) !== undefined;
}

/** Signal 0 asks only whether the process is there; EPERM: it is, and somebody else's. */
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

function sharedLimits({ redisUrl }: Config, { limits }: OperatorConfig, log: Logger) {
  if (redisUrl === undefined) return undefined;
  const meanwhile = limits.redisLost === "local" ? "this gateway counts by itself" : "requests with limits are refused";
  return {
    url: redisUrl,
    whenLost: limits.redisLost,
    onLost: (cause: unknown) => log.error({ err: cause }, `REDIS_URL can't be reached: meanwhile ${meanwhile}`),
    onBack: () => log.warn("REDIS_URL is reached again: limits are counted there"),
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
