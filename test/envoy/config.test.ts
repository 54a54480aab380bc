import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { rootCertificates } from "node:tls";
import { promisify } from "node:util";
import { parse } from "yaml";
import { readAddresses, renderEnvoyConfig } from "../../src/envoy/config.ts";
import { envoyBinary, TEMPLATE, temporaryDir } from "./running-envoy.ts";

/** Stands for a CA bundle, which not every machine has. */
const ANY_CA = "/any/ca.pem";
const OPTIONS = { host: "127.0.0.1", port: 4567, socketDir: "/tmp/x", caFile: "/tmp/ca.pem" };

describe("envoy.yaml", () => {
  it("is valid as it is", async () => {
    await validate(TEMPLATE.replaceAll("/etc/ssl/certs/ca-certificates.crt", ANY_CA));
  });

  it("never lets a request pass that the service did not route", () => {
    const routes = clients(TEMPLATE).route_config.virtual_hosts[0].routes;
    assert.deepEqual(
      routes.map((route: { match: { dynamic_metadata?: unknown }; route: { cluster: string } }) => [
        route.route.cluster,
        route.match.dynamic_metadata !== undefined,
      ]),
      [
        ["bedrock", true],
        ["bedrock_plaintext", true],
        ["closed", false],
      ],
    );
  });

  it("logs neither headers that hold keys nor the query", () => {
    const format = JSON.stringify(clients(TEMPLATE).access_log);
    assert.doesNotMatch(format, /authorization|api-key|cookie|%REQ\(:PATH\)|LOCAL_REPLY/i);
  });
});

describe("renderEnvoyConfig", () => {
  it("sets the address, all sockets and the CA bundle, and keeps the comments", () => {
    const config = renderEnvoyConfig(TEMPLATE, OPTIONS);
    assert.deepEqual(readAddresses(config), { host: "127.0.0.1", port: 4567, adminSocket: "/tmp/x/admin.sock" });
    assert.doesNotMatch(config, /\/run\/gateway|ca-certificates\.crt/);
    for (const name of ["extproc", "egress", "admin"]) assert.ok(config.includes(`/tmp/x/${name}.sock`), name);
    assert.ok(config.includes("/tmp/ca.pem"));
    assert.equal(comments(config), comments(TEMPLATE));
  });

  it("changes nothing else", () => {
    const same = {
      host: "0.0.0.0",
      port: 8000,
      socketDir: "/run/gateway",
      caFile: "/etc/ssl/certs/ca-certificates.crt",
    };
    assert.deepEqual(parse(renderEnvoyConfig(TEMPLATE, same)), parse(TEMPLATE));
  });

  it("sets the body limit in both listeners and in the message of the 413", () => {
    const config = renderEnvoyConfig(TEMPLATE, { ...OPTIONS, requestBodyLimit: 5 * 1024 * 1024 });
    assert.equal(config.match(/request_body_buffer_limit: 5242880\n/g)?.length, 2);
    assert.match(JSON.stringify(clients(config).local_reply_config), /larger than the 5 MiB that/);
    const odd = renderEnvoyConfig(TEMPLATE, { ...OPTIONS, requestBodyLimit: 1000 });
    assert.match(JSON.stringify(clients(odd).local_reply_config), /larger than the 1000 bytes that/);
  });

  it("adds TLS with the certificate of a secret file", () => {
    const config = renderEnvoyConfig(TEMPLATE, { ...OPTIONS, tls: { sdsPath: "/tmp/x/sds.yaml" } });
    const [listener] = parse(config).static_resources.listeners;
    const context = listener.filter_chains[0].transport_socket.typed_config.common_tls_context;
    assert.deepEqual(context.alpn_protocols, ["h2", "http/1.1"]);
    assert.equal(context.tls_params.tls_minimum_protocol_version, "TLSv1_2");
    const [secret] = context.tls_certificate_sds_secret_configs;
    assert.equal(secret.sds_config.path_config_source.path, "/tmp/x/sds.yaml");
  });

  it("is valid when it is rendered", () => validate(renderEnvoyConfig(TEMPLATE, { ...OPTIONS, caFile: ANY_CA })));

  it("names what it could not find", () => {
    const render = (template: string) => () => renderEnvoyConfig(template, { ...OPTIONS, requestBodyLimit: 1 });
    assert.throws(
      render(TEMPLATE.replace("name: clients", "name: front")),
      /has no static_resources\.listeners\.\[name: clients\]/,
    );
    assert.throws(
      render(TEMPLATE.replace("/run/gateway/egress.sock", "/egress.sock")),
      /has no \/run\/gateway\/egress\.sock/,
    );
    assert.throws(
      render(TEMPLATE.replaceAll("/etc/ssl/certs/ca-certificates.crt", "/ca.pem")),
      /has no \/etc\/ssl\/certs/,
    );
    assert.throws(render(TEMPLATE.replace("request_body_buffer_limit: ", "limit: ")), /request_body_buffer_limit/);
    assert.throws(render(TEMPLATE.replaceAll("32 MiB that", "body limit that")), /has no a message/);
    assert.throws(render("a: ["), /not valid YAML/);
  });

  it("refuses a directory whose socket paths the system would cut off", () => {
    const socketDir = `/tmp/${"d".repeat(100)}`;
    assert.throws(
      () => renderEnvoyConfig(TEMPLATE, { ...OPTIONS, socketDir }),
      /is 116 bytes long.*Choose a shorter directory/,
    );
  });
});

async function validate(config: string): Promise<void> {
  const binary = await envoyBinary();
  const dir = await temporaryDir();
  try {
    const path = join(dir, "envoy.yaml");
    const ca = join(dir, "ca.pem");
    await writeFile(ca, rootCertificates.join("\n"));
    await writeFile(path, config.replaceAll(ANY_CA, ca));
    await promisify(execFile)(binary, ["--mode", "validate", "-c", path]);
  } finally {
    await rm(dir, { recursive: true });
  }
}

function clients(config: string) {
  const [listener] = parse(config).static_resources.listeners;
  return listener.filter_chains[0].filters[0].typed_config;
}

function comments(text: string): number {
  return text.match(/#/g)?.length ?? 0;
}
