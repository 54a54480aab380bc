import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { GatewayError } from "../../src/errors.ts";
import { PARAM, PNG, refused, SERVER_ADDRESS, sendPng, startServer, testFetcher, UNREACHABLE } from "./image-server.ts";

describe("fetching an image", { concurrency: 4 }, () => {
  it("gives its format and its bytes", async (t) => {
    const { port } = await startServer(t, sendPng);
    const image = await testFetcher([port])(`http://images.test:${port}/a.png?x=1#f`, PARAM);
    assert.deepEqual(image, { format: "png", bytes: PNG.toString("base64") });
  });

  it("sends no more than it has to", async (t) => {
    const { port, requests } = await startServer(t, sendPng);
    await testFetcher([port])(`http://images.test:${port}/a.png?x=1#f`, PARAM);
    assert.equal(requests[0]?.url, "/a.png?x=1");
    assert.deepEqual(requests[0]?.headers, {
      accept: "image/*",
      "accept-encoding": "identity",
      "user-agent": "bedrock-gateway",
      host: `images.test:${port}`,
      connection: "close",
    });
  });

  const kinds: readonly (readonly [format: string, head: Buffer])[] = [
    ["png", Buffer.from("\x89PNG\r\n\x1a\n", "latin1")],
    ["jpeg", Buffer.from([0xff, 0xd8, 0xff, 0xe0])],
    ["gif", Buffer.from("GIF89a")],
    ["webp", Buffer.from("RIFF\x10\0\0\0WEBPVP8 ", "latin1")],
  ];
  for (const [format, head] of kinds) {
    it(`knows ${format} by its bytes, whatever the server calls it, and in pieces of one byte`, async (t) => {
      const { port } = await startServer(t, async (_request, response) => {
        response.writeHead(200, { "content-type": "text/html" });
        for (const byte of head) {
          response.write(Buffer.from([byte]));
          await sleep(1);
        }
        response.end(Buffer.alloc(40));
      });
      const image = await testFetcher([port])(`http://images.test:${port}/`, PARAM);
      assert.equal(image.format, format);
      assert.deepEqual(Buffer.from(image.bytes, "base64"), Buffer.concat([head, Buffer.alloc(40)]));
    });
  }

  for (const body of [
    "<!doctype html><p>Sign in",
    "<svg xmlns='x'/>",
    "%PDF-1.7 and so on",
    "BM123456789012345",
    "x",
    "",
    "\x89P",
  ]) {
    it(`refuses what is no image though the server says so: ${JSON.stringify(body)}`, async (t) => {
      const { port } = await startServer(t, (_request, response) => {
        response.writeHead(200, { "content-type": "image/png" }).end(body);
      });
      await refused(
        testFetcher([port])(`http://images.test:${port}/`, PARAM),
        /must lead to a PNG, JPEG, GIF or WebP image/,
      );
    });
  }

  it("refuses any other status than 200 and names it", async (t) => {
    const { port } = await startServer(t, (request, response) => {
      response.writeHead(Number(request.url?.slice(1))).end(PNG);
    });
    for (const status of [201, 204, 206, 300, 304, 404, 500]) {
      await refused(
        testFetcher([port])(`http://images.test:${port}/${status}`, PARAM),
        new RegExp(`was answered with status ${status} by its server`),
      );
    }
  });

  it("refuses a compressed body, which could be a bomb", async (t) => {
    const { port } = await startServer(t, (_request, response) => {
      response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(PNG));
    });
    await refused(testFetcher([port])(`http://images.test:${port}/`, PARAM), /is sent compressed/);
  });

  it("is off where the operator has not turned it on, and says what to do", async () => {
    const fetchImage = testFetcher([], { enabled: false, lookup: () => assert.fail("looked up") });
    await refused(
      fetchImage("https://images.test/a.png", PARAM),
      /fetches none: send the image itself as "data:image\/png;base64,\.\.\.", or ask its operator to enable images\.fetch\.$/,
    );
  });

  it("keeps to the operator's list of hosts", async (t) => {
    const { port, requests } = await startServer(t, sendPng);
    const fetchImage = testFetcher([], { allow: [`good.test:${port}`] });
    await refused(
      fetchImage(`http://bad.test:${port}/`, PARAM),
      /names a server that this gateway fetches no images from/,
    );
    assert.equal(requests.length, 0);
    await fetchImage(`http://good.test:${port}/`, PARAM);
    await fetchImage(`http://GOOD.test.:${port}/`, PARAM);
    assert.equal(requests[1]?.headers.host, `good.test:${port}`);
  });
});

describe("redirects", { concurrency: 4 }, () => {
  it("are followed three times, relative ones too", async (t) => {
    const { port, requests } = await startServer(t, (request, response) => {
      const hop = Number(request.url?.slice(1));
      if (hop === 3) return sendPng(request, response);
      response.writeHead([301, 302, 307][hop] ?? 308, { location: `${hop + 1}`, "set-cookie": "a=b" }).end();
    });
    await testFetcher([port])(`http://images.test:${port}/0`, PARAM);
    assert.deepEqual(
      requests.map(({ url }) => url),
      ["/0", "/1", "/2", "/3"],
    );
    assert.ok(requests.every(({ headers }) => headers.cookie === undefined && headers.referer === undefined));
  });

  it("end after the third", async (t) => {
    const { port, requests } = await startServer(t, (_request, response) => {
      response.writeHead(302, { location: "/again" }).end();
    });
    await refused(testFetcher([port])(`http://images.test:${port}/0`, PARAM), /leads through more than 3 redirects/);
    assert.equal(requests.length, 4);
  });

  it("to a private address are refused as if nobody answered, in every spelling", async (t) => {
    let target = "";
    const { port, requests } = await startServer(t, (_request, response) => {
      response.writeHead(302, { location: target.replace("PORT", String(port)) }).end();
    });
    const fetchImage = testFetcher([port], {
      allow: [`images.test:${port}`, `127.0.0.2:${port}`, "[::1]", "169.254.169.254"],
    });
    for (target of [
      "http://127.0.0.2:PORT/",
      "//127.0.0.2:PORT/",
      "http://0x7f000002:PORT/",
      "http://[::1]/",
      "http://169.254.169.254/latest",
    ]) {
      await refused(fetchImage(`http://images.test:${port}/`, PARAM), UNREACHABLE, /which is not a public one/);
    }
    assert.equal(requests.length, 5);
  });

  it("keep to the operator's list of hosts", async (t) => {
    const { port, requests } = await startServer(t, (_request, response) => {
      response.writeHead(302, { location: `http://other.test:${port}/` }).end();
    });
    const fetchImage = testFetcher([], { allow: [`images.test:${port}`] });
    await refused(
      fetchImage(`http://images.test:${port}/`, PARAM),
      /leads to a server that this gateway fetches no images from/,
    );
    assert.equal(requests.length, 1);
  });

  for (const location of [
    "file:///etc/passwd",
    "ftp://a.test/",
    "http://u:p@images.test/",
    "http://[",
    "",
    `/${"a".repeat(9_000)}`,
  ]) {
    it(`to what is no fetchable URL are refused: ${JSON.stringify(location.slice(0, 30))}`, async (t) => {
      const { port } = await startServer(t, (_request, response) => {
        response.writeHead(302, { location }).end();
      });
      await refused(
        testFetcher([port])(`http://images.test:${port}/`, PARAM),
        /leads to a URL that this gateway does not fetch/,
      );
    });
  }
});

describe("a name that changes its address", () => {
  it("has no effect: what was checked is what is connected to", async (t) => {
    const { port, requests } = await startServer(t, sendPng);
    let lookups = 0;
    const lookup = async () => [++lookups === 1 ? SERVER_ADDRESS : "127.0.0.2"];
    await testFetcher([port], { lookup })(`http://rebind.test:${port}/`, PARAM);
    assert.equal(lookups, 1);
    assert.equal(requests.length, 1);
  });

  it("is checked again for every redirect", async (t) => {
    const { port, requests } = await startServer(t, (_request, response) => {
      response.writeHead(302, { location: "/next" }).end();
    });
    let lookups = 0;
    const lookup = async () => [++lookups === 1 ? SERVER_ADDRESS : "127.0.0.2"];
    await refused(
      testFetcher([port], { lookup })(`http://rebind.test:${port}/`, PARAM),
      UNREACHABLE,
      /not a public one/,
    );
    assert.equal(requests.length, 1);
  });

  it("is not connected to when one of its addresses is private", async (t) => {
    const { port, requests } = await startServer(t, sendPng);
    const lookup = async () => [SERVER_ADDRESS, "10.0.0.1"];
    await refused(testFetcher([port], { lookup })(`http://mixed.test:${port}/`, PARAM), UNREACHABLE, /10\.0\.0\.1/);
    assert.equal(requests.length, 0);
  });
});

describe("a refused address, a closed port, an unknown name and a silent server", { concurrency: 4 }, () => {
  it("read the same", async (t) => {
    const closed = await closedPort();
    const silent = createTcpServer();
    await new Promise<void>((resolve) => silent.listen(0, SERVER_ADDRESS, resolve));
    t.after(() => silent.close());
    silent.on("connection", (socket) => t.after(() => socket.destroy()));
    const address = silent.address();
    assert.ok(typeof address === "object" && address !== null);
    const fetchImage = testFetcher([closed, address.port], {
      timeoutMs: 300,
      lookup: async (host) => {
        if (host === "unknown.test") throw new Error("ENOTFOUND");
        return host === "stuck.test" ? new Promise(() => {}) : [SERVER_ADDRESS];
      },
    });
    await refused(fetchImage(`http://127.0.0.2:${closed}/`, PARAM), UNREACHABLE, /not a public one/);
    await refused(fetchImage(`http://images.test:${closed}/`, PARAM), UNREACHABLE, /ECONNREFUSED/);
    await refused(fetchImage(`http://unknown.test:${closed}/`, PARAM), UNREACHABLE, /ENOTFOUND/);
    await refused(fetchImage(`http://stuck.test:${closed}/`, PARAM), UNREACHABLE, /took longer than 300 ms/);
    await refused(fetchImage(`http://images.test:${address.port}/`, PARAM), UNREACHABLE);
    await refused(fetchImage(`https://images.test:${address.port}/`, PARAM), UNREACHABLE);
  });

  for (const answer of [
    "SSH-2.0-OpenSSH_9\r\n",
    `HTTP/1.1 200 OK\r\nx: ${"a".repeat(20_000)}`,
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "",
  ]) {
    it(`and so does a server that speaks no HTTP: ${JSON.stringify(answer.slice(0, 30))}`, async (t) => {
      const server = createTcpServer((socket) => {
        socket.on("error", () => {});
        socket.end(answer);
      });
      await new Promise<void>((resolve) => server.listen(0, SERVER_ADDRESS, resolve));
      t.after(() => server.close());
      const address = server.address();
      assert.ok(typeof address === "object" && address !== null);
      await refused(testFetcher([address.port])(`http://images.test:${address.port}/`, PARAM), UNREACHABLE);
    });
  }
});

describe("limits", { concurrency: 4 }, () => {
  it("cut an endless body off at the size limit", async (t) => {
    const piece = Buffer.alloc(64 * 1024);
    let written = 0;
    const closed = Promise.withResolvers<void>();
    const { port } = await startServer(t, (_request, response) => {
      response.writeHead(200).write(PNG);
      const more = () => {
        while (written < 100 * 1024 * 1024 && !response.destroyed) {
          written += piece.length;
          if (!response.write(piece)) return void response.once("drain", more);
        }
        response.end();
      };
      response.on("close", closed.resolve);
      more();
    });
    await refused(
      testFetcher([port])(`http://images.test:${port}/`, PARAM),
      /is larger than the 1048576 bytes that this gateway fetches/,
    );
    await closed.promise;
    assert.ok(written < 30 * 1024 * 1024, `the server could send ${written} bytes`);
  });

  it("refuse an announced size before the body comes", async (t) => {
    const { port } = await startServer(t, (_request, response) => {
      response.writeHead(200, { "content-length": 1024 * 1024 + 1 }).flushHeaders();
    });
    await refused(testFetcher([port])(`http://images.test:${port}/`, PARAM), /is larger than/);
  });

  it("take an image of exactly the size limit, and none of one byte more", async (t) => {
    const { port } = await startServer(t, sendPng);
    const image = await testFetcher([port], { maxBytes: PNG.length })(`http://images.test:${port}/`, PARAM);
    assert.equal(image.format, "png");
    await refused(
      testFetcher([port], { maxBytes: PNG.length - 1 })(`http://images.test:${port}/`, PARAM),
      /is larger than/,
    );
  });

  it("end a body that trickles", async (t) => {
    const { port } = await startServer(t, (_request, response) => {
      response.writeHead(200).write(PNG);
      const timer = setInterval(() => response.write("x"), 10);
      response.on("close", () => clearInterval(timer));
    });
    const start = performance.now();
    await refused(
      testFetcher([port], { timeoutMs: 300 })(`http://images.test:${port}/`, PARAM),
      /was not sent completely or in time/,
    );
    assert.ok(performance.now() - start < 3_000);
  });

  it("refuse a body in chunks of one byte, each of which costs as much as a large one", async (t) => {
    const chunks = Buffer.from("1\r\nx\r\n".repeat(10_000));
    const server = createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.write(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${PNG.length.toString(16)}\r\n`);
      socket.write(PNG);
      socket.write("\r\n");
      for (let written = 0; written < 500_000; written += 10_000) socket.write(chunks);
      socket.end("0\r\n\r\n");
    });
    await new Promise<void>((resolve) => server.listen(0, SERVER_ADDRESS, resolve));
    t.after(() => server.close());
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    await refused(testFetcher([address.port])(`http://images.test:${address.port}/`, PARAM), /in too small pieces/);
  });

  it("count redirects and the body as one time", async (t) => {
    const { port } = await startServer(t, async (_request, response) => {
      await sleep(200);
      response.writeHead(302, { location: "/next" }).end();
    });
    await refused(
      testFetcher([port], { timeoutMs: 300 })(`http://images.test:${port}/`, PARAM),
      UNREACHABLE,
      /took longer|abort/i,
    );
  });

  it("take a body that is cut short for no image", async (t) => {
    const { port } = await startServer(t, (_request, response) => {
      response.writeHead(200, { "content-length": 1_000 }).write(PNG, () => response.destroy());
    });
    await refused(testFetcher([port])(`http://images.test:${port}/`, PARAM), /was not sent completely or in time/);
  });

  it("let as many fetch at once as there are places, and the rest wait", async (t) => {
    let now = 0;
    let most = 0;
    const { port } = await startServer(t, async (request, response) => {
      most = Math.max(most, ++now);
      await sleep(30);
      now -= 1;
      sendPng(request, response);
    });
    const fetchImage = testFetcher([port], { concurrency: 2 });
    await Promise.all(Array.from({ length: 7 }, () => fetchImage(`http://images.test:${port}/`, PARAM)));
    assert.equal(most, 2);
  });

  it("turn those away who wait longer than the time limit, as something to try again", async (t) => {
    const { port } = await startServer(t, () => {});
    const fetchImage = testFetcher([port], { concurrency: 1, timeoutMs: 200 });
    const first = fetchImage(`http://images.test:${port}/`, PARAM);
    const second = fetchImage(`http://images.test:${port}/`, PARAM);
    await refused(first, UNREACHABLE);
    const error = await second.catch((reason: unknown) => reason);
    assert.ok(error instanceof GatewayError);
    // Either it never got the place, or got it with no time left.
    assert.ok(error.code === "unavailable" || error.message === UNREACHABLE, error.message);
  });
});

describe("aborting", () => {
  it("ends a fetch that is under way, and its connection", async (t) => {
    const closed = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    const { port } = await startServer(t, (_request, response) => {
      response.writeHead(200).write(PNG);
      response.on("close", closed.resolve);
      started.resolve();
    });
    const stop = new AbortController();
    const fetching = testFetcher([port])(`http://images.test:${port}/`, PARAM, stop.signal);
    await started.promise;
    stop.abort(new Error("the client has gone"));
    await refused(fetching, /./);
    await closed.promise;
  });

  it("before the start connects to nothing", async (t) => {
    const { port, requests } = await startServer(t, sendPng);
    const fetching = testFetcher([port])(`http://images.test:${port}/`, PARAM, AbortSignal.abort(new Error("gone")));
    await assert.rejects(fetching, GatewayError);
    assert.equal(requests.length, 0);
  });
});

describe("a proxy of the environment", () => {
  it("is not used: it would resolve names by itself", async (t) => {
    const proxied: string[] = [];
    const proxy = createServer((request, response) => {
      proxied.push(request.url ?? "");
      sendPng(request, response);
    });
    await new Promise<void>((resolve) => proxy.listen(0, SERVER_ADDRESS, resolve));
    t.after(() => proxy.close());
    const address = proxy.address();
    assert.ok(typeof address === "object" && address !== null);
    const { port, requests } = await startServer(t, sendPng);
    const url = `http://${SERVER_ADDRESS}:${address.port}`;
    const module = new URL("image-server.ts", import.meta.url).href;
    const script = `
      const { testFetcher } = await import(${JSON.stringify(module)});
      await testFetcher([${port}])("http://images.test:${port}/", "p");
      await fetch("http://images.test:${port}/");`;
    await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], {
      env: { ...process.env, NODE_USE_ENV_PROXY: "1", HTTP_PROXY: url, http_proxy: url, NO_PROXY: "", no_proxy: "" },
    });
    assert.equal(requests.length, 1);
    assert.equal(proxied.length, 1, "the proxy is there and is Node's own choice");
  });
});

async function closedPort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, SERVER_ADDRESS, resolve));
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  await new Promise((resolve) => server.close(resolve));
  return address.port;
}
