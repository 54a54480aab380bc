/**
 * envoy/envoy.yaml, made fit for one run: its addresses, socket paths, CA bundle, body limit and TLS.
 *
 * The file is edited as a YAML document, never as text, and keeps its comments. What is to be replaced must be there:
 * a node that someone renamed or removed is an error here and not a surprise in production. Everything else in the
 * file is the operator's and passes through. Envoy's own schema is not checked (`envoy --mode validate` does that).
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Document, isMap, isSeq, type Node, parseDocument, Scalar, visit } from "yaml";

export interface EnvoyOptions {
  /** Address and port of the listener for clients; port 0 lets the system choose one (`EnvoyProcess.ready` tells it). */
  readonly host: string;
  readonly port: number;
  /** Where extproc.sock, egress.sock and admin.sock are; absolute. */
  readonly socketDir: string;
  /** Bytes of a request body, before and after translation. */
  readonly requestBodyLimit?: number;
  /** Makes the listener for clients speak TLS (ALPN h2 and http/1.1). Its secret is written by certificates.ts. */
  readonly tls?: { readonly sdsPath: string };
  /** PEM bundle that Bedrock's certificates are checked with; by default the system's. */
  readonly caFile?: string;
}

export interface EnvoyAddresses {
  readonly host: string;
  readonly port: number;
  readonly adminSocket: string;
}

export const SOCKETS = ["extproc.sock", "egress.sock", "admin.sock"] as const;

const TEMPLATE_SOCKET_DIR = "/run/gateway";
const TEMPLATE_CA_FILE = "/etc/ssl/certs/ca-certificates.crt";
const TEMPLATE_LIMIT = "32 MiB";

/** sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included. */
const SOCKET_PATH_BYTES = process.platform === "darwin" ? 103 : 107;

/** Debian, Fedora, SUSE, Alpine and macOS. */
const CA_FILES = [
  TEMPLATE_CA_FILE,
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
] as const;

/** The text of envoy/envoy.yaml with `options` in it; throws when a node to replace is missing. */
export function renderEnvoyConfig(template: string, options: EnvoyOptions): string {
  const config = parse(template);
  setClientAddress(config, options);
  replaceSocketDir(config, options.socketDir);
  replaceCaFile(config, options.caFile ?? systemCaFile());
  if (options.requestBodyLimit !== undefined) replaceBodyLimit(config, options.requestBodyLimit);
  if (options.tls !== undefined) addTls(config, options.tls.sdsPath);
  return config.toString({ lineWidth: 0 });
}

/** What a rendered configuration listens on. */
export function readAddresses(config: string): EnvoyAddresses {
  const document = parse(config);
  const address = [...CLIENTS, "address", "socket_address"] as const;
  return {
    host: String(scalar(document, [...address, "address"]).value),
    port: Number(scalar(document, [...address, "port_value"]).value),
    adminSocket: String(scalar(document, ["admin", "address", "pipe", "path"]).value),
  };
}

/** A step into the document: a key, an index, or the item of a list with that `name`. */
type Step = string | number | { readonly name: string };

const CLIENTS = ["static_resources", "listeners", { name: "clients" }] as const;

function parse(text: string): Document {
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error) throw new Error(`The Envoy configuration is not valid YAML: ${error.message}`);
  return document;
}

function setClientAddress(config: Document, { host, port }: EnvoyOptions): void {
  const address = [...CLIENTS, "address", "socket_address"] as const;
  scalar(config, [...address, "address"]).value = host;
  scalar(config, [...address, "port_value"]).value = port;
}

function replaceSocketDir(config: Document, socketDir: string): void {
  const found = new Set<string>();
  replaceStrings(config, (text) => {
    const name = SOCKETS.find((socket) => text === `${TEMPLATE_SOCKET_DIR}/${socket}`);
    if (name === undefined) return text;
    found.add(name);
    return socketPath(socketDir, name);
  });
  for (const name of SOCKETS) if (!found.has(name)) throw missing(`${TEMPLATE_SOCKET_DIR}/${name}`);
}

function socketPath(socketDir: string, name: string): string {
  const path = join(socketDir, name);
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES) return path;
  throw new Error(
    `The path of the Unix socket ${path} is ${Buffer.byteLength(path)} bytes long, and the system allows ` +
      `${SOCKET_PATH_BYTES}. Choose a shorter directory for the gateway's sockets.`,
  );
}

function replaceCaFile(config: Document, caFile: string): void {
  const count = replaceStrings(config, (text) => (text === TEMPLATE_CA_FILE ? caFile : text));
  if (count === 0 && caFile !== TEMPLATE_CA_FILE) throw missing(TEMPLATE_CA_FILE);
}

function systemCaFile(): string {
  const found = CA_FILES.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new Error(
    `No CA certificates were found (looked at ${CA_FILES.join(", ")}). Install the package ca-certificates, or name ` +
      "a PEM bundle in AWS_CA_BUNDLE.",
  );
}

/** In both virtual hosts, and in the message of the 413. */
function replaceBodyLimit(config: Document, bytes: number): void {
  for (const listener of ["clients", "egress"]) {
    const manager = ["static_resources", "listeners", { name: listener }, "filter_chains", 0, "filters", 0];
    const host = ["typed_config", "route_config", "virtual_hosts", 0, "request_body_buffer_limit"];
    scalar(config, [...manager, ...host]).value = bytes;
  }
  const limit = bytes % 1048576 === 0 ? `${bytes / 1048576} MiB` : `${bytes} bytes`;
  if (limit === TEMPLATE_LIMIT) return;
  const count = replaceStrings(config, (text) => text.replace(TEMPLATE_LIMIT, limit));
  if (count === 0) throw missing(`a message with "${TEMPLATE_LIMIT}"`);
}

/** https://www.envoyproxy.io/docs/envoy/latest/configuration/security/secret */
function addTls(config: Document, sdsPath: string): void {
  const chain = nodeAt(config, [...CLIENTS, "filter_chains", 0]);
  if (!isMap(chain)) throw missing("a filter chain of the listener `clients`");
  const source = { path: sdsPath, watched_directory: { path: dirname(sdsPath) } };
  chain.set(
    "transport_socket",
    config.createNode({
      name: "envoy.transport_sockets.tls",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context: {
          alpn_protocols: ["h2", "http/1.1"],
          tls_params: { tls_minimum_protocol_version: "TLSv1_2" },
          tls_certificate_sds_secret_configs: [{ name: "clients", sds_config: { path_config_source: source } }],
        },
      },
    }),
  );
}

/** Replaces the text of every string value; the count is of those that changed. */
function replaceStrings(config: Document, replace: (text: string) => string): number {
  let count = 0;
  visit(config, {
    Scalar(key, node) {
      if (key === "key" || typeof node.value !== "string") return;
      const text = replace(node.value);
      if (text === node.value) return;
      node.value = text;
      count += 1;
    },
  });
  return count;
}

function scalar(config: Document, path: readonly Step[]): Scalar {
  const node = nodeAt(config, path);
  if (node instanceof Scalar) return node;
  throw missing(describe(path));
}

function nodeAt(config: Document, path: readonly Step[]): Node {
  let node: unknown = config.contents;
  for (const step of path) node = child(node, step);
  if (isMap(node) || isSeq(node) || node instanceof Scalar) return node;
  throw missing(describe(path));
}

function child(node: unknown, step: Step): unknown {
  if (typeof step === "string") return isMap(node) ? node.get(step, true) : undefined;
  if (!isSeq(node)) return undefined;
  return typeof step === "number"
    ? node.items[step]
    : node.items.find((item) => isMap(item) && item.get("name") === step.name);
}

function describe(path: readonly Step[]): string {
  return path.map((step) => (typeof step === "object" ? `[name: ${step.name}]` : String(step))).join(".");
}

function missing(what: string): Error {
  return new Error(`The Envoy configuration has no ${what}, which the gateway has to set. Is it envoy/envoy.yaml?`);
}
