import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FUZZERS, fuzz } from "./fuzzers.ts";

const MILLISECONDS = 2_500;
/** What a slow machine does in that time. */
const ENOUGH = 200;

describe("fuzzing for a few seconds", () => {
  for (const name of Object.keys(FUZZERS)) {
    it(`finds nothing wrong with ${name}`, () => {
      const done = fuzz(name, { firstSeed: 1, iterations: 1_000_000, milliseconds: MILLISECONDS });
      assert.ok(done >= ENOUGH, `only ${done} seeds`);
    });
  }
});
