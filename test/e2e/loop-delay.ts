/** Loaded into a process before its program: answers SIGUSR2 with the longest time its event loop was held up. */
import { monitorEventLoopDelay } from "node:perf_hooks";

const RESOLUTION_MS = 5;

const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delay.enable();
let asked = 0;
process.on("SIGUSR2", () => {
  asked += 1;
  process.stdout.write(`longest block ${asked}: ${Math.max(0, delay.max / 1e6 - RESOLUTION_MS)}\n`);
  delay.reset();
});
