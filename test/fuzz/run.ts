/** `npm run fuzz -- [--iterations N] [--seed N] [--only NAME]`: as long as one likes; CI runs a few seconds of it. */
import { parseArgs } from "node:util";
import { FUZZERS, fuzz } from "./fuzzers.ts";

const { values } = parseArgs({
  options: {
    iterations: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    only: { type: "string" },
  },
});

for (const name of values.only === undefined ? Object.keys(FUZZERS) : [values.only]) {
  const start = performance.now();
  const done = fuzz(name, {
    firstSeed: Number(values.seed),
    iterations: Number(values.iterations),
    milliseconds: Number.POSITIVE_INFINITY,
  });
  console.log(`${name}: ${done} seeds in ${Math.round((performance.now() - start) / 1000)} s, all well`);
}
