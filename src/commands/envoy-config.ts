/**
 * `envoy-config`: writes the configuration that an Envoy in its own container runs, from envoy/envoy.yaml.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { readConfig } from "../config.ts";
import { watchCertificates } from "../envoy/certificates.ts";
import { renderEnvoyConfig } from "../envoy/config.ts";
import { ENVOY_TEMPLATE } from "../standalone.ts";
import { type CommandIo, createCommand } from "./command.ts";
import { sharedSecretPath } from "./start.ts";

export function envoyConfigCommand(io: CommandIo): Command {
  return createCommand("envoy-config", io)
    .description(
      "Write envoy.yaml for an Envoy that runs elsewhere, with TLS_CERT, TLS_KEY, AWS_CA_BUNDLE and PORT applied",
    )
    .option("--socket-dir <folder>", "the folder that Envoy and the service share", "/run/gateway")
    .option("--output <file>", "where to write it; the default is envoy.yaml in the socket folder")
    .action(async ({ socketDir, output = join(socketDir, "envoy.yaml") }: { socketDir: string; output?: string }) => {
      const config = await readConfig({ AWS_REGION: "us-east-1", ...io.env });
      const sdsPath = sharedSecretPath(socketDir);
      // Written once here, so that Envoy finds it when it starts; `serve` keeps it up to date.
      if (config.tls !== undefined) (await watchCertificates({ ...config.tls, sdsPath }, () => {})).close();
      const rendered = renderEnvoyConfig(await readFile(ENVOY_TEMPLATE, "utf8"), {
        ...config.clients,
        socketDir,
        caFile: config.caFile ?? "/etc/ssl/certs/ca-certificates.crt",
        ...(config.tls === undefined ? {} : { tls: { sdsPath } }),
      });
      await writeFile(`${output}.new`, rendered);
      await rename(`${output}.new`, output);
      io.stderr.write(`Wrote ${output}.\n`);
    });
}
