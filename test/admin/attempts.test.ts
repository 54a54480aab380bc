import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createAttempts, networkOf } from "../../src/admin/attempts.ts";

describe("attempts", () => {
  it("are counted by address, and the right token is refused where too many were wrong", async () => {
    const attempts = createAttempts({ perAddress: 2, total: 100 });
    assert.equal(await attempts.wrong("10.0.0.1"), 0);
    assert.equal(await attempts.wrong("10.0.0.1"), 0);
    assert.equal(await attempts.right("10.0.0.1"), 0);
    assert.equal(await attempts.wrong("10.0.0.1"), 300);
    assert.equal(await attempts.right("10.0.0.1"), 300);
    assert.equal(await attempts.right("10.0.0.2"), 0);
  });

  it("are counted together too, but not against who had the right token before", async () => {
    const attempts = createAttempts({ perAddress: 2, total: 5 });
    assert.equal(await attempts.right("10.9.9.9"), 0);
    const waits = await Promise.all(Array.from({ length: 20 }, (_, i) => attempts.wrong(`10.0.0.${i}`)));
    assert.equal(waits.filter((wait) => wait === 0).length, 5);
    assert.ok((await attempts.right("10.0.1.1")) > 0);
    assert.equal(await attempts.right("10.9.9.9"), 0);
    assert.equal(await attempts.wrong("10.9.9.9"), 0);
  });

  it("that are refused by address use up nothing of what all have together", async () => {
    const attempts = createAttempts({ perAddress: 2, total: 5 });
    for (let i = 0; i < 50; i++) await attempts.wrong("10.0.0.1");
    assert.equal(await attempts.right("10.0.0.2"), 0);
  });

  it("come from one network for all of an IPv6 household's addresses", async () => {
    assert.equal(networkOf("127.0.0.1"), "127.0.0.1");
    assert.equal(networkOf("::ffff:10.0.0.1"), "10.0.0.1");
    assert.equal(networkOf("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2");
    assert.equal(networkOf("2001:db8:1:2::9"), "2001:db8:1:2");
    assert.equal(networkOf("2001:db8::9"), "2001:db8:0:0");
    assert.equal(networkOf("fe80::1%eth0"), "fe80:0:0:0");
    assert.equal(networkOf("::1"), "0:0:0:0");
    const attempts = createAttempts({ perAddress: 1, total: 100 });
    await attempts.wrong("2001:db8:1:2::1");
    assert.ok((await attempts.wrong("2001:db8:1:2::2")) > 0);
    assert.equal(await attempts.wrong("2001:db8:1:3::1"), 0);
  });
});
