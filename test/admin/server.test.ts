import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startAdminServer } from "../../src/admin/server.ts";

const LOOPBACK = { host: "127.0.0.1", port: 0 };

describe("the admin server", () => {
  it("is alive while it runs, and ready unless there is a reason why not", async (t) => {
    let reason: string | undefined;
    const server = await startAdminServer({ ...LOOPBACK, notReady: () => reason });
    t.after(() => server.close());
    const get = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
      return [response.status, await response.json()];
    };
    assert.deepEqual(await get("/readyz"), [200, { status: "ok" }]);
    reason = "draining";
    assert.deepEqual(await get("/readyz"), [503, { status: "unavailable", reason: "draining" }]);
    assert.deepEqual(await get("/livez"), [200, { status: "ok" }]);
    reason = undefined;
    assert.deepEqual(await get("/readyz"), [200, { status: "ok" }]);
  });

  it("answers 404 to everything else", async (t) => {
    const server = await startAdminServer({ ...LOOPBACK, notReady: () => undefined });
    t.after(() => server.close());
    for (const path of ["/", "/v1/chat/completions", "/readyz/x"])
      assert.equal((await fetch(`http://127.0.0.1:${server.port}${path}`)).status, 404);
  });

  it("names ADMIN_PORT when its port is taken", async (t) => {
    const first = await startAdminServer({ ...LOOPBACK, notReady: () => undefined });
    t.after(() => first.close());
    await assert.rejects(
      startAdminServer({ host: "127.0.0.1", port: first.port, notReady: () => undefined }),
      new RegExp(`Port ${first.port} on 127\\.0\\.0\\.1 is in use; set ADMIN_PORT`),
    );
  });

  it("closes at once, with connections kept alive by clients, and frees its port", async () => {
    const server = await startAdminServer({ ...LOOPBACK, notReady: () => undefined });
    await (await fetch(`http://127.0.0.1:${server.port}/livez`)).arrayBuffer();
    await server.close();
    await assert.rejects(fetch(`http://127.0.0.1:${server.port}/livez`));
    const again = await startAdminServer({ host: "127.0.0.1", port: server.port, notReady: () => undefined });
    await again.close();
  });
});
