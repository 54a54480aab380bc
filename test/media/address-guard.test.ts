import assert from "node:assert/strict";
import { syncBuiltinESMExports } from "node:module";
import os, { networkInterfaces } from "node:os";
import { describe, it } from "node:test";
import { isPublicAddress } from "../../src/media/address-guard.ts";

const NOT_PUBLIC: Readonly<Record<string, readonly string[]>> = {
  "this network": ["0.0.0.0", "0.1.2.3", "::"],
  loopback: ["127.0.0.1", "127.0.0.53", "127.255.255.254", "::1"],
  private: ["10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "fc00::1", "fdff::1"],
  "link-local": ["169.254.0.1", "169.254.169.254", "169.254.170.2", "169.254.170.23", "fe80::1", "fe80::1%eth0"],
  "site-local": ["fec0::1"],
  "cloud metadata": ["fd00:ec2::254", "fd00:ec2::23", "100.100.100.200", "192.0.0.192", "168.63.129.16"],
  "carrier NAT": ["100.64.0.1", "100.127.255.255"],
  multicast: ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
  broadcast: ["255.255.255.255"],
  reserved: ["240.0.0.1", "192.0.0.8", "192.88.99.1", "4000::1", "8000::1", "5f00::1"],
  documentation: ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
  benchmarks: ["198.18.0.1", "198.19.255.255", "2001:2::1"],
  "discard and ORCHID": ["100::1", "2001:10::1", "2001:20::1"],
  "IPv4 mapped into IPv6": ["::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:a9fe:a9fe", "::ffff:0:8.8.8.8"],
  "IPv4-compatible": ["::127.0.0.1", "::8.8.8.8"],
  "6to4": ["2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:808:808::1"],
  Teredo: ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
  "NAT64 of what is not public": [
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::8.8.8.8",
  ],
  "no address at all": [
    "",
    "localhost",
    "127.1",
    "1.2.3",
    "0x7f.1",
    "0177.0.0.1",
    "2130706433",
    "8.8.8.8 ",
    "[::1]",
    "1.2.3.4.5",
  ],
};

describe("isPublicAddress", () => {
  for (const [kind, addresses] of Object.entries(NOT_PUBLIC)) {
    it(`refuses ${kind}`, () => {
      assert.deepEqual(addresses.filter(isPublicAddress), []);
    });
  }

  it("takes public addresses, and those of DNS64 for public IPv4", () => {
    const addresses = [
      "8.8.8.8",
      "1.1.1.1",
      "52.94.133.131",
      "172.32.0.1",
      "100.128.0.1",
      "2606:4700::1111",
      "2a00:1450::1",
    ];
    assert.deepEqual(addresses.filter(isPublicAddress), addresses);
    assert.equal(isPublicAddress("64:ff9b::808:808"), true);
  });

  it("refuses every address of this machine", () => {
    const own = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
    assert.ok(own.length > 0);
    assert.deepEqual(own.filter(isPublicAddress), []);
  });

  it("refuses its neighbours in a public subnet of this machine", (t) => {
    const here = { netmask: "255.255.255.0", mac: "00:00:00:00:00:00", internal: false } as const;
    t.mock.method(os, "networkInterfaces", () => ({
      eth0: [{ ...here, address: "8.8.8.4", family: "IPv4", cidr: "8.8.8.4/24" }],
    }));
    syncBuiltinESMExports();
    t.after(() => {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    });
    assert.equal(isPublicAddress("8.8.8.200"), false);
    assert.equal(isPublicAddress("8.8.9.200"), true);
    assert.equal(isPublicAddress("2606:4700::1111"), true);
  });
});
