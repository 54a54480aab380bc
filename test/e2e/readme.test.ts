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
import { CLIENTS } from "../clients/clients.ts";
import { blocks, clientSnippet, clientSnippets, forGateway, README } from "../readme-snippets.ts";
import { startTestGateway } from "./harness.ts";
import { findPythonPackages, startPythonClients } from "./python-clients.ts";

const PROJECT = fileURLToPath(new URL("../../", import.meta.url));
/** Python's libraries that python-clients.txt does not have are run by `npm run test:clients`. */
const PYTHON = ["OpenAI SDK (Python)", "Anthropic SDK (Python)", "LangChain (Python)"];
const NODE = ["OpenAI SDK (Node)", "Anthropic SDK (Node)", "Vercel's AI SDK"];
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
    const { stdout } = await run("sh", ["-c", forGateway(curl.replace(/^KEY=.*\n/, ""), gateway)], { env });
    const answer: unknown = JSON.parse(stdout);
    assert.ok(isJsonObject(answer) && answer.object === "chat.completion", stdout);
  });

  it("has snippets for Python that call the gateway", { skip: "missing" in packages && packages.missing }, async () => {
    assert.ok("folder" in packages);
    const python = await startPythonClients(gateway, packages.folder);
    try {
      for (const name of PYTHON) {
        const code = forGateway(clientSnippet(name).code, gateway);
        await answersOnce(() => python.play("snippet", { code }));
      }
    } finally {
      await python.stop();
    }
  });

  for (const name of NODE) {
    it(`has a snippet for ${name} that calls the gateway`, async () => {
      const args = ["--input-type=module", "--eval", forGateway(clientSnippet(name).code, gateway)];
      await answersOnce(() => run(process.execPath, args, { cwd: PROJECT }));
    });
  }

  it("has the variables that connect AWS's SDK", async () => {
    const variables = forGateway(clientSnippet("AWS's SDKs").code, gateway);
    const code = `
      import { BedrockRuntimeClient, ConverseCommand } from "@aws-sdk/client-bedrock-runtime";
      const messages = [{ role: "user", content: [{ text: "Hello!" }] }];
      const command = new ConverseCommand({ modelId: "amazon.nova-lite-v1:0", messages });
      await new BedrockRuntimeClient({ region: "us-east-1" }).send(command);`;
    const env = { PATH: process.env.PATH, HOME: tmpdir() };
    const args = ["-c", `${variables}exec "$@"`, "sh", process.execPath, "--input-type=module", "--eval", code];
    await answersOnce(() => run("sh", args, { cwd: PROJECT, env }));
  });

  it("connects no client by a snippet that nothing runs", () => {
    const driven = [...CLIENTS.map(({ name }) => name), ...PYTHON, ...NODE];
    const named = clientSnippets().map(({ client }) => client);
    assert.deepEqual(
      named.filter((name) => !driven.includes(name)),
      [],
    );
    assert.ok(named.length > 10);
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
