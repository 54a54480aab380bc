/**
 * The gateway as it is deployed: Envoy in one process, the service in another, the simulated Bedrock in a third place
 * (here). The service can be killed, started again and measured.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createKeys } from "../../src/access/keys.ts";
import { SIMULATOR_CREDENTIALS, type Simulator, startSimulator } from "../../src/simulator/simulator.ts";
import { openStore } from "../../src/store/open.ts";
import type { Store } from "../../src/store/store.ts";
import { type RunningEnvoy, runEnvoy, temporaryDir } from "../envoy/running-envoy.ts";
import { type Environment, type RunningCommand, runMain } from "./command.ts";

export interface SplitGateway extends AsyncDisposable {
  readonly url: string;
  readonly key: string;
  readonly keyId: string;
  readonly databaseUrl: string;
  readonly simulator: Simulator;
  readonly envoy: RunningEnvoy;
  readonly store: Store;
  /** The process that runs now, or ran last. */
  readonly service: RunningCommand;
  /** Starts the service again, on the same socket and database. */
  startService(): Promise<void>;
  /** POST /v1/chat/completions. */
  chat(body: unknown, init?: RequestInit): Promise<Response>;
  /** The longest time since the last call in which the service's event loop did nothing else, in milliseconds. */
  longestBlock(): Promise<number>;
}

const LOOP_DELAY = fileURLToPath(new URL("./loop-delay.ts", import.meta.url));

export interface SplitGatewayOptions {
  /** For replicas: what they share. Whoever made it ends it. */
  readonly databaseUrl?: string;
  readonly simulator?: Simulator;
  readonly env?: Environment;
}

export async function startSplitGateway(options: SplitGatewayOptions = {}): Promise<SplitGateway> {
  const dir = await temporaryDir();
  const { databaseUrl = `sqlite:${join(dir, "gateway.db")}` } = options;
  const simulator = options.simulator ?? (await startSimulator());
  const env = {
    EXTPROC_LISTEN: `unix:${join(dir, "extproc.sock")}`,
    EGRESS_URL: `unix:${join(dir, "egress.sock")}`,
    DATABASE_URL: databaseUrl,
    LOG_LEVEL: "info",
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: SIMULATOR_CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: SIMULATOR_CREDENTIALS.secretAccessKey,
    AWS_ENDPOINT_URL_BEDROCK_RUNTIME: simulator.url,
    AWS_ENDPOINT_URL_BEDROCK: simulator.url,
    NODE_OPTIONS: `--import ${LOOP_DELAY}`,
    ...options.env,
  };
  const services: RunningCommand[] = [];
  let blocks = 0;
  async function startService(): Promise<void> {
    const service = await runMain(["serve"], env);
    services.push(service);
    blocks = 0;
    await service.prints(/"msg":"ready"/);
  }
  const current = () => {
    const service = services.at(-1);
    if (service === undefined) throw new Error("no service was started");
    return service;
  };

  await startService();
  const envoy = await runEnvoy({ socketDir: dir });
  const store = await openStore(databaseUrl);
  const { key, secret } = await createKeys(store, { now: Date.now, randomBytes, by: "test" }).create({ name: "test" });
  const url = `http://127.0.0.1:${envoy.port}`;
  return {
    url,
    key: secret,
    keyId: key.id,
    databaseUrl,
    simulator,
    envoy,
    store,
    get service() {
      return current();
    },
    startService,
    chat: (body, init) =>
      fetch(`${url}/v1/chat/completions`, {
        ...init,
        method: "POST",
        headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
        body: typeof body === "string" ? body : JSON.stringify(body),
      }),
    async longestBlock() {
      blocks += 1;
      process.kill(current().pid, "SIGUSR2");
      const [, milliseconds] = await current().prints(new RegExp(`longest block ${blocks}: ([0-9.]+)`), 5_000);
      return Number(milliseconds);
    },
    async [Symbol.asyncDispose]() {
      await envoy[Symbol.asyncDispose]();
      for (const service of services) await service[Symbol.asyncDispose]();
      await store.close();
      if (options.simulator === undefined) await simulator.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Resident memory of a process, in MiB. */
export function residentMiB(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
  return Number(kilobytes) / 1024;
}
