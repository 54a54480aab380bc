/** What a process has used, from /proc (https://docs.kernel.org/filesystems/proc.html). Linux only. */
import { readdirSync, readFileSync } from "node:fs";

/**
 * Seconds of processor time of all threads that live, user and system. From their schedstat, which counts nanoseconds
 * (https://docs.kernel.org/scheduler/sched-stats.html), where `stat` has hundredths of a second: too coarse for a short round.
 */
export function cpuSeconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.reduce((sum, thread) => sum + runNanoseconds(`/proc/${pid}/task/${thread}/schedstat`), 0) / 1e9;
}

function runNanoseconds(path: string): number {
  return Number(readFileSync(path, "utf8").split(" ", 1)[0]);
}

/** The most memory that the process ever had resident, in bytes. */
export function peakResidentBytes(pid: number): number {
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  if (peak === undefined) throw new Error(`/proc/${pid}/status has no VmHWM`);
  return Number(peak) * 1024;
}
