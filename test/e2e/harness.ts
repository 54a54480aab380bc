/**
 * A whole gateway for one test file: client → Envoy → service → simulated Bedrock, on free ports and with a database of its
 * own.
 *
 * Everything but Envoy runs in this process. The simulator judges every chat body by AWS's service model, so that no test
 * passes with a request that Bedrock would refuse. Tests of a file share the gateway and run at once: each scripts its
 * answers for a model id that only it uses (`simulator.scriptModel`).
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { createKeys, type IssuedKey, type Keys } from "../../src/access/keys.ts";
import { type CredentialSource, refreshingCredentials } from "../../src/bedrock/credentials.ts";
import { type Environment, readConfig } from "../../src/config.ts";
import { findEnvoy } from "../../src/envoy/install.ts";
import { isJsonObject } from "../../src/json.ts";
import { createLogger } from "../../src/log.ts";
import { parseOperatorConfig } from "../../src/operator-config.ts";
import {
  SIMULATOR_CREDENTIALS,
  type Simulator,
  type SimulatorOptions,
  startSimulator,
} from "../../src/simulator/simulator.ts";
import { type Standalone, startStandalone } from "../../src/standalone.ts";
import { openStore } from "../../src/store/open.ts";
import type { Call, Store } from "../../src/store/store.ts";
import { judgeConverse } from "../aws-model/judge.ts";

export interface TestGatewayOptions {
  /** Goes over the defaults; `undefined` takes one away. */
  readonly env?: Environment | ((simulator: Simulator) => Environment);
  readonly simulator?: SimulatorOptions;
  /** The simulator's own by default; "environment" builds them from `env`, as `start` does. */
  readonly credentials?: CredentialSource | "environment";
  /** False lets bodies pass that AWS's model would refuse. */
  readonly judge?: boolean;
  /** GATEWAY_CONFIG's content, as YAML. */
  readonly operator?: string;
  readonly adaptEnvoyConfig?: (yaml: string) => string;
}

/** A line of Envoy's access log; `gateway` is what the service told it. */
export type LogLine = Readonly<Record<string, unknown>>;

export interface TestGateway extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`, without `/v1`. */
  readonly url: string;
  /** A key without limits. */
  readonly key: string;
  readonly keyId: string;
  /** Works on the gateway's database, as `npm run keys` does. */
  readonly keys: Keys;
  readonly store: Store;
  readonly databaseUrl: string;
  readonly simulator: Simulator;
  readonly standalone: Standalone;
  /** POST /v1/chat/completions. A string or bytes are sent as they are. */
  chat(body: unknown, options?: ChatOptions): Promise<Response>;
  /** All rows of the ledger, oldest first. */
  usage(): Promise<Call[]>;
  /** The row of a request once it is closed. Rejects when there is none in time. */
  closedCall(requestId: string | null): Promise<Call>;
  /** Envoy's access log so far. */
  accessLog(): LogLine[];
  /** The access log's line of a request, which Envoy writes when all is over. */
  accessLine(requestId: string | null): Promise<LogLine>;
  /** All that Envoy has written. */
  envoyLog(): string;
  /** The service's log so far, a parsed line each. */
  serviceLog(): LogLine[];
  /** The service's line of a request. */
  serviceLine(requestId: string | null): Promise<LogLine>;
  /** Cuts what runs after `drainMs` (0) and removes everything. Calling it again waits for the first. */
  stop(drainMs?: number): Promise<void>;
}

export interface ChatOptions extends Omit<RequestInit, "headers" | "body" | "method"> {
  readonly headers?: Readonly<Record<string, string>>;
  /** The gateway's own by default; null sends no Authorization. */
  readonly key?: string | null;
  /** `/v1/chat/completions` by default. */
  readonly path?: string;
}

const WAIT_MS = 10_000;
const POLL_MS = 10;

export async function startTestGateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
  const dir = await mkdtemp(join(tmpdir(), "gateway-e2e-"));
  const simulator = await startSimulator({
    ...(options.judge === false ? {} : { judge }),
    ...options.simulator,
  });
  const databaseUrl = `sqlite:${join(dir, "gateway.db")}`;
  const envoyLogPath = join(dir, "envoy.log");
  const envoyLogFile = await open(envoyLogPath, "a");
  const serviceLines: LogLine[] = [];
  const config = await readConfig({
    HOST: "127.0.0.1",
    PORT: "0",
    ADMIN_PORT: "0",
    DATABASE_URL: databaseUrl,
    AWS_REGION: "us-east-1",
    AWS_ENDPOINT_URL_BEDROCK_RUNTIME: simulator.url,
    AWS_ENDPOINT_URL_BEDROCK: simulator.url,
    ENVOY_CONCURRENCY: "1",
    ...(typeof options.env === "function" ? options.env(simulator) : options.env),
  });
  const standalone = await startStandalone({
    config,
    log: createLogger(config.logLevel, { write: (line) => void serviceLines.push(JSON.parse(line)) }),
    envoy: await findEnvoy({ env: process.env, log: (line) => console.error(line) }),
    envoyStderr: envoyLogFile.fd,
    ...credentialsOption(options.credentials),
    ...(options.operator === undefined
      ? {}
      : { operator: parseOperatorConfig(options.operator, "operator.yaml", config.aws.region) }),
    ...(options.adaptEnvoyConfig === undefined ? {} : { adaptEnvoyConfig: options.adaptEnvoyConfig }),
  }).catch(async (cause: unknown) => {
    const log = readFileSync(envoyLogPath, "utf8");
    await simulator.close();
    await rm(dir, { recursive: true, force: true });
    throw new Error(`the gateway did not start:\n${log}`, { cause });
  });
  const store = await openStore(databaseUrl);
  const keys = createKeys(store, { now: Date.now, randomBytes, by: "test" });
  const issued: IssuedKey = await keys.create({ name: "test" });
  let stopping: Promise<void> | undefined;

  async function end(drainMs: number): Promise<void> {
    await standalone.stop(drainMs);
    await simulator.close();
    await store.close();
    await envoyLogFile.close();
    await rm(dir, { recursive: true, force: true });
  }

  const envoyLog = () => readFileSync(envoyLogPath, "utf8");
  const accessLog = () => envoyLog().split("\n").flatMap(parseLine).filter(isAccessLine);
  const gateway: TestGateway = {
    url: standalone.url,
    key: issued.secret,
    keyId: issued.key.id,
    keys,
    store,
    databaseUrl,
    simulator,
    standalone,
    chat(body, { headers, key = issued.secret, path = "/v1/chat/completions", ...init } = {}) {
      return fetch(standalone.url + path, {
        ...init,
        method: "POST",
        headers: {
          "content-type": "application/json",
          ...(key === null ? {} : { authorization: `Bearer ${key}` }),
          ...headers,
        },
        body: typeof body === "string" || body instanceof Uint8Array ? Buffer.from(body) : JSON.stringify(body),
      });
    },
    async usage() {
      const calls = await Promise.all(callIds(databaseUrl).map((id) => store.calls.get(id)));
      return calls.filter((call) => call !== undefined);
    },
    closedCall: (requestId) =>
      until(`a closed call ${requestId}`, async () => {
        const call = await store.calls.get(requestId ?? "");
        return call?.closing === undefined ? undefined : call;
      }),
    accessLog,
    accessLine: (requestId) =>
      until(`an access log line of ${requestId}`, () => accessLog().find((line) => line.request_id === requestId)),
    envoyLog,
    serviceLog: () => [...serviceLines],
    serviceLine: (requestId) =>
      until(`a service log line of ${requestId}`, () => serviceLines.find((line) => line.request_id === requestId)),
    stop(drainMs = 0) {
      stopping ??= end(drainMs);
      return stopping;
    },
    [Symbol.asyncDispose]: () => gateway.stop(),
  };
  return gateway;
}

/** Polls where nothing tells: a file that grows, a row that changes. */
export async function until<T>(
  what: string,
  check: () => T | undefined | Promise<T | undefined>,
  timeoutMs = WAIT_MS,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await check();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(POLL_MS);
  }
}

/** The error of an answer, which must be JSON in OpenAI's shape, with its status. */
export async function readError(response: Response): Promise<ErrorReply> {
  const text = await response.text();
  assert.match(response.headers.get("content-type") ?? "", /^application\/json\b/, text);
  const body: unknown = JSON.parse(text);
  assert.ok(isJsonObject(body) && isJsonObject(body.error), text);
  const { message, type, param, code, ...more } = body.error;
  assert.ok(typeof message === "string" && message !== "" && typeof type === "string", text);
  assert.ok((param === null || typeof param === "string") && (code === null || typeof code === "string"), text);
  assert.deepEqual([Object.keys(body), more], [["error"], {}]);
  return { status: response.status, headers: response.headers, message, type, param, code };
}

export interface ErrorReply {
  readonly status: number;
  readonly headers: Headers;
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;
}

/** A request body for a model, with one question. */
export function ask(model: string, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { model, messages: [{ role: "user", content: "Hello!" }], ...more };
}

let models = 0;

/** A model id that no other test uses. The catalog does not know it, which must not matter. */
export function uniqueModel(): string {
  models += 1;
  return `test.model-${process.pid}-${models}-v1:0`;
}

export interface SseText {
  /** Every byte that came, as text. */
  readonly raw: string;
  /** The payloads of `data:` lines, in order; `[DONE]` as it is, the others parsed. */
  readonly data: readonly unknown[];
  /** The body ended as HTTP wants it; false when the connection broke. */
  readonly complete: boolean;
}

/** Reads a stream to its end, also where the connection breaks. `onText` hears each piece as it comes. */
export async function readSse(response: Response, onText: (text: string) => void = () => {}): Promise<SseText> {
  const decoder = new TextDecoder();
  let raw = "";
  let complete = true;
  try {
    for await (const chunk of response.body ?? []) {
      const text = decoder.decode(chunk, { stream: true });
      raw += text;
      onText(text);
    }
  } catch {
    complete = false;
  }
  return { raw, data: sseData(raw), complete };
}

/** Stays with what the test means: an incomplete last event has no data. */
function sseData(raw: string): unknown[] {
  const events = raw.split("\n\n").slice(0, -1);
  return events
    .filter((event) => event.startsWith("data: "))
    .map((event) => event.slice("data: ".length))
    .map((data): unknown => (data === "[DONE]" ? data : JSON.parse(data)));
}

function judge(operation: string, body: unknown): string | undefined {
  if (operation !== "Converse" && operation !== "ConverseStream") return undefined;
  try {
    const problems = judgeConverse(body);
    return problems.length === 0 ? undefined : `AWS's model refuses this body: ${problems.join("; ")}`;
  } catch (error) {
    if (error instanceof RangeError) return "The body is nested too deeply.";
    throw error;
  }
}

function credentialsOption(choice: TestGatewayOptions["credentials"]): { credentials?: CredentialSource } {
  if (choice === "environment") return {};
  if (choice !== undefined) return { credentials: choice };
  const load = async () => SIMULATOR_CREDENTIALS;
  return { credentials: refreshingCredentials({ load, now: Date.now, onError: () => {} }) };
}

/** The store gives a call by its id alone; a test wants to see that there are no others. */
function callIds(databaseUrl: string): string[] {
  const db = new DatabaseSync(databaseUrl.slice("sqlite:".length), { readOnly: true });
  try {
    return db
      .prepare("SELECT id FROM calls ORDER BY started_at")
      .all()
      .map((row) => String(row.id));
  } finally {
    db.close();
  }
}

function parseLine(line: string): LogLine[] {
  try {
    return [JSON.parse(line)];
  } catch {
    return []; // The end of a file that is being written.
  }
}

function isAccessLine(line: LogLine): boolean {
  return line.log === "access";
}
