import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { resolveHost } from "../../src/media/resolve-host.ts";

const never = new AbortController().signal;

describe("resolveHost", () => {
  it("gives all IPv4 and IPv6 addresses", async (t) => {
    const { server } = await startDns(t, { "images.example": ["8.8.8.8", "1.1.1.1", "2606:4700::1111"] });
    assert.deepEqual(await resolveHost("images.example", never, [server]), ["8.8.8.8", "1.1.1.1", "2606:4700::1111"]);
  });

  it("is content with addresses of one kind", async (t) => {
    const { server } = await startDns(t, { "four.example": ["8.8.8.8"], "six.example": ["2606:4700::1111"] });
    assert.deepEqual(await resolveHost("four.example", never, [server]), ["8.8.8.8"]);
    assert.deepEqual(await resolveHost("six.example", never, [server]), ["2606:4700::1111"]);
  });

  it("fails for a name that is not there, and asks for no other", async (t) => {
    const { server, asked } = await startDns(t, {});
    await assert.rejects(resolveHost("nobody.example", never, [server]), /ENOTFOUND/);
    assert.deepEqual([...new Set(asked)], ["nobody.example"]);
  });

  it("stops when it is aborted", async (t) => {
    const { server } = await startDns(t, "silent");
    const stop = new AbortController();
    const start = performance.now();
    const resolving = resolveHost("slow.example", stop.signal, [server]);
    setTimeout(() => stop.abort(), 50);
    await assert.rejects(resolving, /ECANCELLED/);
    assert.ok(performance.now() - start < 1_500);
    await assert.rejects(resolveHost("slow.example", stop.signal, [server]), /abort/i);
  });
});

/** A name server for names without compression: enough of RFC 1035 for one question. */
async function startDns(t: TestContext, zone: Readonly<Record<string, readonly string[]>> | "silent") {
  const asked: string[] = [];
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    if (zone === "silent") return;
    const end = query.indexOf(0, 12) + 5;
    const name = nameAt(query, 12);
    asked.push(name);
    const type = query.readUInt16BE(end - 4);
    const records = (zone[name] ?? [])
      .filter((address) => isIPv6(address) === (type === 28))
      .map((a) => record(type, a));
    const head = Buffer.alloc(12);
    query.copy(head, 0, 0, 2);
    head.writeUInt16BE(name in zone ? 0x8180 : 0x8183, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(records.length, 6);
    socket.send(Buffer.concat([head, query.subarray(12, end), ...records]), from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  t.after(() => socket.close());
  return { server: `127.0.0.1:${socket.address().port}`, asked };
}

function nameAt(message: Buffer, start: number): string {
  const labels: string[] = [];
  for (let at = start; message[at] !== 0; at += 1 + (message[at] ?? 0)) {
    labels.push(message.toString("latin1", at + 1, at + 1 + (message[at] ?? 0)));
  }
  return labels.join(".");
}

/** A or AAAA for the name of the question, for a minute. */
function record(type: number, address: string): Buffer {
  const data = type === 1 ? address.split(".").map(Number) : ipv6Bytes(address);
  return Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, data.length, ...data]);
}

function ipv6Bytes(address: string): number[] {
  const [front = "", back = ""] = address.split("::");
  const groups = (text: string) => text.split(":").filter((group) => group !== "");
  const zeros = Array.from({ length: 8 - groups(front).length - groups(back).length }, () => "0");
  return [...groups(front), ...zeros, ...groups(back)].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
