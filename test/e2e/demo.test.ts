import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { parseJson } from "../../src/json.ts";
import { runNpm } from "./command.ts";
import { startDemo } from "./demo.ts";

const READY_MS = 60_000;

describe("npm run demo", () => {
  it("is ready within a minute and prints a curl line that works as pasted", async () => {
    const started = performance.now();
    await using demo = await startDemo();
    assert.ok(performance.now() - started < READY_MS);
    const { stdout } = await promisify(execFile)("bash", ["-c", demo.curlLine]);
    const answer = parseJson(stdout);
    assert.partialDeepStrictEqual(answer, {
      object: "chat.completion",
      choices: [{ message: { role: "assistant", content: "You said: Hello!" }, finish_reason: "stop" }],
    });
  });

  it("runs beside another one, which does not know its key", async () => {
    const [first, second] = await Promise.all([startDemo(), startDemo()]);
    await using _first = first;
    await using _second = second;
    assert.notEqual(first.url, second.url);
    for (const [url, key, status] of [
      [first.url, first.key, 200],
      [second.url, second.key, 200],
      [first.url, second.key, 401],
      [second.url, first.key, 401],
    ] as const) {
      const reply = await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
      await reply.text();
      assert.equal(reply.status, status);
    }
  });

  for (const name of ["PORT", "ADMIN_PORT"]) {
    it(`says that ${name} is in use, and leaves nothing behind`, async () => {
      await using other = await occupiedPort();
      await using demo = await runNpm(["run", "demo"], { [name]: String(other.port) });
      assert.deepEqual(await demo.exited, { code: 1, signal: null });
      assert.match(demo.stderr(), new RegExp(`error: .*Port ${other.port}.* is in use; set ${name} to `));
      assertNoStack(demo.stderr());
      assert.deepEqual(demo.processes(), []);
      assert.deepEqual(await demo.leftovers(), []);
    });
  }
});

describe("npm start", () => {
  it("names the ways to give AWS credentials, and the demo, when there are none", async () => {
    const started = performance.now();
    await using start = await runNpm(["start"], { AWS_REGION: "us-east-1" });
    assert.deepEqual(await start.exited, { code: 1, signal: null });
    assert.ok(performance.now() - started < 10_000);
    for (const way of ["AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "EC2", "npm run demo"]) {
      assert.ok(start.stderr().includes(way), way);
    }
    assertNoStack(start.stderr());
    assert.deepEqual(start.processes(), []);
    assert.deepEqual(await start.leftovers(), []);
  });

  it("lists every mistake in its settings at once", async () => {
    await using start = await runNpm(["start"], { PORT: "abc", AWS_REGION: "moon-1", DRAIN_TIMEOUT: "soon" });
    assert.deepEqual(await start.exited, { code: 1, signal: null });
    for (const mistake of ['PORT .*"abc"', 'AWS_REGION .*"moon-1"', 'DRAIN_TIMEOUT .*"soon"']) {
      assert.match(start.stderr(), new RegExp(mistake));
    }
    assertNoStack(start.stderr());
  });
});

/** A mistake of the operator's is explained in words. */
function assertNoStack(text: string): void {
  assert.doesNotMatch(text, /^\s+at .+:\d+/m);
}

async function occupiedPort(): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : -1,
    async [Symbol.asyncDispose]() {
      server.close();
    },
  };
}
