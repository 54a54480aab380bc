import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { TakenNames } from "../../src/bedrock/taken-names.ts";

describe("names that must be unique", () => {
  const numbered = (base: string, n: number): string => `${base}.${n}`;

  it("stay as they are until they come again, and then count from 2", () => {
    const taken = new TakenNames();
    const names = ["a", "b", "a", "a", "b"].map((name) => taken.unique(name, name, numbered));
    assert.deepEqual(names, ["a", "b", "a.2", "a.3", "b.2"]);
  });
  it("pass over numbers that somebody chose himself", () => {
    const taken = new TakenNames();
    const names = ["a.2", "a", "a", "a.2", "a"].map((name) => taken.unique(name, name, numbered));
    assert.deepEqual(names, ["a.2", "a", "a.3", "a.2.2", "a.4"]);
  });
});
