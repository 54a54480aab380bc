import assert from "node:assert/strict";
import { copyFile, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import { watchCertificates } from "../../src/envoy/certificates.ts";
import { makeCertificate, type TestCertificate } from "./certificate.ts";
import { runEnvoy, temporaryDir } from "./running-envoy.ts";

describe("TLS for clients", () => {
  it("speaks HTTP/2 and HTTP/1.1, and renews its certificate without a restart", async () => {
    const dir = await temporaryDir();
    const files = await makeCertificate(dir, "one", "DNS:localhost");
    const tls = { ...files, sdsPath: join(dir, "sds.yaml") };
    const messages: string[] = [];
    const watch = await watchCertificates(tls, (message) => messages.push(message));
    try {
      await using envoy = await runEnvoy({ socketDir: dir, tls });
      assert.deepEqual(await handshake(envoy.port, ["h2", "http/1.1"]), {
        name: "one",
        protocol: "h2",
        version: "TLSv1.3",
      });
      assert.equal((await handshake(envoy.port, ["http/1.1"])).protocol, "http/1.1");
      await assert.rejects(handshake(envoy.port, [], "TLSv1.1"));

      // Overwritten in place, the key after the certificate: the pair does not fit for a moment.
      const two = await makeCertificate(dir, "two", "DNS:localhost");
      await copyFile(two.cert, files.cert);
      await sleep(1200);
      assert.equal((await handshake(envoy.port)).name, "one");
      await copyFile(two.key, files.key);
      await untilServed(envoy.port, "two");

      // Renamed into place.
      const three = await makeCertificate(dir, "three", "DNS:localhost");
      await replace(three, files);
      await untilServed(envoy.port, "three");

      const { pid } = envoy.process;
      assert.equal((await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "envoy")).trim(), "envoy");
      assert.match(messages[0] ?? "", /one\.key is not the private key of .*one\.crt\. The certificate in use stays\./);
    } finally {
      watch.close();
      await rm(dir, { recursive: true, force: true });
    }
  });

  it("refuses at the start what Envoy could not serve", async () => {
    const dir = await temporaryDir();
    try {
      const sdsPath = join(dir, "sds.yaml");
      const one = await makeCertificate(dir, "one", "DNS:localhost");
      const two = await makeCertificate(dir, "two", "DNS:localhost");
      const watch = (cert: string, key: string) => watchCertificates({ cert, key, sdsPath }, () => {});
      await assert.rejects(watch(one.cert, two.key), /two\.key is not the private key of .*one\.crt/);
      await assert.rejects(watch(one.key, one.key), /one\.key is not a PEM certificate/);
      await assert.rejects(watch(one.cert, one.cert), /one\.crt is not a PEM private key/);
      await assert.rejects(watch(join(dir, "none"), one.key), /Cannot read .*none: ENOENT/);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

interface Handshake {
  readonly name: string;
  readonly protocol: string | false | null;
  readonly version: string | null;
}

function handshake(port: number, protocols: string[] = [], version?: "TLSv1.1"): Promise<Handshake> {
  const versions = version === undefined ? {} : { minVersion: version, maxVersion: version };
  return new Promise((resolve, reject) => {
    const socket = connect({
      port,
      host: "127.0.0.1",
      servername: "localhost",
      rejectUnauthorized: false,
      ALPNProtocols: protocols,
      ...versions,
    });
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      const name = String(socket.getPeerCertificate().subject.CN);
      resolve({ name, protocol: socket.alpnProtocol, version: socket.getProtocol() });
      socket.destroy();
    });
  });
}

async function untilServed(port: number, name: string): Promise<void> {
  const deadline = performance.now() + 5_000;
  while ((await handshake(port)).name !== name) {
    assert.ok(performance.now() < deadline, `${name} is not served`);
    await sleep(50);
  }
}

async function replace(from: TestCertificate, to: TestCertificate): Promise<void> {
  await rename(from.key, to.key);
  await rename(from.cert, to.cert);
}
