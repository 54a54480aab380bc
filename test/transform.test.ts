import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chain, type Transform } from "../src/transform.ts";

/** Holds back its last input until the next one, or the end, comes. */
function delayed<T>(name: T): Transform<T, T> {
  let held: T | undefined;
  return {
    *push(input) {
      if (held !== undefined) yield held;
      held = input;
    },
    *end() {
      if (held !== undefined) yield held;
      yield name;
    },
  };
}

function each<I, O>(map: (input: I) => O[], atEnd: O[] = []): Transform<I, O> {
  return { push: map, end: () => atEnd };
}

function run<I, O>(stage: Transform<I, O>, inputs: I[]): { pushed: O[][]; ended: O[] } {
  return { pushed: inputs.map((input) => [...stage.push(input)]), ended: [...stage.end()] };
}

describe("chain", () => {
  it("passes none, one or many outputs of a stage to the next", () => {
    const stage = chain(
      each((text: string) => text.split(" ").filter(Boolean)),
      each((word: string) => [word.length]),
    );
    assert.deepEqual(run(stage, ["a bb", "", "ccc"]), { pushed: [[1, 2], [], [3]], ended: [] });
  });

  it("ends the stages in order, so that what an earlier one flushes still passes the later ones", () => {
    const stage = chain(delayed("first"), delayed("second"), delayed("third"));
    const { pushed, ended } = run(stage, ["1", "2", "3", "4"]);
    assert.deepEqual([...pushed.flat(), ...ended], ["1", "2", "3", "4", "first", "second", "third"]);
    assert.deepEqual(pushed, [[], [], [], ["1"]]);
  });

  it("hands out what came before a failure, then fails", () => {
    const stage = chain(
      each((text: string) => [...text]),
      each((letter: string) => {
        if (letter === "x") throw new Error("x came");
        return [letter.toUpperCase()];
      }),
    );
    const seen: string[] = [];
    assert.throws(() => {
      for (const letter of stage.push("abxc")) seen.push(letter);
    }, /x came/);
    assert.deepEqual(seen, ["A", "B"]);
  });

  it("works only as far as its outputs are read", () => {
    let worked = 0;
    const stage = chain(
      each((count: number) => Array.from({ length: count }, (_, index) => index)),
      each((value: number) => {
        worked += 1;
        return [value];
      }),
    );
    for (const value of stage.push(100)) if (value === 2) break;
    assert.equal(worked, 3);
  });
});
