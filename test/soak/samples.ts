/** What the processes hold while they are soaked, and whether it grows. Reads /proc, so Linux only. */
import { readdirSync } from "node:fs";
import { residentMiB } from "../e2e/split-gateway.ts";

export interface Sample {
  readonly seconds: number;
  readonly requests: number;
  /** MiB. */
  readonly serviceResident: number;
  /** MiB, after its garbage was collected. */
  readonly serviceHeap: number;
  readonly serviceFiles: number;
  /** MiB. */
  readonly envoyResident: number;
  readonly envoyFiles: number;
}

export interface Growth {
  readonly what: string;
  readonly first: number;
  readonly last: number;
  readonly limit: number;
}

type Measure = Exclude<keyof Sample, "seconds" | "requests">;

/** What the last third may be above the first: a part of it, and so much more. */
const MARGINS: Readonly<Record<Measure, readonly [part: number, more: number]>> = {
  serviceResident: [0.15, 20],
  serviceHeap: [0.15, 5],
  serviceFiles: [0, 10],
  envoyResident: [0.15, 20],
  envoyFiles: [0, 20],
};

const MEASURES: readonly Measure[] = ["serviceResident", "serviceHeap", "serviceFiles", "envoyResident", "envoyFiles"];

export function measureProcesses(service: number, envoy: number): Omit<Sample, "seconds" | "requests" | "serviceHeap"> {
  return {
    serviceResident: residentMiB(service),
    serviceFiles: openFiles(service),
    envoyResident: residentMiB(envoy),
    envoyFiles: openFiles(envoy),
  };
}

/** Medians of the first and the last third of what came after the warm-up. */
export function growths(samples: readonly Sample[], warmUpSeconds: number): Growth[] {
  const warm = samples.filter(({ seconds }) => seconds >= warmUpSeconds);
  const third = Math.max(1, Math.floor(warm.length / 3));
  return MEASURES.map((what) => {
    const first = median(warm.slice(0, third).map((sample) => sample[what]));
    const last = median(warm.slice(-third).map((sample) => sample[what]));
    const [part, more] = MARGINS[what];
    return { what, first, last, limit: first * (1 + part) + more };
  });
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
