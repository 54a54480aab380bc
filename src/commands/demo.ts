/**
 * `demo`: the gateway as `start` runs it, in front of a simulated Bedrock, with a key made. Needs no AWS account.
 */

import { randomBytes } from "node:crypto";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { createKeys } from "../access/keys.ts";
import { refreshingCredentials } from "../bedrock/credentials.ts";
import { findEnvoy } from "../envoy/install.ts";
import { createLogger } from "../log.ts";
import { readOperatorConfig } from "../operator-config.ts";
import { SIMULATOR_CREDENTIALS, startSimulator } from "../simulator/simulator.ts";
import { startStandalone } from "../standalone.ts";
import { openStore } from "../store/open.ts";
import { type CommandIo, createCommand, started } from "./command.ts";
import { runUntilSignal } from "./lifecycle.ts";
import { readSettings, type Settings } from "./settings.ts";
import { runnable } from "./start.ts";

const REGION = "us-east-1";
const MODEL = "amazon.nova-lite-v1:0";
const ADMIN_TOKEN_BYTES = 18;
const KEY_LIFETIME_MS = 24 * 60 * 60_000;
/** Milliseconds between two words of a streamed answer, so that a person sees it stream. */
const PACE_MS = 25;

export function demoCommand(io: CommandIo): Command {
  return createCommand("demo", io)
    .description("Run the gateway in front of a simulated Bedrock, with a key made: no AWS account needed")
    .action(async () => {
      const envoy = await started(findEnvoy({ env: io.env, log: (line) => io.stderr.write(`${line}\n`) }));
      const { regions } = await readOperatorConfig(io.env.GATEWAY_CONFIG?.trim() || undefined, REGION);
      const simulator = await startSimulator({ region: regions.allowed, pace: PACE_MS });
      const folder = await mkdtemp(join(tmpdir(), "bedrock-gateway-demo-"));
      const envoyLog = join(folder, "envoy.log");
      const envoyLogFile = await open(envoyLog, "a");
      try {
        const adminToken = io.env.ADMIN_TOKEN?.trim() || randomBytes(ADMIN_TOKEN_BYTES).toString("base64url");
        const { config, operator } = await demoSettings(io, simulator.url, adminToken);
        const log = createLogger(config.logLevel);
        const credentials = refreshingCredentials({
          load: async () => SIMULATOR_CREDENTIALS,
          now: Date.now,
          onError: () => {},
        });
        const standalone = await started(
          startStandalone({
            config,
            operator,
            log,
            envoy,
            credentials,
            environment: io.env,
            envoyStderr: envoyLogFile.fd,
          }),
        );
        try {
          const key = await makeKey(config.databaseUrl);
          const page = `http://127.0.0.1:${standalone.adminPort}/`;
          // One that was given is known to whoever gave it.
          const token = io.env.ADMIN_TOKEN?.trim() ? "ADMIN_TOKEN's value" : adminToken;
          io.stdout.write(welcome({ url: standalone.url, page, token, key, envoyLog }));
          await runUntilSignal(runnable(standalone, config), log);
        } finally {
          await standalone.stop(0);
        }
      } finally {
        await envoyLogFile.close();
        await rm(folder, { recursive: true, force: true });
        await simulator.close();
      }
    });
}

/** The operator's own settings, but for what makes it AWS. */
function demoSettings(io: CommandIo, simulatorUrl: string, adminToken: string): Promise<Settings> {
  const { AWS_BEARER_TOKEN_BEDROCK: _, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: __, ...env } = io.env;
  return readSettings({
    HOST: "127.0.0.1",
    LOG_LEVEL: "warn",
    ...env,
    ADMIN_TOKEN: adminToken,
    AWS_REGION: REGION,
    AWS_ENDPOINT_URL_BEDROCK_RUNTIME: simulatorUrl,
    AWS_ENDPOINT_URL_BEDROCK: simulatorUrl,
  });
}

async function makeKey(databaseUrl: string): Promise<string> {
  const store = await openStore(databaseUrl);
  try {
    const keys = createKeys(store, { now: Date.now, randomBytes, by: "demo" });
    const { secret } = await keys.create({ name: "demo", expiresAt: Date.now() + KEY_LIFETIME_MS });
    return secret;
  } finally {
    await store.close();
  }
}

interface Welcome {
  readonly url: string;
  /** The usage page's address. */
  readonly page: string;
  readonly token: string;
  readonly key: string;
  readonly envoyLog: string;
}

function welcome({ url, page, token, key, envoyLog }: Welcome): string {
  const body = JSON.stringify({ model: MODEL, messages: [{ role: "user", content: "Hello!" }] });
  const insecure = url.startsWith("https:") ? "-k " : "";
  return `
Bedrock Gateway is ready on ${url}, in front of a simulated Bedrock. Any model id is answered.

Your key (it works for a day):

  ${key}

Try it:

  curl ${insecure}${url}/v1/chat/completions -H "Authorization: Bearer ${key}" -H "Content-Type: application/json" -d '${body}'

OpenAI clients take base URL ${url}/v1 and this key.
Who used what, and the keys: ${page} (token: ${token})
Envoy's log and access log: ${envoyLog}
Ctrl-C ends it.
`;
}
