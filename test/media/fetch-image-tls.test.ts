import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { makeCertificate } from "../envoy/certificate.ts";
import { PARAM, PNG, refused, sendPng, startServer, testFetcher, UNREACHABLE } from "./image-server.ts";

describe("fetching an image over TLS", { concurrency: 2 }, () => {
  it("checks the certificate for the name in the URL", async (t) => {
    const tls = await certificate(t);
    const { port } = await startServer(t, sendPng, tls);
    const fetchImage = testFetcher([port], { ca: tls.cert });
    assert.equal((await fetchImage(`https://images.test:${port}/`, PARAM)).bytes, PNG.toString("base64"));
    assert.equal((await fetchImage(`https://images.test.:${port}/`, PARAM)).format, "png");
    await refused(fetchImage(`https://other.test:${port}/`, PARAM), UNREACHABLE, /altnames/);
    await refused(testFetcher([port])(`https://images.test:${port}/`, PARAM), UNREACHABLE, /self-signed/);
  });

  it("follows no redirect to plain HTTP, and one from it", async (t) => {
    const tls = await certificate(t);
    const plain = await startServer(t, (request, response) => {
      if (request.url === "/up") response.writeHead(302, { location: `https://images.test:${secure.port}/` }).end();
      else sendPng(request, response);
    });
    const secure = await startServer(
      t,
      (request, response) => {
        if (request.url === "/down") response.writeHead(302, { location: `http://images.test:${plain.port}/` }).end();
        else sendPng(request, response);
      },
      tls,
    );
    const fetchImage = testFetcher([plain.port, secure.port], { ca: tls.cert });
    assert.equal((await fetchImage(`http://images.test:${plain.port}/up`, PARAM)).format, "png");
    await refused(
      fetchImage(`https://images.test:${secure.port}/down`, PARAM),
      /leads to a URL that this gateway does not fetch/,
    );
    assert.equal(plain.requests.length, 1);
  });
});

async function certificate(t: TestContext): Promise<{ cert: string; key: string }> {
  const dir = await mkdtemp(join(tmpdir(), "gateway-image-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const files = await makeCertificate(dir, "images", "DNS:images.test");
  return { cert: await readFile(files.cert, "utf8"), key: await readFile(files.key, "utf8") };
}
