/**
 * `start`: the gateway with an Envoy of its own, in front of Amazon Bedrock. `serve`: the service alone, for an Envoy that
 * somebody else runs.
 */
import { dirname, join } from "node:path";
import type { Command } from "commander";
import type { CredentialSource } from "../bedrock/credentials.ts";
import type { Config } from "../config.ts";
import { watchCertificates } from "../envoy/certificates.ts";
import { findEnvoy } from "../envoy/install.ts";
import { createCredentials, startGateway } from "../gateway.ts";
import { createLogger, type Logger } from "../log.ts";
import { type Standalone, startStandalone } from "../standalone.ts";
import { CommandFailure, type CommandIo, createCommand, started } from "./command.ts";
import { type Runnable, runUntilSignal } from "./lifecycle.ts";
import { readSettings } from "./settings.ts";

export function startCommand(io: CommandIo): Command {
  return createCommand("start", io)
    .description("Run the gateway and its Envoy in front of Amazon Bedrock")
    .action(async () => {
      const { config, operator } = await readSettings(io.env);
      const log = createLogger(config.logLevel);
      const credentials = createCredentials(config, log);
      await requireCredentials(credentials);
      const envoy = await started(findEnvoy({ env: io.env, log: (line) => io.stderr.write(`${line}\n`) }));
      const standalone = await started(
        startStandalone({ config, operator, log, envoy, credentials, environment: io.env }),
      );
      io.stderr.write(
        `Bedrock Gateway is ready on ${standalone.url} (region ${config.aws.region}; admin on port ${standalone.adminPort}).\n` +
          `Make a key with: npm run -s keys -- create --name NAME\n`,
      );
      await runUntilSignal(runnable(standalone, config), log);
    });
}

export function serveCommand(io: CommandIo): Command {
  return createCommand("serve", io)
    .description("Run the ext_proc service alone, on EXTPROC_LISTEN, for an Envoy that runs elsewhere")
    .action(async () => {
      const { config, operator } = await readSettings(io.env);
      const log = createLogger(config.logLevel);
      const credentials = createCredentials(config, log);
      await requireCredentials(credentials);
      const gateway = await started(startGateway({ config, operator, log, credentials, environment: io.env }));
      const certificates = await publishCertificate(config, log);
      log.info({ listen: config.extProcListen, admin_port: gateway.adminPort, region: config.aws.region }, "ready");
      const stop = async () => {
        certificates?.close();
        await gateway.close();
      };
      await runUntilSignal(
        {
          async drain() {
            gateway.stopServing();
            await noticed();
            gateway.stopAccepting();
            await gateway.idle(config.drainTimeoutMs);
            await stop();
          },
          stop,
          broken: new Promise<never>(() => {}),
        },
        log,
      );
    });
}

/** Fails when Envoy has ended by itself. */
export function runnable(standalone: Standalone, config: Config): Runnable {
  let ending = false;
  return {
    drain() {
      ending = true;
      return standalone.stop(config.drainTimeoutMs);
    },
    async stop() {
      ending = true;
      await standalone.envoy.stop();
      await standalone.stop(0);
    },
    broken: new Promise((_, reject) => {
      standalone.envoy.exited.then(async ({ code, signal }) => {
        if (ending) return;
        await standalone.stop(0);
        reject(
          new CommandFailure(`Envoy ended by itself (${signal ?? `exit code ${code}`}). Its log above has the reason.`),
        );
      });
    }),
  };
}

/**
 * Envoy asks for the service's health every two seconds; until it has seen NOT_SERVING its requests are answered. With no
 * other replica it goes on asking this one, and the drain would never end.
 */
const NOTICED_MS = 2_500;

function noticed(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, NOTICED_MS));
}

/** Where Envoy runs apart, its certificate's secret file is kept up to date beside the sockets that both share. */
async function publishCertificate(config: Config, log: Logger) {
  if (config.tls === undefined || !config.extProcListen.startsWith("unix:")) return undefined;
  const sdsPath = sharedSecretPath(dirname(config.extProcListen.slice("unix:".length)));
  return watchCertificates({ ...config.tls, sdsPath }, (message) => log.warn(message));
}

export function sharedSecretPath(socketDir: string): string {
  return join(socketDir, "certificate.yaml");
}

async function requireCredentials(credentials: CredentialSource): Promise<void> {
  try {
    await credentials.get();
  } catch (error) {
    const reason = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    throw new CommandFailure(
      [
        `No AWS credentials were found (${reason}).`,
        "Give them in one of the ways that every AWS SDK knows:",
        "  a Bedrock API key:   AWS_BEARER_TOKEN_BEDROCK",
        "  access keys:         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN)",
        "  a profile or SSO:    AWS_PROFILE, after `aws configure` or `aws sso login`",
        "  a role:              on ECS, EKS (Pod Identity or IRSA) and EC2 nothing is to be set",
        "To try the gateway without an AWS account: npm run demo",
      ].join("\n"),
      { cause: error },
    );
  }
}
