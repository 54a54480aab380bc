import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { createSessions } from "../../src/admin/sessions.ts";

describe("sessions", () => {
  it("that have ended make room before any that has not", () => {
    let time = 0;
    const sessions = createSessions({ now: () => time, randomBytes });
    const old = Array.from({ length: 999 }, () => sessions.open().secret);
    time = 11 * 3_600_000;
    const { secret } = sessions.open();
    time = 13 * 3_600_000;
    for (let i = 0; i < 999; i++) sessions.open();
    assert.notEqual(sessions.use(secret), undefined);
    assert.equal(sessions.use(old[0] ?? ""), undefined);
  });

  it("have secrets of 256 random bits", () => {
    const sizes: number[] = [];
    const sessions = createSessions({
      now: () => 0,
      randomBytes: (size) => {
        sizes.push(size);
        return randomBytes(size);
      },
    });
    assert.match(sessions.open().secret, /^[A-Za-z0-9_-]{43}$/);
    assert.deepEqual(sizes, [32]);
  });
});
