/** Requests that are made to hurt: long, repetitive, or full of what is looked for. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { openaiCompletions } from "../../../src/dialects/openai-completions/index.ts";
import { stringifyJson } from "../../../src/json.ts";

const META = { id: "1", created: 1 };
const LENGTH = 5_000_000;

describe("millions of characters", () => {
  const bodies: [what: string, body: object][] = [
    ["of one letter", { prompt: "a".repeat(LENGTH) }],
    ["of white space", { prompt: " \n".repeat(LENGTH / 2) }],
    ["of open tags", { prompt: "<|fim_prefix|>".repeat(LENGTH / 14) }],
    ["of all tags", { prompt: "<|fim_prefix|><|fim_suffix|><|fim_middle|>".repeat(LENGTH / 42) }],
    ["of Codestral's marks", { prompt: "[SUFFIX][PREFIX]".repeat(LENGTH / 16) }],
    ["of file marks", { prompt: `${"<file_sep>".repeat(LENGTH / 10)}<fim_prefix>a<fim_suffix>b<fim_middle>` }],
    ["in a suffix", { prompt: "\n ".repeat(LENGTH / 2), suffix: "\n".repeat(LENGTH) }],
    ["before an open tag", { prompt: `<COMPLETION>${" ".repeat(LENGTH)}` }],
  ];
  for (const [what, body] of bodies) {
    it(`${what} are read and answered in seconds`, () => {
      const start = performance.now();
      const conversation = openaiCompletions.decode({ model: "m", stream: true, ...body }, META);
      stringifyJson(conversation.request);
      const machine = conversation.events(0);
      for (const text of ["a", "<", "\n".repeat(1_000)])
        [...machine.push({ type: "contentBlockDelta", index: 0, delta: { text } })];
      assert.ok(performance.now() - start < 5_000, `took ${performance.now() - start} ms`);
    });
  }
});

describe("an answer that goes on and on like a stop sequence", () => {
  it("is shown in seconds, piece by piece", () => {
    const stop = Array.from({ length: 64 }, (_, n) => `${"a".repeat(255 - (n % 8))}b`);
    const machine = openaiCompletions.decode({ model: "m", prompt: "Hi", stream: true, stop }, META).events(0);
    const start = performance.now();
    for (let n = 0; n < 5_000; n += 1) {
      [...machine.push({ type: "contentBlockDelta", index: 0, delta: { text: "aaaa" } })];
    }
    assert.ok(performance.now() - start < 5_000, `took ${performance.now() - start} ms`);
  });
});
