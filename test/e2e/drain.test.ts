import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Demo, startDemo } from "./demo.ts";
import { until } from "./harness.ts";

const PROMPT_MS = 4_000;

describe("the end of a gateway", () => {
  it("lets an open stream finish after SIGTERM, takes no new connections and leaves nothing behind", async () => {
    await using demo = await startDemo();
    const stream = await openStream(demo, 300);
    const { command } = demo;
    process.kill(command.pid, "SIGTERM");
    await sleep(2_000);
    assert.match(await newConnection(demo), /^(refused|503)$/);
    assert.deepEqual(await stream.rest(), { words: 300, done: true });
    assert.deepEqual(await command.exited, { code: 0, signal: null });
    await assertNothingLeft(demo);
  });

  it("is quick when no stream is open", async (t) => {
    await using demo = await startDemo();
    // A connection that is kept alive is no stream.
    await (await fetch(`${demo.url}/healthz`)).text();
    const started = performance.now();
    process.kill(demo.command.pid, "SIGTERM");
    assert.deepEqual(await demo.command.exited, { code: 0, signal: null });
    const took = performance.now() - started;
    t.diagnostic(`SIGTERM to the end: ${Math.round(took)} ms`);
    assert.ok(took < PROMPT_MS, `${took} ms`);
    await assertNothingLeft(demo);
  });

  it("lets an open stream finish after Ctrl-C, which every process of the group gets", async () => {
    await using demo = await startDemo();
    const stream = await openStream(demo, 150);
    process.kill(-demo.command.pid, "SIGINT");
    assert.deepEqual(await stream.rest(), { words: 150, done: true });
    assert.deepEqual(await demo.command.exited, { code: 0, signal: null });
    await assertNothingLeft(demo);
  });

  it("comes at once with a second SIGTERM", async () => {
    await using demo = await startDemo();
    const stream = await openStream(demo, 2_000);
    process.kill(demo.command.pid, "SIGTERM");
    await sleep(1_500);
    const started = performance.now();
    process.kill(demo.command.pid, "SIGTERM");
    await assert.rejects(stream.rest());
    assert.deepEqual(await demo.command.exited, { code: 0, signal: null });
    assert.ok(performance.now() - started < PROMPT_MS);
    await assertNothingLeft(demo);
  });

  it("takes its Envoy along even when it is killed", async () => {
    await using demo = await startDemo({ npm: false });
    const stream = await openStream(demo, 2_000);
    assert.ok(demo.command.processes().some(({ commandLine }) => commandLine.includes("envoy.yaml")));
    process.kill(demo.command.pid, "SIGKILL");
    await assert.rejects(stream.rest());
    await noProcessLeft(demo, 8_000);
    assert.equal(await newConnection(demo), "refused");
  });
});

/** A stream whose first words have arrived. */
async function openStream(demo: Demo, words: number) {
  const reply = await demo.stream(words);
  assert.equal(reply.status, 200);
  const chunks = reply.body?.pipeThrough(new TextDecoderStream()).getReader();
  assert.ok(chunks);
  let text = (await chunks.read()).value ?? "";
  return {
    /** Rejects when the connection breaks. */
    async rest(): Promise<{ words: number; done: boolean }> {
      for (let chunk = await chunks.read(); !chunk.done; chunk = await chunks.read()) text += chunk.value;
      return { words: text.match(/\bword\b/g)?.length ?? 0, done: text.endsWith("data: [DONE]\n\n") };
    },
  };
}

async function newConnection({ url }: Demo): Promise<string> {
  try {
    const reply = await fetch(`${url}/healthz`, { headers: { connection: "close" } });
    await reply.text();
    return String(reply.status);
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    return cause instanceof Error && "code" in cause && cause.code === "ECONNREFUSED" ? "refused" : String(cause);
  }
}

async function noProcessLeft({ command }: Demo, timeoutMs: number): Promise<void> {
  await until("the end of every process", () => command.processes().length === 0 || undefined, timeoutMs);
}

async function assertNothingLeft({ command }: Demo): Promise<void> {
  assert.deepEqual(command.processes(), []);
  assert.deepEqual(await command.leftovers(), []);
}
