/**
 * The gateway together with an Envoy of its own, on one machine: what `npm start`, the demo and the end-to-end tests run.
 *
 * Sockets and Envoy's configuration live in a private folder that goes when the gateway does, so that any number of
 * gateways run side by side on different ports.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CredentialSource } from "./bedrock/credentials.ts";
import type { Config, Environment } from "./config.ts";
import { type CertificateWatch, watchCertificates } from "./envoy/certificates.ts";
import { renderEnvoyConfig } from "./envoy/config.ts";
import { type EnvoyProcess, startEnvoy } from "./envoy/process.ts";
import { type Gateway, startGateway } from "./gateway.ts";
import type { Logger } from "./log.ts";
import type { OperatorConfig } from "./operator-config.ts";

export interface Standalone {
  /** Where clients connect: `http://127.0.0.1:8000`. */
  readonly url: string;
  readonly adminPort: number;
  readonly envoy: EnvoyProcess;
  readonly gateway: Gateway;
  /** Lets open streams finish, for at most `timeoutMs`, and ends everything. Calling it again waits for the first. */
  stop(timeoutMs: number): Promise<void>;
}

export interface StandaloneOptions {
  readonly config: Config;
  /** GATEWAY_CONFIG's content; without it the defaults. */
  readonly operator?: OperatorConfig;
  readonly log: Logger;
  /** Path of the Envoy binary. */
  readonly envoy: string;
  readonly credentials?: CredentialSource;
  /** For OpenTelemetry's variables. */
  readonly environment?: Environment;
  /** Changes Envoy's configuration once more: for tests. */
  readonly adaptEnvoyConfig?: (yaml: string) => string;
  /** A file descriptor for Envoy's log and access log; stderr by default. */
  readonly envoyStderr?: number;
}

export const ENVOY_TEMPLATE = fileURLToPath(new URL("../envoy/envoy.yaml", import.meta.url));

export async function startStandalone(options: StandaloneOptions): Promise<Standalone> {
  const { config, log } = options;
  const runDir = await mkdtemp(join(tmpdir(), "bedrock-gateway-"));
  const note = (message: string) => log.warn(message);
  let gateway: Gateway | undefined;
  let certificates: CertificateWatch | undefined;
  let envoy: EnvoyProcess | undefined;

  async function end(): Promise<void> {
    await envoy?.stop();
    certificates?.close();
    await gateway?.close();
    await rm(runDir, { recursive: true, force: true });
  }

  try {
    gateway = await startGateway({
      ...options,
      config: {
        ...config,
        extProcListen: `unix:${join(runDir, "extproc.sock")}`,
        egress: { socketPath: join(runDir, "egress.sock") },
      },
    });
    const sdsPath = join(runDir, "certificate.yaml");
    if (config.tls !== undefined) certificates = await watchCertificates({ ...config.tls, sdsPath }, note);
    const rendered = renderEnvoyConfig(await readFile(ENVOY_TEMPLATE, "utf8"), {
      ...config.clients,
      socketDir: runDir,
      ...(config.tls === undefined ? {} : { tls: { sdsPath } }),
      ...(config.caFile === undefined ? {} : { caFile: config.caFile }),
    });
    envoy = await startEnvoy({
      binary: options.envoy,
      config: options.adaptEnvoyConfig?.(rendered) ?? rendered,
      runDir,
      log: note,
      ...(config.envoyConcurrency === undefined ? {} : { concurrency: config.envoyConcurrency }),
      ...(options.envoyStderr === undefined ? {} : { stderr: options.envoyStderr }),
    });
    const port = await envoy.ready();

    const service = gateway;
    const proxy = envoy;
    let stopping: Promise<void> | undefined;
    async function drain(timeoutMs: number): Promise<void> {
      await proxy.drain({ timeoutMs });
      service.stopServing();
      // What Envoy had cut is being written to the ledger.
      await service.idle(1_000);
      await end();
    }
    return {
      url: `${config.tls === undefined ? "http" : "https"}://${urlHost(config.clients.host)}:${port}`,
      adminPort: gateway.adminPort,
      envoy,
      gateway,
      stop(timeoutMs) {
        stopping ??= drain(timeoutMs);
        return stopping;
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** An address that listens on all interfaces is reached at this machine's own. */
function urlHost(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "127.0.0.1";
  return host.includes(":") ? `[${host}]` : host;
}
