import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { renderEnvoyConfig } from "../../src/envoy/config.ts";
import { startEnvoy } from "../../src/envoy/process.ts";
import { envoyBinary, runEnvoy, TEMPLATE, temporaryDir } from "./running-envoy.ts";

describe("startEnvoy", () => {
  it("says that a port is in use", async () => {
    const other = createServer();
    other.listen(0, "127.0.0.1");
    await once(other, "listening");
    const dir = await temporaryDir();
    try {
      const address = other.address();
      const port = typeof address === "object" && address ? address.port : 0;
      const config = renderEnvoyConfig(TEMPLATE, { host: "127.0.0.1", port, socketDir: dir });
      const start = startEnvoy({ binary: await envoyBinary(), config, runDir: dir, log: () => {} });
      await assert.rejects(start, new RegExp(`^Error: Port ${port} is in use; set PORT to another one\\.$`));
    } finally {
      other.close();
      await rm(dir, { recursive: true });
    }
  });

  it("fails while it waits when Envoy does not take its configuration", async () => {
    const dir = await temporaryDir();
    try {
      const config = renderEnvoyConfig(TEMPLATE, { host: "127.0.0.1", port: 0, socketDir: dir });
      const broken = config.replace("codec_type: AUTO", "codec_type: MORSE");
      const binary = await envoyBinary();
      const stderr = openSync("/dev/null", "w");
      const envoy = await startEnvoy({ binary, config: broken, runDir: dir, log: () => {}, stderr });
      await assert.rejects(envoy.ready(), /Envoy ended while it started \(exit code 1\)/);
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it("names a binary that does not run", async () => {
    const dir = await temporaryDir();
    try {
      const config = renderEnvoyConfig(TEMPLATE, { host: "127.0.0.1", port: 0, socketDir: dir });
      await assert.rejects(
        startEnvoy({ binary: "/nowhere/envoy", config, runDir: dir, log: () => {} }),
        /Cannot run \/nowhere\/envoy/,
      );
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it("keeps the admin and egress interfaces on sockets of its own user, and off the network", async () => {
    await using envoy = await runEnvoy();
    for (const name of ["admin.sock", "egress.sock"]) {
      const { mode } = await stat(join(envoy.dir, name));
      assert.equal(mode & 0o777, 0o600, name);
    }
    const { body } = await envoy.process.admin("GET", "/listeners");
    assert.deepEqual(body.match(/^\w+/gm)?.sort(), ["clients", "egress"]);
    assert.match(body, /egress::.*egress\.sock/);
    assert.deepEqual(await listeningPorts(envoy.process.pid), [envoy.port]);
  });

  it("does not outlive a parent that was killed", { skip: process.platform === "win32" }, async () => {
    const dir = await temporaryDir();
    const script = join(dir, "parent.ts");
    const source = (path: string): string => new URL(path, import.meta.url).href;
    await writeFile(
      script,
      `import { runEnvoy } from ${JSON.stringify(source("./running-envoy.ts"))};
       const envoy = await runEnvoy({ socketDir: ${JSON.stringify(dir)} });
       console.log(envoy.process.pid);
       setInterval(() => {}, 1000);`,
    );
    const parent = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      const [line] = await once(parent.stdout, "data");
      const pid = Number(String(line));
      assert.ok(alive(pid));
      parent.kill("SIGKILL");
      await until(() => !alive(pid), 5_000);
    } finally {
      parent.kill("SIGKILL");
      await rm(dir, { recursive: true });
    }
  });
});

describe("drain", () => {
  it("ends an idle Envoy at once", async () => {
    await using envoy = await runEnvoy();
    await fetch(`http://127.0.0.1:${envoy.port}/`).then((reply) => reply.text());
    const started = performance.now();
    assert.deepEqual(await envoy.process.drain({ timeoutMs: 30_000 }), { code: 0, signal: null });
    assert.ok(performance.now() - started < 2_000);
  });

  it("lets a request under way finish first", async () => {
    await using service = await silentService();
    await using envoy = await runEnvoy({ socketDir: service.dir });
    const reply = fetch(`http://127.0.0.1:${envoy.port}/v1/models`);
    await until(() => service.sockets.size > 0, 5_000);
    const drained = envoy.process.drain({ timeoutMs: 30_000 });
    await sleep(500);
    assert.ok(alive(envoy.process.pid));
    await service.close();
    assert.equal((await reply).status, 503);
    assert.equal((await reply).headers.get("connection"), "close");
    assert.deepEqual(await drained, { code: 0, signal: null });
  });

  it("cuts off what does not finish in time, and says so", async () => {
    await using service = await silentService();
    await using envoy = await runEnvoy({ socketDir: service.dir });
    const reply = fetch(`http://127.0.0.1:${envoy.port}/v1/models`).catch((error: Error) => error);
    await until(() => service.sockets.size > 0, 5_000);
    const drain = () => envoy.process.drain({ timeoutMs: 300 });
    const [first, second] = await Promise.all([drain(), drain()]);
    assert.equal(first, second);
    assert.ok((await reply) instanceof Error);
    assert.deepEqual(envoy.messages, ["1 requests did not finish within 0.3 s and are cut off."]);
  });

  it("resolves when Envoy has crashed already", async () => {
    await using envoy = await runEnvoy();
    process.kill(envoy.process.pid, "SIGKILL");
    assert.deepEqual(await envoy.process.exited, { code: null, signal: "SIGKILL" });
    assert.deepEqual(await envoy.process.drain({ timeoutMs: 1_000 }), { code: null, signal: "SIGKILL" });
  });
});

interface SilentService extends AsyncDisposable {
  readonly dir: string;
  readonly sockets: Set<Socket>;
  close(): Promise<void>;
}

/** Accepts ext_proc's connections and never answers: a request stays under way until message_timeout (10 s). */
async function silentService(): Promise<SilentService> {
  const dir = await temporaryDir();
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.resume();
  });
  server.listen(join(dir, "extproc.sock"));
  await once(server, "listening");
  const close = async (): Promise<void> => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  const dispose = async (): Promise<void> => {
    await close();
    await rm(dir, { recursive: true, force: true });
  };
  return { dir, sockets, close, [Symbol.asyncDispose]: dispose };
}

async function until(condition: () => boolean, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    assert.ok(performance.now() < deadline, "it took too long");
    await sleep(20);
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** TCP ports that a process listens on, from /proc; elsewhere the answer is not checked. */
async function listeningPorts(pid: number): Promise<number[]> {
  const inodes = new Set<string>();
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "");
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined) inodes.add(inode);
  }
  const LISTEN = "0A";
  const ports = new Set<number>();
  for (const table of ["tcp", "tcp6"]) {
    const lines = (await readFile(`/proc/${pid}/net/${table}`, "utf8").catch(() => "")).split("\n").slice(1);
    for (const line of lines) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state === LISTEN && inode && inodes.has(inode)) ports.add(Number.parseInt(local?.split(":")[1] ?? "", 16));
    }
  }
  return [...ports];
}
