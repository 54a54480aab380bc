import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { JsonObject } from "../../src/json.ts";
import { supportedSchema } from "../../src/models/schema-subset.ts";

const CLOSED = { type: "object", properties: {}, additionalProperties: false } as const;

describe("a schema in the supported subset", () => {
  it("stays as it is", () => {
    const schema: JsonObject = {
      type: "object",
      title: "Order",
      properties: {
        id: { type: "string", format: "uuid" },
        kind: { enum: ["a", null, 1] },
        tags: { type: "array", items: { $ref: "#/$defs/tag" }, minItems: 1 },
        size: { anyOf: [{ type: "number" }, { type: "null" }] },
        both: { allOf: [{ $ref: "#/$defs/tag" }] },
        one: { const: "x" },
      },
      required: ["id"],
      $defs: { tag: { type: ["string", "null"] } },
      additionalProperties: false,
    };
    assert.deepEqual(supportedSchema(schema), schema);
  });

  it("has closed objects at every depth", () => {
    const open = { type: "object", properties: { a: { type: "array", items: { type: "object", properties: {} } } } };
    assert.deepEqual(supportedSchema(open), {
      type: "object",
      properties: { a: { type: "array", items: CLOSED } },
      additionalProperties: false,
    });
  });

  it("says in words what it can't say in keywords", () => {
    const schema = {
      type: "object",
      properties: {
        n: { type: "integer", minimum: 1, multipleOf: 2, description: "A number." },
        s: { type: "string", format: "phone", pattern: "^a" },
        l: { type: "array", items: { type: "string" }, minItems: 2, default: ["a", "b"] },
      },
    };
    assert.deepEqual(supportedSchema(schema)?.properties, {
      n: { type: "integer", description: "A number.\nminimum: 1, multipleOf: 2" },
      s: { type: "string", description: 'format: "phone", pattern: "^a"' },
      l: { type: "array", items: { type: "string" }, description: 'minItems: 2, default: ["a","b"]' },
    });
  });

  it("has anyOf for oneOf, and no word of drafts and ids", () => {
    const schema = { $schema: "x", $id: "y", $comment: "z", oneOf: [{ type: "string" }, { type: "number" }] };
    assert.deepEqual(supportedSchema(schema), { anyOf: [{ type: "string" }, { type: "number" }] });
  });

  it("keeps properties whatever their names", () => {
    const properties = { format: { type: "string" }, $ref: { type: "string" }, minimum: { type: "number" } };
    assert.deepEqual(supportedSchema({ ...CLOSED, properties })?.properties, properties);
  });

  it("may use a definition many times", () => {
    const properties = { a: { $ref: "#/$defs/d" }, b: { $ref: "#/$defs/d" } };
    assert.ok(supportedSchema({ ...CLOSED, properties, $defs: { d: { type: "string" } } }));
  });
});

describe("definitions that use one another", () => {
  it("are followed once each, not once for each way that leads there", () => {
    const twice = (name: string) => ({ ...CLOSED, properties: { a: { $ref: name }, b: { $ref: name } } });
    const levels = Array.from({ length: 60 }, (_, level) => [`d${level}`, twice(`#/$defs/d${level + 1}`)] as const);
    const $defs = { ...Object.fromEntries(levels), d60: { type: "string" } };
    assert.ok(supportedSchema({ ...twice("#/$defs/d0"), $defs }));
  });
});

it("a schema may hold many references, and some through each other", () => {
  const properties = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`p${n}`, { $ref: `#/$defs/s${n}` }]));
  const $defs = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`s${n}`, { type: "string" }]));
  assert.notEqual(supportedSchema({ ...CLOSED, properties, $defs }), undefined);
  assert.notEqual(supportedSchema(chain(20)), undefined);
});

describe("a schema that the subset can't say", () => {
  const inside = (schema: JsonObject): JsonObject => ({ ...CLOSED, properties: { a: schema } });
  for (const [what, schema] of [
    ["an object of any members", inside({ type: "object" })],
    ["an object with named and other members", inside({ ...CLOSED, additionalProperties: { type: "string" } })],
    ["a boolean schema", { ...CLOSED, properties: { a: true } }],
    ["recursion", { ...inside({ $ref: "#/$defs/n" }), $defs: { n: inside({ $ref: "#/$defs/n" }) } }],
    ["recursion to the root", inside({ $ref: "#" })],
    ["a reference to elsewhere", inside({ $ref: "https://example.com/schema" })],
    ["a reference to nothing", inside({ $ref: "#/$defs/none" })],
    ["references through 20,000 others", chain(20_000)],
    ["an empty choice", inside({ anyOf: [] })],
    ["a depth without end", Array.from({ length: 100 }).reduce<JsonObject>((schema) => inside(schema), CLOSED)],
  ] as const) {
    it(what, () => assert.equal(supportedSchema(schema), undefined));
  }
});

/** Named schemas, each of which refers to the next. */
function chain(length: number): JsonObject {
  const names = Array.from({ length }, (_, n) => [`d${n}`, { anyOf: [{ $ref: `#/$defs/d${n + 1}` }] }]);
  return {
    ...CLOSED,
    properties: { a: { $ref: "#/$defs/d0" } },
    $defs: { ...Object.fromEntries(names), [`d${length}`]: { type: "string" } },
  };
}
