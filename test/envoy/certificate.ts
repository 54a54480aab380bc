/** Self-signed certificates for tests, made by openssl. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

/** Files `NAME.crt` and `NAME.key` in `dir`; `san` as openssl writes it: `DNS:localhost`. */
export async function makeCertificate(dir: string, name: string, san: string): Promise<TestCertificate> {
  const files = { cert: join(dir, `${name}.crt`), key: join(dir, `${name}.key`) };
  await promisify(execFile)("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
    ...["-subj", `/CN=${name}`, "-addext", `subjectAltName=${san}`, "-out", files.cert, "-keyout", files.key],
  ]);
  return files;
}
