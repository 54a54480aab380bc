/**
 * Imported into the service that is soaked: on SIGUSR2 it collects its garbage and prints what is left, in bytes.
 *
 *     heap 3: 41234567
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect: () => void = runInNewContext("gc");
let count = 0;

process.on("SIGUSR2", () => {
  collect();
  count += 1;
  process.stderr.write(`heap ${count}: ${process.memoryUsage().heapUsed}\n`);
});
