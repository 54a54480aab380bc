import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isJsonObject, isTooDeep, MAX_JSON_VALUES, parseJson, stringifyJson } from "../src/json.ts";

describe("parseJson and stringifyJson", () => {
  for (const text of [
    '{"id":9007199254740993}',
    '{"id":-9007199254740993}',
    "[12345678901234567890,1,-98765432109876543210]",
    '{"a":{"b":[{"c":18446744073709551615}]},"d":"9007199254740993"}',
    "9007199254740993",
    '{"pi":3.14159265358979323846}',
    '{"n":1234567890123456789e2}',
    '{"b":1,"a":2,"C":12345678901234567890,"aa":null,"z":[true,false,"x",{}]}',
    '{"__proto__":{"polluted":12345678901234567890}}',
  ]) {
    it(`give back ${text} digit for digit`, () => assert.equal(stringifyJson(parseJson(text)), text));
  }

  it("keep what a double can hold as a number", () => {
    for (const number of [
      0, 1, -1, 0.1, 1e21, 9007199254740991, -9007199254740991, 9007199254740992, 1000000000000000,
    ]) {
      assert.equal(parseJson(JSON.stringify(number)), number);
      assert.deepEqual(parseJson(`{"n":[${JSON.stringify(number)}]}`), { n: [number] });
    }
  });

  it("leave digits inside of strings alone", () => {
    assert.deepEqual(parseJson('{"id":"1234567890123456789","n":1}'), { id: "1234567890123456789", n: 1 });
  });

  it("do not let a long number change the numbers beside it", () => {
    const parsed = parseJson('{"big":12345678901234567890,"small":7,"float":0.5,"list":[1,2]}');
    assert.ok(isJsonObject(parsed));
    assert.deepEqual({ ...parsed, big: 0 }, { big: 0, small: 7, float: 0.5, list: [1, 2] });
  });

  it("carry a long number from one document into another", () => {
    const parsed = parseJson('{"input":{"id":9007199254740993}}');
    assert.ok(isJsonObject(parsed));
    assert.equal(stringifyJson({ toolUse: { input: parsed.input } }), '{"toolUse":{"input":{"id":9007199254740993}}}');
  });

  it("throw SyntaxError for what is not JSON, long numbers or not", () => {
    for (const text of ["", "{", "{'a':1}", "[1,]", '{"a":12345678901234567890', "01", "NaN"]) {
      assert.throws(() => parseJson(text), SyntaxError, text);
    }
  });
});

describe("JSON of very many values", () => {
  const values = (count: number, inside: string) => `[${inside.repeat(count)}12345678901234567890]`;
  for (const [unit, marks] of [
    ["0,", 1],
    ["[],", 2],
    ["{},", 2],
  ] as const) {
    it(`is a SyntaxError, in no time, when they are ${unit}`, () => {
      const start = performance.now();
      assert.throws(() => parseJson(values(10_000_000, unit)), {
        name: "SyntaxError",
        message: "it has more than 1000000 values.",
      });
      assert.ok(performance.now() - start < 2_000, `took ${performance.now() - start} ms`);
      assert.throws(() => parseJson(values(MAX_JSON_VALUES / marks, unit)), SyntaxError);
    });
  }
  it("is read up to the limit", () => {
    const parsed = parseJson(`[${"0,".repeat(MAX_JSON_VALUES - 1)}0]`);
    assert.ok(Array.isArray(parsed) && parsed.length === MAX_JSON_VALUES);
  });
  it("counts what is JSON in a string, and no other text", () => {
    assert.throws(() => parseJson(JSON.stringify({ arguments: values(MAX_JSON_VALUES, "0,") })), SyntaxError);
    assert.ok(isJsonObject(parseJson(JSON.stringify({ image: "A".repeat(10 * MAX_JSON_VALUES) }))));
  });
});

describe("deep JSON", () => {
  const deep = (depth: number, inside: string): string =>
    `${'{"a":['.repeat(depth / 2)}${inside}${"]}".repeat(depth / 2)}`;
  it("is a SyntaxError where the parser's stack does not suffice, not a RangeError", () => {
    assert.throws(() => parseJson(deep(200_000, "1234567890123456789")), SyntaxError);
  });
  it("is told by its depth", () => {
    assert.equal(isTooDeep(parseJson(deep(100, "1"))), false);
    assert.equal(isTooDeep(parseJson(deep(102, "1"))), true);
    assert.equal(isTooDeep(parseJson(deep(100_000, "1"))), true);
    assert.equal(isTooDeep({ a: [1] }, 1), true);
    assert.equal(isTooDeep("text"), false);
  });
});

describe("isJsonObject", () => {
  it("is true for objects alone", () => {
    for (const value of [{}, { a: 1 }, Object.create(null)]) assert.equal(isJsonObject(value), true);
    for (const value of [null, undefined, [], [1], "x", 1, true]) assert.equal(isJsonObject(value), false);
  });

  it("is false for a number too long for a double", () => {
    assert.equal(isJsonObject(parseJson("12345678901234567890")), false);
  });
});
