import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, it, type TestContext } from "node:test";
import { runCommand } from "../../src/commands/command.ts";
import { configCheckCommand } from "../../src/commands/config-check.ts";

describe("config-check", () => {
  it("says ok, and what everything comes to", async (t) => {
    const file = await configFile(
      t,
      'models:\n  aliases: {gpt-4o: amazon.nova-lite-v1:0}\nimages: {fetch: {enabled: true, allow: ["*.a.com"]}}\n' +
        "responses: {store: 30d}\nprices: [{match: x.*, service_tier: flex, from: 2026-12-01, input: 0.15, output: 10}]\n",
    );
    const { code, stdout, stderr } = await check({ AWS_REGION: "eu-west-1", PORT: "9000", GATEWAY_CONFIG: file });
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    assert.match(stdout, /^ok\n/);
    for (const line of [
      /clients +http on 0\.0\.0\.0:9000/,
      /bedrock +bedrock-runtime\.eu-west-1\.amazonaws\.com \(eu-west-1\)/,
      /file +\S+gateway\.yaml/,
      /alias +gpt-4o = amazon\.nova-lite-v1:0/,
      /regions +eu-west-1/,
      /admin +127\.0\.0\.1:8001, no ADMIN_TOKEN/,
      /database +SQLite in data\/gateway\.db/,
      /image fetching +\*\.a\.com; 5242880 bytes in 8000 ms/,
      /auto caching +off/,
      /profiles +geo/,
      /responses +stored for 30 days\n/,
      /price +x\.\* \(flex\): input 0\.15, output 10, cacheRead 0\.15, .* from 2026-12-01\n/,
    ]) {
      assert.match(stdout, line);
    }
  });

  it("needs no file", async () => {
    const { code, stdout } = await check({ AWS_REGION: "eu-west-1", GATEWAY_CONFIG: " " });
    assert.equal(code, 0);
    assert.match(stdout, /file +none \(GATEWAY_CONFIG is not set\)/);
  });

  it("lists the problems of the environment and of the file together", async (t) => {
    const file = await configFile(t, "models: 3\nregions: {allowed: [us-east-1]}\n");
    const { code, stdout, stderr } = await check({ AWS_REGION: "eu-west-1", PORT: "x", GATEWAY_CONFIG: file });
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
    assert.match(stderr, /^error: The configuration has \d problems:\n {2}PORT must be/);
    assert.match(stderr, /gateway\.yaml:1:1: models must be a mapping, got 3/);
    assert.doesNotMatch(stderr, /\n +at /);
  });

  it("shows no secret", async () => {
    const env = {
      AWS_REGION: "eu-west-1",
      AWS_BEARER_TOKEN_BEDROCK: "top-secret",
      DATABASE_URL: "postgres://u:top-secret@db/x",
    };
    const { code, stdout, stderr } = await check(env);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /database +PostgreSQL\n/);
    assert.doesNotMatch(stdout + stderr, /top-secret/);
  });
});

async function check(env: Record<string, string>): Promise<{ code: number; stdout: string; stderr: string }> {
  const out = { stdout: "", stderr: "" };
  const sink = (name: keyof typeof out) => ({
    write(text: string) {
      out[name] += text;
    },
  });
  const io = { env, stdin: Readable.from([]), stdout: sink("stdout"), stderr: sink("stderr") };
  return { code: await runCommand(configCheckCommand(io), [], io), ...out };
}

async function configFile(t: TestContext, text: string): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "gateway-check-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const path = join(dir, "gateway.yaml");
  await writeFile(path, text);
  return path;
}
