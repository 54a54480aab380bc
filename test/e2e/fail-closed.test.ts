import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { status as grpcStatus } from "@grpc/grpc-js";
import { isScalar, parseDocument, visit } from "yaml";
import { METADATA_NAMESPACE, toMessage } from "../../src/extproc/wire.ts";
import { type Simulator, startSimulator } from "../../src/simulator/simulator.ts";
import { type RunningEnvoy, runEnvoy, temporaryDir } from "../envoy/running-envoy.ts";
import { type BrokenService, type Fault, startBrokenService } from "./broken-service.ts";
import { readError } from "./harness.ts";
import { rawRequest } from "./raw-http.ts";

/** 10 s in the file. */
const MESSAGE_TIMEOUT = "1s";

const CONVERSE_PATH = "/model/amazon.nova-lite-v1%3A0/converse";
const CONVERSE_BODY = JSON.stringify({ messages: [{ role: "user", content: [{ text: "Hello!" }] }] });

let simulator: Simulator;
let envoy: RunningEnvoy;
let service: BrokenService;

const passHeaders = toMessage({ type: "pass", event: "request_headers" });
const passAnswer = toMessage({ type: "pass", event: "response_headers" });
const passBody = toMessage({ type: "pass", event: "request_body" });

/** Everything as it came, and never a route. */
const pass: Fault = (call, { request, response_body }) => {
  if (request === "request_headers") call.write(passHeaders);
  if (request === "request_body") call.write(passBody);
  if (request === "response_headers") call.write(passAnswer);
  if (request === "response_body") {
    const { body = Buffer.alloc(0), end_of_stream = false } = response_body ?? {};
    call.write(toMessage({ type: "response_body", body, endOfStream: end_of_stream }));
  }
};

/** The one way through: metadata of the right namespace with the name of a route. */
function route(namespace: string, name: string): Fault {
  return (call, message) => {
    if (message.request !== "request_body") return pass(call, message);
    const forward = toMessage({
      type: "forward",
      setHeaders: { ":authority": new URL(simulator.url).host, ":path": CONVERSE_PATH },
      removeHeaders: [],
      body: Buffer.from(CONVERSE_BODY),
      metadata: { route: name },
    });
    const metadata = forward.dynamic_metadata?.fields?.[METADATA_NAMESPACE];
    call.write({ ...forward, dynamic_metadata: { fields: { [namespace]: metadata ?? {} } } });
  };
}

const faults: Readonly<Record<string, { fault: Fault; expected: number }>> = {
  "ends its stream before it answers the headers": { fault: (call) => call.end(), expected: 503 },
  "ends its stream between headers and body": {
    fault(call, { request }) {
      if (request !== "request_headers") return;
      call.write(passHeaders);
      call.end();
    },
    expected: 503,
  },
  "ends its stream instead of answering the body": {
    fault(call, { request }) {
      if (request === "request_headers") call.write(passHeaders);
      else call.end();
    },
    expected: 503,
  },
  "passes everything on and chooses no route": { fault: pass, expected: 503 },
  "chooses a route that does not exist": { fault: route(METADATA_NAMESPACE, "everywhere"), expected: 503 },
  "writes the route into a namespace of its own": { fault: route("somebody_else", "plaintext"), expected: 503 },
  "answers the body before it was asked": { fault: (call) => call.write(passBody), expected: 503 },
  "answers the headers of a response that nobody gave": {
    fault: (call) => call.write(passAnswer),
    expected: 503,
  },
  "answers with an empty message": { fault: (call) => call.write({}), expected: 503 },
  "fails with a gRPC status": {
    fault: (call) => call.emit("error", { code: grpcStatus.INTERNAL, details: "as told" }),
    expected: 503,
  },
  "fails with a gRPC status when it gets the body": {
    fault(call, { request }) {
      if (request === "request_headers") call.write(passHeaders);
      else call.emit("error", { code: grpcStatus.UNAVAILABLE, details: "as told" });
    },
    expected: 503,
  },
  "never answers": { fault: () => {}, expected: 504 },
  "never answers the body": {
    fault(call, { request }) {
      if (request === "request_headers") call.write(passHeaders);
    },
    expected: 504,
  },
};

before(async () => {
  simulator = await startSimulator({ verify: false });
  const socketDir = await temporaryDir();
  service = await startBrokenService(`unix:${join(socketDir, "extproc.sock")}`, {
    ...Object.fromEntries(Object.entries(faults).map(([name, { fault }]) => [name, fault])),
    "chooses a route": route(METADATA_NAMESPACE, "plaintext"),
  });
  envoy = await runEnvoy({ socketDir, edit: shortMessageTimeout });
});

after(async () => {
  await envoy[Symbol.asyncDispose]();
  await service[Symbol.asyncDispose]();
  await simulator.close();
  await rm(envoy.dir, { recursive: true, force: true });
});

describe("a request without a service that has checked it", { concurrency: true }, () => {
  for (const [name, { expected }] of Object.entries(faults)) {
    it(`goes nowhere when the service ${name}`, async () => {
      const error = await readError(await send(name));
      assert.deepEqual([error.status, error.type], [expected, expected === 504 ? "timeout_error" : "server_error"]);
      assert.notDeepEqual(service.received(name), []);
      assertNothingForwarded(name);
    });
  }

  it("of Bedrock's own API goes nowhere either, and is told so in AWS's shape", async () => {
    for (const name of ["ends its stream before it answers the headers", "passes everything on and chooses no route"]) {
      const response = await send(name, {}, `/bedrock${CONVERSE_PATH}`);
      assert.deepEqual(
        [response.status, response.headers.get("x-amzn-errortype"), Object.keys(JSON.parse(await response.text()))],
        [503, "ServiceUnavailableException", ["message"]],
      );
      assertNothingForwarded(name);
    }
  });

  it("goes nowhere whatever its headers say", async () => {
    const name = "passes everything on and chooses no route";
    const headers = {
      route: "plaintext",
      "x-route": "plaintext",
      "x-gateway-upstream": "plaintext",
      "x-gateway-local-reply": "-",
      [METADATA_NAMESPACE]: "route=plaintext",
      "bedrock-gateway": '{"route":"plaintext"}',
      "x-envoy-original-dst-host": new URL(simulator.url).host,
      "x-envoy-force-trace": "true",
      "x-envoy-retry-on": "5xx",
      "x-envoy-metadata": '{"bedrock_gateway":{"route":"plaintext"}}',
    };
    assert.equal((await readError(await send(name, headers))).status, 503);
    assertNothingForwarded(name);
  });

  it("goes to Bedrock only with the service's metadata", async () => {
    const reply = await send("chooses a route");
    await reply.text();
    assert.equal(reply.status, 200);
    assert.deepEqual(
      simulator.requests.map(({ path, body }) => [path, body]),
      [[CONVERSE_PATH, CONVERSE_BODY]],
    );
  });
});

/** With Bedrock's host: whatever lets a request out sends it there. fetch would set its own. */
async function send(
  fault: string,
  headers: Readonly<Record<string, string>> = {},
  path = "/v1/chat/completions",
): Promise<Response> {
  const host = new URL(simulator.url).host;
  const { status, body, ...reply } = await rawRequest(`http://127.0.0.1:${envoy.port}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers, host, "x-fault": fault },
    body: CONVERSE_BODY,
  });
  const kept = ["content-type", "x-amzn-errortype"].flatMap((name): [string, string][] => {
    const value = reply.headers[name];
    return value === undefined ? [] : [[name, String(value)]];
  });
  return new Response(body, { status, headers: kept });
}

function assertNothingForwarded(fault: string): void {
  assert.deepEqual(
    simulator.requests.filter(({ headers }) => headers["x-fault"] === fault),
    [],
  );
}

function shortMessageTimeout(config: string): string {
  const document = parseDocument(config);
  let changed = 0;
  visit(document, {
    Pair(_, { key, value }) {
      if (!isScalar(key) || key.value !== "message_timeout" || !isScalar(value)) return;
      value.value = MESSAGE_TIMEOUT;
      changed += 1;
    },
  });
  assert.equal(changed, 1);
  return document.toString({ lineWidth: 0 });
}
