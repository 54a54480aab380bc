/** Times as people write them: durations such as `30d`, and dates, which are UTC days; and how old something may be. */

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const DAY_MS = 86_400_000;
const MAX_DURATION_MS = 36_500 * DAY_MS;

/** Whether what was read at `readAt` still counts. A time that lies ahead is of a clock that was set back since: it doesn't. */
export function isCurrent(readAt: number, now: number, maxAgeMs: number): boolean {
  return now >= readAt && now - readAt < maxAgeMs;
}

/** `90s`, `15m`, `1h`, `30d` or `2w` in milliseconds; undefined for anything else, and for more than 100 years. */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit = ""] = /^(\d{1,9})([smhdw])$/.exec(text.trim()) ?? [];
  const ms = Number(amount) * (UNIT_MS[unit] ?? Number.NaN);
  return ms <= MAX_DURATION_MS ? ms : undefined;
}

/** `2026-12-31` as the first or the last millisecond of that UTC day, or a full ISO time with its zone. */
export function parseDate(text: string, edge: "start" | "end"): number | undefined {
  const trimmed = text.trim();
  const [, day, time] =
    /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d))?$/.exec(trimmed) ?? [];
  if (day === undefined) return undefined;
  const midnight = Date.parse(`${day}T00:00:00.000Z`);
  // Date.parse takes February 31st for March 3rd.
  if (Number.isNaN(midnight) || new Date(midnight).toISOString().slice(0, 10) !== day) return undefined;
  if (time === undefined) return edge === "start" ? midnight : midnight + DAY_MS - 1;
  const exact = Date.parse(trimmed);
  return Number.isNaN(exact) ? undefined : exact;
}
