import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import http, { type IncomingMessage, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { type BedrockClientOptions, createBedrockClient } from "../../src/bedrock/client.ts";
import { GatewayError } from "../../src/errors.ts";
import { verifySignature } from "../../src/simulator/signature.ts";

const CREDENTIALS = { kind: "sigv4", accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" } as const;

describe("the client for Bedrock", () => {
  it("sends a signed GET with its query to the endpoint, under its base path", async (t) => {
    const { authority, seen } = await server(t, (_, response) => response.end('{"ok":true}'));
    const query = { maxResults: "1000", nextToken: "a/b+c= d'!" };
    const answer = await client({ endpoint: { authority, tls: false, basePath: "/base" } }).get(
      "/inference-profiles",
      query,
      5_000,
    );
    assert.deepEqual(answer, { ok: true });
    const [request] = seen;
    assert.equal(request?.method, "GET");
    assert.equal(request?.url?.split("?")[0], "/base/inference-profiles");
    assert.deepEqual(Object.fromEntries(new URLSearchParams(request?.url?.split("?")[1])), query);
    assert.equal(request?.headers["x-gateway-upstream"], undefined);
    assert.equal(verify(request), "us-east-1");
  });

  it("signs an ARN in the path as it sends it", async (t) => {
    const { authority, seen } = await server(t, (_, response) => response.end("{}"));
    const arn = encodeURIComponent("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc");
    await client({ endpoint: { authority, tls: false, basePath: "" } }).get(`/inference-profiles/${arn}`, {}, 5_000);
    assert.equal(seen[0]?.url, `/inference-profiles/${arn}`);
    assert.equal(verify(seen[0]), "us-east-1");
  });

  it("goes through the egress listener's socket with Bedrock's own host, and says when no TLS is wanted", async (t) => {
    const { path, seen } = await socketServer(t);
    for (const tls of [true, false]) {
      const endpoint = { authority: "bedrock.us-east-1.amazonaws.com", tls, basePath: "" };
      await client({ endpoint, egress: { socketPath: path } }).get("/foundation-models", {}, 5_000);
    }
    assert.deepEqual(
      seen.map(({ headers }) => [headers.host, headers["x-gateway-upstream"]]),
      [
        ["bedrock.us-east-1.amazonaws.com", undefined],
        ["bedrock.us-east-1.amazonaws.com", "plaintext"],
      ],
    );
    for (const request of seen) assert.equal(verify(request), "us-east-1");
  });

  it("goes through an egress listener on a port", async (t) => {
    const { port, seen } = await server(t, (_, response) => response.end("{}"));
    const endpoint = { authority: "bedrock.us-east-1.amazonaws.com", tls: true, basePath: "" };
    await client({ endpoint, egress: { host: "127.0.0.1", port } }).get("/foundation-models", {}, 5_000);
    assert.equal(seen[0]?.headers.host, "bedrock.us-east-1.amazonaws.com");
  });

  it("throws Bedrock's errors", async (t) => {
    const { authority } = await server(t, (_, response) => {
      response.writeHead(429, { "x-amzn-errortype": "ThrottlingException:http://x", "retry-after": "7" });
      response.end('{"message":"slow"}');
    });
    await assert.rejects(direct(authority).get("/x", {}, 5_000), { code: "rate_limit_exceeded", retryAfter: 7 });
  });

  it("throws upstream_invalid_response for an answer that is not JSON", async (t) => {
    const { authority } = await server(t, (_, response) => response.end("<html>"));
    await assert.rejects(direct(authority).get("/x", {}, 5_000), { code: "upstream_invalid_response" });
  });

  const failures: readonly (readonly [what: string, listener: RequestListener])[] = [
    ["that never comes", () => {}],
    ["that stops half-way", (_, response) => void response.writeHead(200, { "content-length": "10" }).write("{")],
    ["whose connection breaks", (request) => request.socket.destroy()],
    [
      "whose connection breaks half-way",
      (request, response) => {
        response.writeHead(200, { "content-length": "10" }).write("{");
        setTimeout(() => request.socket.destroy(), 20);
      },
    ],
    [
      "that is endless",
      (_, response) => {
        const chunk = Buffer.alloc(1024 * 1024, "x");
        const write = () => {
          while (!response.destroyed && response.write(chunk));
        };
        response.on("drain", write);
        write();
      },
    ],
  ];
  for (const [what, listener] of failures) {
    it(`throws upstream_unavailable for an answer ${what}, once and for all`, async (t) => {
      const { authority } = await server(t, listener);
      const timeoutMs = what === "that is endless" ? 10_000 : 200;
      await assert.rejects(direct(authority).get("/x", {}, timeoutMs), unavailable);
      // A second error event of the same call would end the process.
      await new Promise((resolve) => setTimeout(resolve, 30));
    });
  }

  it("throws upstream_unavailable when nobody listens", async () => {
    await assert.rejects(direct("127.0.0.1:1").get("/x", {}, 5_000), unavailable);
  });

  it("throws what the credentials throw, without calling Bedrock", async (t) => {
    const { authority, seen } = await server(t, (_, response) => response.end("{}"));
    const failure = new GatewayError("upstream_auth_error", "none");
    const credentials = { get: () => Promise.reject(failure) };
    await assert.rejects(
      client({ endpoint: { authority, tls: false, basePath: "" }, credentials }).get("/x", {}, 5_000),
      failure,
    );
    assert.equal(seen.length, 0);
  });

  it("joins an answer of several chunks, cut inside a letter", async (t) => {
    const { authority } = await server(t, (_, response) => {
      const bytes = Buffer.from('{"name":"é"}');
      response.write(bytes.subarray(0, 10));
      setTimeout(() => response.end(bytes.subarray(10)), 10);
    });
    assert.deepEqual(await direct(authority).get("/x", {}, 5_000), { name: "é" });
  });
});

function client(options: Partial<BedrockClientOptions>) {
  return createBedrockClient({
    region: "us-east-1",
    endpoint: { authority: "unused", tls: false, basePath: "" },
    egress: undefined,
    credentials: { get: async () => CREDENTIALS },
    ...options,
  });
}

function direct(authority: string) {
  return client({ endpoint: { authority, tls: false, basePath: "" } });
}

function unavailable(error: unknown): boolean {
  assert.ok(error instanceof GatewayError);
  assert.equal(error.code, "upstream_unavailable");
  assert.ok(error.cause instanceof Error);
  return true;
}

async function listen(t: TestContext, listener: RequestListener, where: { port: number } | { path: string }) {
  const seen: IncomingMessage[] = [];
  const listening = http.createServer((request, response) => {
    seen.push(request);
    listener(request, response);
  });
  listening.listen({ host: "127.0.0.1", ...where });
  await once(listening, "listening");
  t.after(() => {
    listening.close();
    listening.closeAllConnections();
  });
  return { listening, seen };
}

async function server(t: TestContext, listener: RequestListener) {
  const { listening, seen } = await listen(t, listener, { port: 0 });
  const { port } = listening.address() as AddressInfo;
  return { authority: `127.0.0.1:${port}`, port, seen };
}

async function socketServer(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "gateway-client-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "egress.sock");
  return { path, ...(await listen(t, (_, response) => response.end("{}"), { path })) };
}

function verify(request: IncomingMessage | undefined): string {
  assert.ok(request);
  const { method = "", url = "", rawHeaders } = request;
  return verifySignature(
    { method, target: url, rawHeaders, body: Buffer.alloc(0) },
    { credentials: [CREDENTIALS], regions: ["us-east-1"], now: Date.now() },
  );
}
