import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { Hono } from "hono";
import { startAdminServer } from "../../src/admin/server.ts";

const LOOPBACK = { host: "127.0.0.1", port: 0 };
const app = new Hono().get("/livez", (context) => context.json({ status: "ok" }));

describe("the admin server", () => {
  it("names ADMIN_PORT when its port is taken", async (t) => {
    const first = await startAdminServer({ ...LOOPBACK, app });
    t.after(() => first.close());
    await assert.rejects(
      startAdminServer({ host: "127.0.0.1", port: first.port, app }),
      new RegExp(`Port ${first.port} on 127\\.0\\.0\\.1 is in use; set ADMIN_PORT`),
    );
  });

  it("closes at once, with connections kept alive by clients, and frees its port", async () => {
    const server = await startAdminServer({ ...LOOPBACK, app });
    await (await fetch(`http://127.0.0.1:${server.port}/livez`)).arrayBuffer();
    const begin = performance.now();
    await server.close();
    assert.ok(performance.now() - begin < 1000);
    await assert.rejects(fetch(`http://127.0.0.1:${server.port}/livez`));
    const again = await startAdminServer({ ...LOOPBACK, port: server.port, app });
    await again.close();
  });

  it("lets a request that runs have its answer before it closes", async () => {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const { promise: may, resolve: finish } = Promise.withResolvers<void>();
    const slow = new Hono().get("/", async (context) => {
      begin();
      await may;
      return context.text("done");
    });
    const server = await startAdminServer({ ...LOOPBACK, app: slow });
    const answer = fetch(`http://127.0.0.1:${server.port}/`);
    await begun;
    const closed = server.close();
    finish();
    assert.equal(await (await answer).text(), "done");
    const answered = performance.now();
    await closed;
    assert.ok(performance.now() - answered < 1000, "its connection was waited for");
  });

  it("waits for nobody who never finishes a request", async () => {
    const server = await startAdminServer({ ...LOOPBACK, app });
    const socket = connect(server.port, "127.0.0.1");
    await once(socket, "connect");
    socket.write("GET /livez HTTP/1.1\r\nhost: localhost\r\nx-slow: ");
    socket.on("error", () => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    const begin = performance.now();
    await server.close();
    assert.ok(performance.now() - begin < 5000);
    socket.destroy();
  });
});
