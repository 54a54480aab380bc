import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cutAtStops, stopsForModel } from "../../../src/dialects/openai-completions/stops.ts";
import { seeded } from "../../fuzz/random.ts";

describe("text with stop sequences", () => {
  const cases: [what: string, stops: string[], text: string, shown: string][] = [
    ["ends before the first that comes", ["END", "."], "One. Two END", "One"],
    ["is whole where none comes", ["END"], "One. Two EN", "One. Two EN"],
    ["is whole without any", [], "One", "One"],
    ["takes the one that begins first", ["b c", "a b"], "x a b c", "x "],
    ["may be empty", ["x"], "xyz", ""],
    ["may begin with the line break that ends it later", ["\n"], "\n\nOne\nTwo", "\n\nOne"],
    ["may begin with two of them", ["\n\n"], "\n\n\nOne\n\nTwo", "\n\n\nOne"],
    ["may be white space only", ["\n"], " \n\n", " \n\n"],
    ["ends at a word behind white space at once", ["\nQ:"], "\nQ: more", ""],
    ["tells a beginning from the whole", ["aab"], "aaaab", "aa"],
  ];
  for (const [what, stops, text, shown] of cases) {
    it(what, () => {
      for (let at = 0; at <= text.length; at += 1)
        assert.equal(run(stops, [text.slice(0, at), text.slice(at)]).shown, shown, `cut at ${at}`);
      const { shown: slow, stopped } = run(stops, [...text]);
      assert.equal(slow, shown);
      assert.equal(stopped, shown !== text);
    });
  }

  it("is the same however it is cut: 2,000 random ones", () => {
    for (let seed = 1; seed <= 2_000; seed += 1) {
      const random = seeded(seed);
      const word = (length: number) => Array.from({ length }, () => random.pick(["a", "b", "\n", " "])).join("");
      const stops = Array.from({ length: 1 + random.int(3) }, () => word(1 + random.int(4)));
      const text = word(random.int(20));
      assert.deepEqual(run(stops, [...text]), run(stops, [text]), JSON.stringify({ stops, text }));
    }
  });

  it("is held back no longer than it may be the beginning of a stop", () => {
    const cut = cutAtStops(["END"]);
    assert.deepEqual(
      ["a E", "N", "x", "E"].map((piece) => [...cut.push(piece)].join("")),
      ["a ", "", "ENx", ""],
    );
    assert.deepEqual([...cut.end()], ["E"]);
  });
});

describe("stop sequences for a model", () => {
  it("are those with something in them", () => {
    assert.deepEqual(stopsForModel(["\n", " \t", "END", "\nQ:"]), ["END", "\nQ:"]);
  });
});

function run(stops: string[], pieces: string[]): { shown: string; stopped: boolean } {
  const cut = cutAtStops(stops);
  const shown = [...pieces.flatMap((piece) => [...cut.push(piece)]), ...cut.end()].join("");
  return { shown, stopped: cut.stopped };
}
