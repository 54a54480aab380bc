import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { httpGet } from "../../src/media/http-get.ts";
import { SERVER_ADDRESS, sendPng, startServer } from "./image-server.ts";

describe("httpGet", () => {
  const signal = new AbortController().signal;

  it("asks nothing of a connection whose own address is not permitted", async (t) => {
    const { port, requests } = await startServer(t, sendPng);
    const url = new URL(`http://images.test:${port}/`);
    const asked: string[] = [];
    const permits = (address: string) => asked.push(address) < 0;
    await assert.rejects(
      httpGet({ url, addresses: [SERVER_ADDRESS], permits, signal, ca: undefined }),
      /connected to 127\.0\.0\.1/,
    );
    assert.deepEqual(asked, [SERVER_ADDRESS]);
    assert.equal(requests.length, 0);
  });

  it("tries the next address where one does not answer", async (t) => {
    const { port } = await startServer(t, sendPng);
    const url = new URL(`http://images.test:${port}/`);
    const addresses = ["::1", "127.0.0.3", SERVER_ADDRESS];
    const response = await httpGet({ url, addresses, permits: () => true, signal, ca: undefined });
    assert.equal(response.statusCode, 200);
    response.destroy();
  });

  it("connects to nothing without an address", async () => {
    const url = new URL("http://images.test/");
    await assert.rejects(httpGet({ url, addresses: [], permits: () => true, signal, ca: undefined }), /no address/);
  });
});
