import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Field, quote } from "../../src/dialects/fields.ts";
import { GatewayError } from "../../src/errors.ts";
import { parseJson } from "../../src/json.ts";

describe("a field", () => {
  const body = Field.root(parseJson('{"a":[{"b":{"c":5}}],"none":null,"long":12345678901234567890}'));

  it("knows its path", () => {
    const [first] = body.at("a").items();
    assert.equal(first?.at("b").at("c").path, "a[0].b.c");
    assert.equal(body.at("x").at("y").path, "x.y");
  });
  it("is absent when it is null, missing, or inside something that is no object", () => {
    assert.ok(body.at("none").absent);
    assert.ok(body.at("x").absent);
    assert.ok(body.at("a").at("length").absent);
  });
  it("names itself and what came in an error", () => {
    const error = body.at("a").mustBe("a string");
    assert.ok(error instanceof GatewayError);
    assert.equal(error.param, "a");
    assert.equal(error.message, "a must be a string, got an array.");
    assert.equal(body.at("long").mustBe("a string").message, "long must be a string, got a number.");
  });
  it("never shows a text that is not a keyword", () => {
    const secret = Field.root({ text: "my secret" }).at("text");
    assert.throws(() => secret.items(), /^GatewayError: text must be an array, got a string\.$/);
  });
  it("shows a keyword, or says what stands in its place, whatever that is", () => {
    const odd = Field.root(parseJson('{"a":"x","b":12345678901234567890,"c":{"toString":1}}'));
    assert.deepEqual([odd.at("a").keyword, odd.at("b").keyword, odd.at("c").keyword], ['"x"', "a number", "an object"]);
    assert.throws(() => odd.at("b").oneOf(["x", "y"]), /b must be "x" or "y", got a number\./);
    assert.equal(odd.at("a").oneOf(["x", "y"]), "x");
  });
  it("has limits for numbers", () => {
    const numbers = Field.root({ half: 0.5, long: 2 ** 53, text: "1" });
    assert.equal(numbers.at("half").number(0, 1), 0.5);
    assert.throws(() => numbers.at("half").integer(0), /must be an integer of at least 0, got the number 0\.5/);
    assert.throws(() => numbers.at("long").integer(0), /must be an integer/);
    assert.throws(() => numbers.at("text").number(0, 1), /must be a number from 0 to 1, got a string/);
  });
});

describe("quoted client text", () => {
  it("is printable ASCII and short", () => {
    assert.equal(quote('a"b\\c\r\nd\u00e9'), '"a?b?c??d?"');
    assert.ok(quote("x".repeat(1000)).length < 80);
  });
});
