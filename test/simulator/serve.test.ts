import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const SERVE = fileURLToPath(new URL("../../src/simulator/serve.ts", import.meta.url));

describe("the simulator as a command", () => {
  it("prints its url, answers without verifying, and ends on SIGTERM", async (t) => {
    const child = spawn(process.execPath, [SERVE, "--port", "0", "--no-verify", "--deltas", "64"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.after(() => child.kill("SIGKILL"));
    const [line] = await once(child.stdout, "data");
    const { url, pid } = JSON.parse(String(line));
    assert.equal(pid, child.pid);
    const response = await fetch(`${url}/model/any/converse-stream`, {
      method: "POST",
      body: JSON.stringify({ messages: [{ role: "user", content: [{ text: "hello" }] }] }),
    });
    assert.equal(response.status, 200);
    assert.equal((await response.text()).split("contentBlockDelta").length - 1, 64);
    child.kill("SIGTERM");
    assert.deepEqual(await once(child, "exit"), [0, null]);
  });
});
