/** What a process has used, from /proc (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html). Linux only. */
import { readFileSync } from "node:fs";

/** USER_HZ: 100 on every architecture that Linux runs Node.js on. */
const TICKS_PER_SECOND = 100;

/** Seconds of processor time, user and system, of all threads so far. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The second field is the command in parentheses and may hold spaces: fields are counted from behind it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** The most memory that the process ever had resident, in bytes. */
export function peakResidentBytes(pid: number): number {
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  if (peak === undefined) throw new Error(`/proc/${pid}/status has no VmHWM`);
  return Number(peak) * 1024;
}
