/** TLS on both sides: with clients, and with Bedrock. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { makeCertificate, type TestCertificate } from "../envoy/certificate.ts";
import { ask, readError, startTestGateway, type TestGateway, uniqueModel } from "./harness.ts";
import { http2Client, rawRequest } from "./raw-http.ts";

const dir = await mkdtemp(join(tmpdir(), "gateway-tls-"));
after(() => rm(dir, { recursive: true, force: true }));
const ours = await makeCertificate(dir, "gateway", "IP:127.0.0.1");
const bedrocks = await makeCertificate(dir, "bedrock", "DNS:localhost");
const others = await makeCertificate(dir, "others", "DNS:localhost");

describe("TLS with clients", () => {
  it("is spoken in HTTP/1.1 and HTTP/2, and never plain HTTP on the same port", async () => {
    await using gateway = await startTestGateway({ env: { TLS_CERT: ours.cert, TLS_KEY: ours.key } });
    assert.match(gateway.url, /^https:/);
    const ca = readFileSync(ours.cert, "utf8");
    const headers = { authorization: `Bearer ${gateway.key}` };
    const body = JSON.stringify(ask(uniqueModel(), { stream: true }));
    const first = await rawRequest(`${gateway.url}/v1/chat/completions`, { method: "POST", headers, body, ca });
    assert.equal(first.status, 200, first.body);
    assert.match(first.body, /data: \[DONE\]\n\n$/);

    using client = http2Client(gateway.url, { ca });
    const pseudo = { ":method": "POST", ":path": "/v1/chat/completions" };
    const second = await client.request({ ...pseudo, ...headers }, body);
    assert.equal(second.status, 200, second.body);
    const line = await gateway.accessLine(String(second.headers["x-request-id"]));
    assert.deepEqual([line.protocol, line.tls], ["HTTP/2", "TLSv1.3"]);

    await assert.rejects(rawRequest(gateway.url.replace("https:", "http:")));
  });
});

describe("TLS with Bedrock", () => {
  it("checks the certificate with the operator's CA, for chats and for the catalog", async () => {
    await using gateway = await startTlsBedrock(bedrocks, bedrocks);
    for (const stream of [false, true]) {
      const response = await gateway.chat(ask(uniqueModel(), { stream }));
      assert.equal(response.status, 200, await response.text());
    }
    const list = await fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${gateway.key}` } });
    assert.equal(list.status, 200, await list.text());
    const [request] = gateway.simulator.requests;
    assert.equal(request?.headers.host, `localhost:${gateway.simulator.port}`);
  });

  for (const [name, certificate, ca] of [
    ["is of another CA", bedrocks, others],
    ["is for another host", ours, ours],
  ] as const) {
    it(`sends nothing when the certificate ${name}`, async () => {
      await using gateway = await startTlsBedrock(certificate, ca);
      const error = await readError(await gateway.chat(ask(uniqueModel())));
      assert.deepEqual([error.status, error.code], [503, "upstream_unavailable"]);
      const list = await fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${gateway.key}` } });
      assert.equal((await readError(list)).status, 503);
      assert.deepEqual(gateway.simulator.requests, []);
      const { closing } = await gateway.closedCall(error.headers.get("x-request-id"));
      assert.deepEqual([closing?.status, closing?.usage.inputTokens], ["error", 0]);
    });
  }
});

describe("a Bedrock that can't be reached", () => {
  for (const [name, endpoint] of [
    ["refuses connections", "http://127.0.0.1:1"],
    ["has no address", "https://bedrock.invalid"],
  ] as const) {
    it(`because it ${name} is 503 in JSON, and costs nothing`, async () => {
      await using gateway = await startTestGateway({
        env: { AWS_ENDPOINT_URL_BEDROCK_RUNTIME: endpoint, AWS_ENDPOINT_URL_BEDROCK: endpoint },
      });
      for (const stream of [false, true]) {
        const error = await readError(await gateway.chat(ask(uniqueModel(), { stream })));
        assert.deepEqual([error.status, error.code], [503, "upstream_unavailable"]);
        const { closing } = await gateway.closedCall(error.headers.get("x-request-id"));
        assert.deepEqual([closing?.status, closing?.usage.inputTokens], ["error", 0]);
      }
    });
  }
});

/** A gateway in front of a simulator that shows `certificate`, and that trusts `ca`. */
function startTlsBedrock(certificate: TestCertificate, ca: TestCertificate): Promise<TestGateway> {
  const tls = { cert: readFileSync(certificate.cert), key: readFileSync(certificate.key) };
  return startTestGateway({
    simulator: { tls },
    env: ({ port }) => ({
      AWS_ENDPOINT_URL_BEDROCK_RUNTIME: `https://localhost:${port}`,
      AWS_ENDPOINT_URL_BEDROCK: `https://localhost:${port}`,
      AWS_CA_BUNDLE: ca.cert,
    }),
  });
}
