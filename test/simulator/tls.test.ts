import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { startSimulator } from "../../src/simulator/simulator.ts";

describe("the simulator with a certificate", () => {
  it("speaks HTTPS, and only with who trusts the certificate", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "simulator-tls-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const [keyFile, certFile] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyFile];
    execFileSync("openssl", ["req", "-x509", "-days", "1", ...key, "-out", certFile, ...subject], { stdio: "ignore" });
    const cert = readFileSync(certFile);
    const simulator = await startSimulator({ tls: { key: readFileSync(keyFile), cert }, verify: false });
    t.after(() => simulator.close());
    assert.match(simulator.url, /^https:/);
    assert.equal(await status(`${simulator.url}/foundation-models`, cert), 200);
    await assert.rejects(status(`${simulator.url}/foundation-models`), /self-signed certificate/);
  });
});

function status(url: string, ca?: Buffer): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const call = request(url, ca === undefined ? {} : { ca }, (response) => {
      response.resume().on("end", () => resolve(response.statusCode));
    });
    call.on("error", reject).end();
  });
}
