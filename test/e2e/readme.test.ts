/** What README.md tells people to paste, run as it stands; only the address, the key and the file's name are ours. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { isJsonObject } from "../../src/json.ts";
import { readOperatorConfig } from "../../src/operator-config.ts";
import { startTestGateway } from "./harness.ts";
import { findPythonPackages, startPythonClients } from "./python-clients.ts";

const PROJECT = fileURLToPath(new URL("../../", import.meta.url));
const README = await readFile(join(PROJECT, "README.md"), "utf8");
const ADDRESS = "http://127.0.0.1:8000";
const run = promisify(execFile);

const curlMissing = await run("curl", ["--version"]).then(
  () => false,
  () => "there is no curl here",
);
const packages = await findPythonPackages();
const gateway = await startTestGateway();
after(() => gateway.stop());

describe("README.md", () => {
  it("has a curl line that is answered", { skip: curlMissing }, async () => {
    const curl = blocks("sh").find((code) => code.includes("curl"));
    assert.ok(curl);
    assert.match(curl, /^KEY=\$\(npm run -s keys -- create /);
    const env = { PATH: process.env.PATH, KEY: gateway.key };
    const { stdout } = await run("sh", ["-c", here(curl.replace(/^KEY=.*\n/, ""))], { env });
    const answer: unknown = JSON.parse(stdout);
    assert.ok(isJsonObject(answer) && answer.object === "chat.completion", stdout);
  });

  it("has snippets for Python that call the gateway", { skip: "missing" in packages && packages.missing }, async () => {
    assert.ok("folder" in packages);
    const snippets = blocks("python");
    assert.equal(snippets.length, 2);
    const python = await startPythonClients(gateway, packages.folder);
    try {
      for (const code of snippets) await answersOnce(() => python.play("snippet", { code: here(code) }));
    } finally {
      await python.stop();
    }
  });

  it("has a snippet for Node.js that calls the gateway", async () => {
    const snippets = blocks("js");
    assert.equal(snippets.length, 1);
    for (const code of snippets) {
      const args = ["--input-type=module", "--eval", here(code)];
      await answersOnce(() => run(process.execPath, args, { cwd: PROJECT }));
    }
  });

  it("shows an operator's file without a mistake", async () => {
    const file = blocks("yaml").find((text) => text.includes("aliases:"));
    assert.ok(file);
    const dir = await mkdtemp(join(tmpdir(), "readme-"));
    try {
      const path = join(dir, "gateway.yaml");
      await writeFile(path, file);
      const { models } = await readOperatorConfig(path, "us-east-1");
      assert.ok(models.aliases.has("gpt-4o"));
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it("names scripts that exist", async () => {
    const { scripts }: { scripts: Record<string, string> } = JSON.parse(
      await readFile(join(PROJECT, "package.json"), "utf8"),
    );
    const named = [...README.matchAll(/npm run (?:-s )?([a-z:]+)/g)].map(([, name = ""]) => name);
    assert.ok(named.length > 5);
    assert.deepEqual(
      named.filter((name) => !(name in scripts)),
      [],
    );
  });
});

function blocks(language: string): string[] {
  return [...README.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))].map(([, code = ""]) => code);
}

/** The code of a block for this gateway. */
function here(code: string): string {
  assert.ok(code.includes(ADDRESS), `no ${ADDRESS} in:\n${code}`);
  return code.replaceAll(ADDRESS, gateway.url).replaceAll("sk-…", gateway.key);
}

async function answersOnce(paste: () => Promise<unknown>): Promise<void> {
  const before = gateway.simulator.requests.length;
  const result = await paste();
  const made = gateway.simulator.requests.slice(before);
  assert.deepEqual(
    made.map(({ operation, status }) => [operation, status]),
    [["Converse", 200]],
    JSON.stringify(result),
  );
}
