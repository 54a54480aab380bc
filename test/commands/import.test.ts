import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { createAuthenticator } from "../../src/access/authenticate.ts";
import { openStore } from "../../src/store/open.ts";
import { tempDir } from "../store/temp-store.ts";
import { type CommandResult, runCommands, runProgram } from "./run-commands.ts";

describe("keys import", () => {
  it("makes keys of a CSV file and prints each one's secret once, as JSON, CSV or a table", async (t) => {
    const { keys, url } = open(t);
    const file = join(tempDir(t), "team.csv");
    await writeFile(file, '\ufeffname,team,budget,tags\r\n"=1+1, inc",core,50,"a,b"\r\nbob,,,\r\n');
    const made = JSON.parse((await keys("import", file, "--json")).stdout);
    assert.deepEqual(
      made.map((key: Record<string, unknown>) => [key.name, key.team, key.budget_usd, key.tags]),
      [
        ["=1+1, inc", "core", "50", ["a", "b"]],
        ["bob", null, null, []],
      ],
    );
    const csv = await runCommands(url, ["keys", "import", "-", "--csv"], "name,team\n@carol,core\n");
    assert.match(csv.stdout, /^name,owner,team,id,key\r\n'@carol,,core,key_\w{20},sk-[\w-]{43}\r\n$/);
    assert.match(csv.stderr, /only time/);
    const table = await runCommands(url, ["keys", "import", "-"], `name\n${"x".repeat(100)}\n`);
    assert.match(table.stdout, /^NAME +ID +KEY\nx{23}… {2}key_\w{20} {2}sk-[\w-]{43}\n$/);
    const store = await openStore(url);
    t.after(() => store.close());
    const authenticator = createAuthenticator({ store, now: Date.now });
    for (const { key, id } of made) assert.equal((await authenticator.authenticate(key)).key.id, id);
    assert.equal((await store.keys.list()).length, 4);
  });

  it("makes no key of a file with a fault, or for a dry run, and says so", async (t) => {
    const { keys, url } = open(t);
    await keys("create", "--name", "alice");
    const faulty = await runCommands(url, ["keys", "import", "-"], "name,rpm\nbob,5\nalice,x\n");
    assert.deepEqual([faulty.code, faulty.stdout], [1, ""]);
    assert.match(
      faulty.stderr,
      /^error: stdin has 2 problems, and no key was made:\n {2}line 3: rpm: "x".*\n {2}line 3: name: .*"alice" already\.\n$/,
    );
    const many = await runCommands(url, ["keys", "import", "-"], `name\n${"key_x\n".repeat(300)}`);
    assert.equal(many.stderr.split("\n").length, 103);
    assert.match(many.stderr, /has 599 problems[\s\S]*and 499 more\n$/);
    const dry = await runCommands(url, ["keys", "import", "-", "--dry-run", "--json"], "name,rpm\nbob,5\n");
    assert.deepEqual([dry.code, dry.stderr], [0, "stdin is in order: 1 key can be made, and none was.\n"]);
    assert.deepEqual([JSON.parse(dry.stdout)[0].name, JSON.parse(dry.stdout)[0].rpm], ["bob", 5]);
    assert.equal(JSON.parse((await keys("list", "--json")).stdout).length, 1);
  });

  it("makes 10,000 keys of a file in seconds, and none a second time", async (t) => {
    const { url, keys } = open(t);
    const names = Array.from({ length: 10_000 }, (_, n) => `user ${n}`);
    const csv = `name,team,tags,rpm,budget\r\n${names.map((name) => `"${name}",core,"a,b",5,50\r\n`).join("")}`;
    const started = performance.now();
    const { stdout, stderr } = await runProgram(url, ["keys", "import", "-", "--csv"], csv);
    assert.ok(performance.now() - started < 20_000);
    assert.match(stderr, /making 10000 keys/);
    const lines = stdout.split("\r\n").slice(1, -1);
    assert.deepEqual(
      lines.map((line) => line.split(",")[0]),
      names,
    );
    assert.equal(new Set(lines.map((line) => line.split(",")[4])).size, 10_000);
    assert.equal((await runCommands(url, ["keys", "import", "-"], csv)).code, 1);
    assert.equal(JSON.parse((await keys("list", "--json")).stdout).length, 10_000);
  });
});

function open(t: TestContext): { url: string; keys: (...args: string[]) => Promise<CommandResult> } {
  const url = `sqlite:${tempDir(t)}/data/gateway.db`;
  return { url, keys: (...args) => runCommands(url, ["keys", ...args]) };
}
