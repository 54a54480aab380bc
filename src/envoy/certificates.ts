/**
 * The listener's certificate, handed to Envoy as a secret file (file-based SDS) and renewed without a restart.
 *
 * Envoy itself notices a certificate that is renamed into its directory, as Kubernetes does, but not one that is
 * overwritten in place, as `cp` and some ACME clients do. So the files are read every second, which also works on mounts
 * that send no file events, and the secret is published again when a pair that fits together has changed. Certificate
 * and key are never copied: the secret holds their paths.
 * https://www.envoyproxy.io/docs/envoy/latest/configuration/security/secret
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { stringify } from "yaml";

export interface CertificateFiles {
  /** PEM: the certificate, then its chain. */
  readonly cert: string;
  /** PEM, not encrypted. */
  readonly key: string;
  /** The secret file to write; `tls.sdsPath` of `renderEnvoyConfig`. */
  readonly sdsPath: string;
}

export interface CertificateWatch {
  close(): void;
}

const INTERVAL_MS = 1000;

/** Writes the secret, then again whenever the files change. Rejects when they can't be used at the start. */
export async function watchCertificates(
  files: CertificateFiles,
  log: (message: string) => void,
): Promise<CertificateWatch> {
  let seen = await read(files);
  checkPair(seen, files);
  let generation = 0;
  await publish(files, generation);

  async function look(): Promise<void> {
    const now = await read(files);
    if (now.cert === seen.cert && now.key === seen.key) return;
    seen = now; // a pair that does not fit is complained about once, and looked at again when it changes
    checkPair(now, files);
    generation += 1;
    await publish(files, generation);
    log(`The certificate ${files.cert} was renewed.`);
  }

  let lastComplaint = "";
  const timer = setInterval(() => {
    look().then(
      () => {
        lastComplaint = "";
      },
      (error: unknown) => {
        const complaint = error instanceof Error ? error.message : String(error);
        if (complaint !== lastComplaint) log(`${complaint} The certificate in use stays.`);
        lastComplaint = complaint;
      },
    );
  }, INTERVAL_MS);
  timer.unref();
  return { close: () => clearInterval(timer) };
}

interface Pair {
  readonly cert: string;
  readonly key: string;
}

async function read({ cert, key }: CertificateFiles): Promise<Pair> {
  return { cert: await readPem(cert), key: await readPem(key) };
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new Error(`Cannot read ${path}: ${error instanceof Error ? error.message : error}.`, { cause: error });
  }
}

function checkPair(pair: Pair, { cert, key }: CertificateFiles): void {
  const certificate = parsed(cert, "certificate", () => new X509Certificate(pair.cert));
  const privateKey = parsed(key, "private key without a password", () => createPrivateKey(pair.key));
  if (!certificate.checkPrivateKey(privateKey)) throw new Error(`${key} is not the private key of ${cert}.`);
}

function parsed<T>(path: string, what: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new Error(`${path} is not a PEM ${what}.`, { cause: error });
  }
}

async function publish({ cert, key, sdsPath }: CertificateFiles, generation: number): Promise<void> {
  const secret = {
    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
    name: "clients",
    tls_certificate: {
      certificate_chain: { filename: spelled(cert, generation) },
      private_key: { filename: spelled(key, generation) },
      watched_directory: { path: dirname(resolve(cert)) },
    },
  };
  await writeFile(`${sdsPath}.new`, stringify({ resources: [secret] }), { mode: 0o600 });
  await rename(`${sdsPath}.new`, sdsPath); // Envoy watches for renames
}

/** Envoy compares the secret's text, and reads the files again only when that differs: the same path, spelled anew. */
function spelled(path: string, generation: number): string {
  const absolute = resolve(path);
  return generation % 2 === 0 ? absolute : `${dirname(absolute)}/./${basename(absolute)}`;
}
