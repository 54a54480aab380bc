import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { TakenNames } from "../../src/bedrock/taken-names.ts";
import { toolNames, toolUseId, uniqueToolUseId } from "../../src/bedrock/tool-names.ts";

describe("tool names", () => {
  it("that fit are not touched", () => {
    for (const name of ["get_weather", "a-b", "x".repeat(64)]) assert.equal(toolNames().encode(name), name);
  });
  it("that do not fit come back from the answer as the client wrote them", () => {
    const names = toolNames();
    for (const name of ["a.b", "a/b", "x".repeat(65), "日本", "__proto__.x"]) {
      const encoded = names.encode(name);
      assert.match(encoded, /^[a-zA-Z0-9_-]{1,64}$/);
      assert.equal(names.decode(encoded), name);
    }
    assert.notEqual(names.encode("a.b"), names.encode("a/b"));
  });
  it("are encoded the same whatever else is in the request", () => {
    const names = toolNames();
    names.encode("a/b");
    assert.equal(names.encode("a.b"), toolNames().encode("a.b"));
  });
  it("that were never encoded come back unchanged", () => {
    assert.equal(toolNames().decode("constructor"), "constructor");
  });
});

describe("tool call ids", () => {
  it("that fit are not touched, others fit afterwards and stay different", () => {
    assert.equal(toolUseId("toolu_1.a:b-c"), "toolu_1.a:b-c");
    const ids = ["a b", "a/b", "x".repeat(65), `${"x".repeat(65)}y`].map(toolUseId);
    for (const id of ids) assert.match(id, /^[a-zA-Z0-9_.:-]{1,64}$/);
    assert.equal(new Set(ids).size, ids.length);
  });
  it("stay unique at full length", () => {
    const taken = new TakenNames();
    const ids = Array.from({ length: 12 }, () => uniqueToolUseId("x".repeat(64), taken));
    assert.equal(new Set(ids).size, 12);
    assert.ok(ids.every((id) => id.length <= 64));
  });
});
