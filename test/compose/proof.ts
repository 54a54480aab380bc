/**
 * Proves docker-compose.yml on a real engine: what an operator does with the deployment, and what must hold while they
 * do it. proof.sh gives it an engine and the base images; the upstream is the simulator, in a container of its own.
 *
 * Prints a line for each proof and ends with 1 at the first that fails. Everything it makes has the project's name and is
 * removed at the end, unless KEEP=1.
 */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Answer, call, chatBody } from "./client.ts";
import { createDeployment, docker, ENVOY_IMAGE, GATEWAY_IMAGE, PROJECT, ROOT, renew, SIMULATOR } from "./deployment.ts";
import { run } from "./run.ts";

const OFFICIAL_ENVOY_IMAGE = process.argv[2] ?? "";

const port = await freePort();
const tlsDir = mkdtempSync(join(tmpdir(), "gateway-proof-tls-"));
const deployment = createDeployment({ port, tlsDir });
const { compose, exec, containerId } = deployment;
let tls = false;
let key = "";
let keyId = "";

const started = Date.now();
try {
  await prove();
  console.log(`\nAll proofs passed in ${Math.round((Date.now() - started) / 1000)} s.`);
} catch (error) {
  console.log(`FAIL  ${error instanceof Error ? error.message : error}`);
  const logs = await compose(["logs", "--no-color", "--tail", "40"], { check: false });
  console.log(logs.stdout + logs.stderr);
  process.exitCode = 1;
} finally {
  if (process.env.KEEP !== "1") {
    await deployment.remove();
    rmSync(tlsDir, { recursive: true, force: true });
  }
}

async function prove(): Promise<void> {
  await deployment.remove();
  await docker(["tag", OFFICIAL_ENVOY_IMAGE, ENVOY_IMAGE]);

  await step("the image builds from the lock file", async () => {
    await compose(["build"]);
    return (await docker(["image", "inspect", "--format", "{{.Size}}", GATEWAY_IMAGE])).stdout.trim().concat(" bytes");
  });

  await step("the image holds what it needs and nothing of the checkout besides", async () => {
    const listing = await docker(["run", "--rm", "--entrypoint", "ls", GATEWAY_IMAGE, "-A", "/app"]);
    assert.deepEqual(listing.stdout.trim().split("\n").sort(), [
      "envoy",
      "node_modules",
      "package.json",
      "protos",
      "src",
    ]);
  });

  await step("`docker compose up -d --wait` starts everything, ready and healthy", async () => {
    await deployment.startSimulator();
    const begun = Date.now();
    await compose(["up", "-d", "--wait"]);
    assert.equal((await healthz()).status, 200);
    return `${Date.now() - begun} ms`;
  });

  await step("`docker compose exec gateway keys create` makes a key", async () => {
    const made: unknown = JSON.parse((await exec("gateway", ["keys", "create", "--name", "alice", "--json"])).stdout);
    ({ key, id: keyId } = issued(made));
    assert.match(key, /^sk-/);
  });

  await step("a call with the key is answered, one without it is refused", async () => {
    await assertAnswers();
    assert.equal((await chat({ bearer: "sk-wrong" })).status, 401);
  });

  await step("every process runs as uid 1000, without capabilities, on a read-only root", async () => {
    for (const service of ["gateway", "envoy"]) {
      const status = (await exec(service, ["cat", "/proc/1/status"])).stdout;
      assert.match(status, /^Uid:\s+1000\s+1000\s+1000\s+1000$/m, `${service}: ${status}`);
      assert.match(status, /^Gid:\s+1000\s+1000\s+1000\s+1000$/m);
      for (const set of ["CapPrm", "CapEff", "CapBnd"]) assert.match(status, new RegExp(`^${set}:\\s+0+$`, "m"));
      assert.match(status, /^NoNewPrivs:\s+1$/m);
      const write = await exec(service, ["sh", "-c", "touch /etc/proof"], { check: false });
      assert.match(write.stderr, /[Rr]ead-only/, `${service} can write to its root`);
    }
  });

  await step(
    "TCP reaches the clients' listener alone: admin is on loopback, egress and ext_proc are no ports",
    async () => {
      assert.deepEqual(await deployment.listeners("envoy"), ["0.0.0.0:8000"]);
      assert.deepEqual(await deployment.listeners("gateway"), ["127.0.0.1:8001"]);
      const published = await docker([
        "ps",
        "--filter",
        `label=com.docker.compose.project=${PROJECT}`,
        "--format",
        "{{.Ports}}",
      ]);
      const ports = [...published.stdout.matchAll(/:(\d+)->(\d+)\//g)].map(([, outer, inner]) => `${outer}:${inner}`);
      assert.deepEqual([...new Set(ports)], [`${port}:8000`]);
    },
  );

  await step("the sockets are open to their owner only", async () => {
    const modes = await exec("gateway", ["sh", "-c", "stat -c '%a %u %n' /run/gateway /run/gateway/*.sock"]);
    const lines = modes.stdout.trim().split("\n");
    assert.ok(lines.includes("700 1000 /run/gateway"), modes.stdout);
    assert.equal(lines.length, 4, modes.stdout);
    assert.ok(
      lines.every((line) => /^[67]00 1000 /.test(line)),
      modes.stdout,
    );
  });

  await step("a stream survives `docker compose stop`, and `start` brings everything back", async () => {
    const during = await streamDuring(() => compose(["stop"]));
    await compose(["start"]);
    await untilAnswers();
    return during;
  });

  await step("a stream survives `up -d` with a new image of the service", async () => {
    const before = await containerId("gateway");
    await renew(GATEWAY_IMAGE);
    const during = await streamDuring(() => compose(["up", "-d", "--wait"]));
    assert.notEqual(await containerId("gateway"), before);
    await untilAnswers();
    return during;
  });

  await step("a stream survives `up -d` with a new image of Envoy", async () => {
    const before = await containerId("envoy");
    await renew(ENVOY_IMAGE);
    const during = await streamDuring(() => compose(["up", "-d", "--wait"]));
    assert.notEqual(await containerId("envoy"), before);
    await untilAnswers();
    return during;
  });

  await step("a stream survives `up -d` with a changed setting", async () => {
    const during = await streamDuring(() => compose(["up", "-d", "--wait"], { env: { LOG_LEVEL: "debug" } }));
    await untilAnswers();
    return during;
  });

  await step("everything comes back after a kill without a warning, stale sockets and all", async () => {
    await compose(["kill"]);
    await compose(["up", "-d", "--wait"]);
    await untilAnswers();
  });

  await step("a killed service and a killed Envoy are started again by the engine", async () => {
    for (const service of ["gateway", "envoy"]) {
      const [pid] = (await docker(["inspect", "--format", "{{.State.Pid}}", await containerId(service)])).stdout.split(
        "\n",
      );
      // From the outside when possible: Docker starts nothing again that it was told to kill.
      await run("kill", ["-9", pid ?? ""]);
      await sleep(500);
      await untilAnswers();
    }
  });

  if (process.env.ENGINE_RESTART === "1") {
    await step("a restart of the engine (a reboot) brings the service back on its own", async () => {
      await run(join(ROOT, "test/compose/engine.sh"), ["stop"]);
      await run(join(ROOT, "test/compose/engine.sh"), ["start"]);
      await docker(["start", SIMULATOR]);
      await untilAnswers();
    });
  } else {
    console.log("SKIP  a restart of the engine: it is not ours to restart");
  }

  await step("keys and usage survive `down` and `up`", async () => {
    const before = await usage();
    assert.ok(Number(before.requests) > 5, JSON.stringify(before));
    await compose(["down"]);
    await compose(["up", "-d", "--wait"]);
    assert.deepEqual(await usage(), before);
    await untilAnswers();
    assert.equal(Number((await usage()).requests), Number(before.requests) + 1);
    return `${before.requests} requests, ${before.output_tokens} output tokens`;
  });

  await step("TLS: the certificate of an override file is served, and a renewed one without a restart", async () => {
    deployment.override("test/compose/tls.yml");
    tls = true;
    await certificate("first.test");
    await compose(["up", "-d", "--wait"]);
    assert.equal((await healthz()).servedName, "first.test");
    const running = await containerId("envoy");
    await certificate("second.test");
    const deadline = Date.now() + 10_000;
    while ((await healthz()).servedName !== "second.test") {
      assert.ok(Date.now() < deadline, "the new certificate is not served after 10 s");
      await sleep(200);
    }
    assert.equal(await containerId("envoy"), running);
  });

  await step("a revoked key stops working within 2 seconds", async () => {
    await exec("gateway", ["keys", "revoke", keyId]);
    await sleep(2000);
    assert.equal((await chat({})).status, 401);
  });
}

async function step(title: string, proof: () => Promise<unknown>): Promise<void> {
  try {
    const detail = await proof();
    console.log(`PASS  ${title}${typeof detail === "string" ? ` (${detail})` : ""}`);
  } catch (error) {
    throw new Error(`${title}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

// Clients ------------------------------------------------------------------------------------------------------------

interface ChatOptions {
  readonly bearer?: string;
  readonly stream?: boolean;
  readonly onFirst?: () => void;
}

function chat({ bearer = key, stream = false, onFirst }: ChatOptions): Promise<Answer> {
  const first = onFirst === undefined ? {} : { onFirst };
  return call({ port, tls, path: "/v1/chat/completions", key: bearer, body: chatBody(stream), ...first });
}

function healthz(): Promise<Answer> {
  return call({ port, tls, path: "/healthz" });
}

async function assertAnswers(): Promise<void> {
  const { status, body } = await chat({});
  assert.equal(status, 200, body);
  assert.match(body, /"object":\s*"chat\.completion"/);
}

/** Exactly one answered call. After a start, refused connections and 503 are what clients retry; all else is a failure. */
async function untilAnswers(): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const answer = await chat({}).catch(() => undefined);
    if (answer !== undefined && answer.status !== 503) {
      assert.equal(answer.status, 200, answer.body);
      return;
    }
    assert.ok(Date.now() < deadline, `no answer after 30 s: ${answer?.body}`);
    await sleep(100);
  }
}

/** Runs `action` in the middle of a stream, and proves that the stream came to its end. */
async function streamDuring(action: () => Promise<unknown>): Promise<string> {
  const first = Promise.withResolvers<void>();
  const reply = chat({ stream: true, onFirst: first.resolve });
  reply.catch(first.reject);
  await first.promise;
  const begun = Date.now();
  let ended = 0;
  const [{ status, body }] = await Promise.all([
    reply.finally(() => {
      ended = Date.now();
    }),
    action(),
  ]);
  const acted = Date.now();
  assert.equal(status, 200, body);
  assert.match(body, /data: \[DONE\]\n\n$/, `the stream was cut: ...${body.slice(-200)}`);
  assert.match(body, /"finish_reason":\s*"stop"/);
  assert.ok(ended - begun > 1000, "the stream was too short to prove anything");
  return `the stream went on for ${ended - begun} ms, the command took ${acted - begun} ms`;
}

/** Overwritten in place, as `cp` does it; readable for the containers' user. */
async function certificate(name: string): Promise<void> {
  const out = ["-keyout", join(tlsDir, "tls.key"), "-out", join(tlsDir, "tls.crt")];
  await run("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", `/CN=${name}`, ...out]);
  chmodSync(tlsDir, 0o755);
  chmodSync(join(tlsDir, "tls.key"), 0o644);
}

// What the commands print --------------------------------------------------------------------------------------------

function issued(value: unknown): { key: string; id: string } {
  assert.ok(typeof value === "object" && value !== null && "key" in value && "id" in value);
  return { key: String(value.key), id: String(value.id) };
}

interface Usage {
  readonly requests: unknown;
  readonly output_tokens: unknown;
}

async function usage(): Promise<Usage> {
  const rows: unknown = JSON.parse((await exec("gateway", ["usage", "--json"])).stdout);
  assert.ok(Array.isArray(rows) && rows.length === 1, JSON.stringify(rows));
  const row: unknown = rows[0];
  assert.ok(typeof row === "object" && row !== null && "requests" in row && "output_tokens" in row);
  return { requests: row.requests, output_tokens: row.output_tokens };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  assert.ok(typeof address === "object" && address !== null);
  return address.port;
}
