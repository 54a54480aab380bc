import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MAX_ENTRIES, OWN_ENTRIES, requestMetadata } from "../../src/bedrock/request-metadata.ts";

describe("request metadata", () => {
  it("keeps what fits as it is, in its order", () => {
    const entries: [string, string][] = [
      ["team", "search"],
      ["trace id", "a:b_c@d$e#f=g/h+i,j-k.l"],
      ["empty", ""],
    ];
    assert.deepEqual(requestMetadata(entries), { requestMetadata: Object.fromEntries(entries), warnings: [] });
  });
  it("is absent when there is none", () => {
    assert.deepEqual(requestMetadata([]), { warnings: [] });
  });
  it("replaces what Bedrock does not take, and cuts what is too long", () => {
    const { requestMetadata: kept = {} } = requestMetadata([
      ["naïve\tkey", 'a"b\u00a0c\n'],
      ["x", "v".repeat(300)],
    ]);
    assert.deepEqual(Object.entries(kept), [
      ["na_ve key", "a_b c "],
      ["x", "v".repeat(256)],
    ]);
  });
  it("writes numbers and booleans as text and leaves out what is neither", () => {
    const { requestMetadata: kept, warnings } = requestMetadata([
      ["n", 1.5],
      ["b", false],
      ["o", {}],
      ["l", ["a"]],
      ["z", null],
    ]);
    assert.deepEqual(kept, { n: "1.5", b: "false" });
    assert.match(warnings.join(), /^3 metadata entries/);
  });
  it("leaves room for the gateway's own entry, which nobody else may set", () => {
    const many = Array.from({ length: 20 }, (_, n): [string, string] => [`k${n}`, ""]);
    const { requestMetadata: kept = {}, warnings } = requestMetadata([
      ["gateway_key_id", "forged"],
      [" gateway_x ", "forged"],
      ...many,
    ]);
    assert.equal(Object.keys(kept).length, MAX_ENTRIES - OWN_ENTRIES);
    assert.ok(Object.values(kept).every((value) => value === ""));
    assert.match(warnings.join(), /^7 metadata entries/);
  });
  it("keeps the first of keys that become equal", () => {
    const { requestMetadata: kept } = requestMetadata([
      ["é", "1"],
      ["è", "2"],
    ]);
    assert.deepEqual(kept, { _: "1" });
  });
});
