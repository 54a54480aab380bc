import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ANY_HOST, hostOf, parseHostRule, portOf } from "../../src/media/host-rules.ts";

describe("a host rule", () => {
  const cases: readonly (readonly [rule: string, url: string, allowed: boolean])[] = [
    ["images.example.com", "https://images.example.com/a.png", true],
    ["images.example.com", "http://images.example.com./a.png", true],
    ["Images.Example.com", "https://IMAGES.example.COM/", true],
    ["images.example.com", "https://images.example.com:443/", true],
    ["images.example.com", "http://images.example.com:443/", true],
    ["images.example.com", "https://images.example.com:8443/", false],
    ["images.example.com", "https://images.example.com.evil.com/", false],
    ["images.example.com", "https://evil-images.example.com/", false],
    ["images.example.com", "https://imagesxexample.com/", false],
    ["images.example.com:8443", "https://images.example.com:8443/", true],
    ["images.example.com:8443", "https://images.example.com/", false],
    ["*.example.com", "https://a.example.com/", true],
    ["*.example.com", "https://a.b.example.com/", true],
    ["*.example.com", "https://example.com/", false],
    ["*.example.com", "https://evilexample.com/", false],
    ["*.example.com", "https://.example.com/", false],
    ["team-*.s3.amazonaws.com", "https://team-a.s3.amazonaws.com/", true],
    ["team-*.s3.amazonaws.com", "https://team-a.evil.s3.amazonaws.com/", false],
    ["*.*.example.com", "https://a.b.example.com/", true],
    ["bücher.example", "https://xn--bcher-kva.example/", true],
    ["[2606:4700::1111]", "https://[2606:4700:0::1111]/", true],
    ["8.8.8.8", "https://8.8.8.8/", true],
    ["8.8.8.8", "https://8.8.8.80/", false],
  ];
  for (const [rule, text, allowed] of cases) {
    it(`${rule} ${allowed ? "allows" : "does not allow"} ${text}`, () => {
      const url = new URL(text);
      assert.equal(parseHostRule(rule).allows(hostOf(url), portOf(url)), allowed);
    });
  }

  for (const text of [
    "",
    "*",
    "*.*",
    "**",
    "http://a.com",
    "a.com/x",
    "a.com:0",
    "a.com:70000",
    "a b.com",
    "u@a.com",
    "a.com?",
    "*ü.example",
    "[::1",
    ".",
  ]) {
    it(`can't be ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseHostRule(text), /^Error: must be a host such as/);
    });
  }

  it("takes no longer than a moment for a pattern of many stars", () => {
    const rule = parseHostRule(`${"a*".repeat(20)}.com`);
    const start = performance.now();
    assert.equal(rule.allows(`${"a".repeat(63)}b.net`, 443), false);
    assert.ok(performance.now() - start < 1_000);
  });

  it("allows 80 and 443 where there is no rule", () => {
    assert.deepEqual(
      [80, 443, 22, 8080, 0].map((port) => ANY_HOST.allows("a.com", port)),
      [true, true, false, false, false],
    );
  });
});
