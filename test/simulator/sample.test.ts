import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sampleValue } from "../../src/simulator/sample.ts";

describe("a sample of a JSON Schema", () => {
  it("prefers what the schema fixes", () => {
    assert.equal(sampleValue({ const: 7 }, ""), 7);
    assert.equal(sampleValue({ type: "string", default: "x" }, ""), "x");
    assert.equal(sampleValue({ enum: ["a", "b"] }, ""), "a");
    assert.equal(sampleValue({ type: "string", format: "date" }, ""), "2026-01-15");
    assert.equal(sampleValue({ type: "integer", minimum: 5 }, ""), 5);
  });

  it("follows anyOf, allOf, nullable types and internal references", () => {
    const schema = {
      type: "object",
      properties: {
        a: { anyOf: [{ type: "null" }, { type: "string" }] },
        b: { $ref: "#/$defs/point" },
        c: { type: ["boolean", "null"] },
        d: { type: "array", minItems: 2, items: { type: "number" } },
        e: {
          allOf: [
            { type: "object", properties: { x: { type: "integer" } } },
            { type: "object", properties: { y: { type: "integer" } } },
          ],
        },
      },
      $defs: { point: { type: "object", properties: { x: { type: "integer" } } } },
    };
    assert.deepEqual(sampleValue(schema, ""), { a: null, b: { x: 1 }, c: true, d: [1.5, 1.5], e: { x: 1, y: 1 } });
  });

  it("uses the user's words for a query", () => {
    const schema = { type: "object", properties: { query: { type: "string" }, city: { type: "string" } } };
    assert.deepEqual(sampleValue(schema, "cheap flights"), { query: "cheap flights", city: "Paris" });
  });

  it("ends on a schema that contains itself", () => {
    const names = Array.from({ length: 40 }, (_, index) => `n${index}`);
    const properties = Object.fromEntries(names.map((name) => [name, { $ref: "#" }]));
    const size = JSON.stringify(sampleValue({ type: "object", properties }, "")).length;
    assert.ok(size < 1_000_000, `${size} characters`);
  });
});
