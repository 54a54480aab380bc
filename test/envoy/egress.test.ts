import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type RequestListener, request, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { TLSSocket } from "node:tls";
import { makeCertificate } from "./certificate.ts";
import { type RunningEnvoy, runEnvoy, temporaryDir } from "./running-envoy.ts";

/** Tells what arrived; fails where the path says so. */
const answer: RequestListener = (call, reply) => {
  if (call.url === "/cut") return call.socket.destroy();
  const sni = (call.socket as TLSSocket).servername ?? null;
  reply.writeHead(call.url === "/429" ? 429 : 200, { "x-amzn-requestid": "r1", server: "aws" });
  reply.end(JSON.stringify({ method: call.method, url: call.url, headers: call.headers, sni }));
};

describe("the egress listener", () => {
  let dir: string;
  let envoy: RunningEnvoy;
  let plain: Server;
  let tls: Server;
  let stranger: Server;
  before(async () => {
    dir = await temporaryDir();
    const trusted = await makeCertificate(dir, "ca", "DNS:localhost");
    const unknown = await makeCertificate(dir, "unknown", "DNS:localhost");
    plain = await listening(createServer(answer));
    tls = await listening(createTlsServer(await pem(trusted), answer));
    stranger = await listening(createTlsServer(await pem(unknown), answer));
    envoy = await runEnvoy({ socketDir: dir, caFile: trusted.cert });
  });
  after(async () => {
    await envoy[Symbol.asyncDispose]();
    for (const server of [plain, tls, stranger]) {
      server.close();
      server.closeAllConnections();
    }
    await rm(dir, { recursive: true, force: true });
  });

  it("sends to an http endpoint when told so, and leaves the signed request as it is", async () => {
    const reply = await egress(`127.0.0.1:${port(plain)}`, "/model/a%3Ab%2Fc//d/../e?x=%2F", {
      "x-gateway-upstream": "plaintext",
    });
    assert.equal(reply.status, 200);
    assert.equal(reply.headers["x-amzn-requestid"], "r1");
    const { url, headers } = JSON.parse(reply.body);
    assert.equal(url, "/model/a%3Ab%2Fc//d/../e?x=%2F");
    assert.equal(headers.host, `127.0.0.1:${port(plain)}`);
    const added = Object.keys(headers).filter((name) => name.startsWith("x-"));
    assert.deepEqual(added, ["x-amz-date"]);
  });

  it("sends over TLS otherwise, with the host's name as SNI", async () => {
    const reply = await egress(`localhost:${port(tls)}`, "/foundation-models");
    assert.equal(reply.status, 200);
    assert.equal(JSON.parse(reply.body).sni, "localhost");
  });

  it("refuses a certificate that is for another host", async () => {
    const reply = await egress(`127.0.0.1:${port(tls)}`, "/");
    assert.equal(reply.status, 503);
    assert.equal(JSON.parse(reply.body).error.code, "upstream_unavailable");
    assert.match(JSON.parse(reply.body).error.details, /CERTIFICATE_VERIFY_FAILED/);
    await envoy.logged("CERTIFICATE_VERIFY_FAILED");
  });

  it("refuses a certificate that no trusted authority signed, and says so to the service", async () => {
    const reply = await egress(`localhost:${port(stranger)}`, "/");
    assert.equal(reply.status, 503);
    assert.match(reply.headers["x-gateway-local-reply"] as string, /UF/);
    assert.match(JSON.parse(reply.body).error.details, /CERTIFICATE_VERIFY_FAILED/);
  });

  it("marks its own answers, and only these", async () => {
    const cut = await egress(`127.0.0.1:${port(plain)}`, "/cut", { "x-gateway-upstream": "plaintext" });
    assert.equal(cut.status, 503);
    assert.match(cut.headers["x-gateway-local-reply"] as string, /UC/);
    const limited = await egress(`127.0.0.1:${port(plain)}`, "/429", { "x-gateway-upstream": "plaintext" });
    assert.equal(limited.status, 429);
    assert.equal(limited.headers["x-gateway-local-reply"], undefined);
  });

  it("answers an unknown host with JSON", async () => {
    const reply = await egress("bedrock-runtime.nowhere.invalid", "/");
    assert.equal(reply.status, 503);
    assert.equal(JSON.parse(reply.body).error.flags, "DF");
  });

  function egress(host: string, path: string, headers: Record<string, string> = {}): Promise<Reply> {
    const all = { host, "x-amz-date": "20261122T000000Z", ...headers };
    return new Promise((resolve, reject) => {
      const call = request(
        { socketPath: join(dir, "egress.sock"), path, headers: all, agent: false },
        async (reply) => {
          const chunks: Buffer[] = await reply.toArray();
          resolve({ status: reply.statusCode ?? 0, headers: reply.headers, body: Buffer.concat(chunks).toString() });
        },
      );
      call.once("error", reject);
      call.end();
    });
  }
});

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

async function pem({ cert, key }: { cert: string; key: string }): Promise<{ cert: string; key: string }> {
  return { cert: await readFile(cert, "utf8"), key: await readFile(key, "utf8") };
}

async function listening<S extends Server>(server: S): Promise<S> {
  server.listen(0, "localhost");
  await once(server, "listening");
  return server;
}

function port(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address ? address.port : 0;
}
