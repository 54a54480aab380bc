/**
 * Usage, its course over time and latencies, from totals that cost the same however many calls there were. What is asked of
 * one report is bounded, and they take turns.
 */
import type { ReportStore } from "../store/store.ts";
import { latencyReport, seriesReport, usageCsv, usageReport } from "../usage/report.ts";
import { AdminError } from "./errors.ts";
import type { AdminApp } from "./gate.ts";
import { failure, ok, operation, takes } from "./openapi.ts";
import * as schemas from "./schemas.ts";
import type { Turns } from "./turns.ts";

export interface ReportsRoutesOptions {
  readonly reports: ReportStore;
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly turns: Turns;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const BUCKET_MS = { hour: HOUR_MS, day: DAY_MS } as const;
const MAX_POINTS = 10_000;
const MAX_LATENCY_MS = 92 * DAY_MS;
const DEFAULT_RANGE_MS = 30 * DAY_MS;

const WRONG = { 400: failure("A parameter is wrong, or the range is too long; `field` names it") };

export function mountReports(app: AdminApp, { reports, now, turns }: ReportsRoutesOptions): void {
  app.get(
    "/api/usage",
    operation({
      tag: "usage",
      summary: "Tokens and costs by key, team, model, day or tag",
      description:
        "By tag a call counts for each tag of its key, so the rows do not add up. CSV with format=csv or Accept: text/csv.",
      answers: {
        200: {
          description: "A row for each; of the columns that say what it is about, those that were asked for",
          content: { "application/json": schemas.usageJson, "text/csv": undefined },
        },
        ...WRONG,
      },
    }),
    takes("query", schemas.usageQuery),
    async (context) => {
      const { by, from, to, format } = context.req.valid("query");
      assertOrder(from, to);
      const query = { by, ...(from !== undefined && { from }), ...(to !== undefined && { to }) };
      const rows = await turns.take(context.req.raw.signal, () => usageReport(reports, query));
      if (!wantsCsv(format, context.req.header("accept"))) return context.json(rows);
      return context.body(usageCsv(by, rows), 200, {
        "content-type": "text/csv; charset=utf-8",
        "content-disposition": `attachment; filename="usage-by-${by}.csv"`,
      });
    },
  );

  app.get(
    "/api/usage/series",
    operation({
      tag: "usage",
      summary: "Tokens and costs over time",
      description: `Every hour or day that the range touches and that has calls, at most ${MAX_POINTS} points. Without a range: the last 30 days.`,
      answers: { 200: ok("Points by time, then group", schemas.seriesJson), ...WRONG },
    }),
    takes("query", schemas.seriesQuery),
    async (context) => {
      const { by, bucket, ...given } = context.req.valid("query");
      const range = rangeOf(given, now());
      const buckets = (range.to - range.from) / BUCKET_MS[bucket];
      if (buckets > MAX_POINTS) throw tooLong(`has more than ${MAX_POINTS} ${bucket}s`);
      const query = { by, bucket, ...range, limit: MAX_POINTS + 1 };
      const points = await turns.take(context.req.raw.signal, () => seriesReport(reports, query));
      if (points.length > MAX_POINTS) throw tooLong(`has more than ${MAX_POINTS} points`);
      return context.json(points);
    },
  );

  app.get(
    "/api/latency",
    operation({
      tag: "usage",
      summary: "How long answers took, by model",
      description: "Of calls whose rows are still there, over at most 92 days. Without a range: the last 30 days.",
      answers: { 200: ok("Medians and 95th percentiles", schemas.latencyJson), ...WRONG },
    }),
    takes("query", schemas.rangeQuery),
    async (context) => {
      const range = rangeOf(context.req.valid("query"), now());
      if (range.to - range.from > MAX_LATENCY_MS) throw tooLong("is longer than 92 days");
      return context.json(await turns.take(context.req.raw.signal, () => latencyReport(reports, range)));
    },
  );
}

function rangeOf({ from, to }: { from?: number; to?: number }, now: number): { from: number; to: number } {
  const end = to ?? Math.max(now, from ?? now) + 1;
  const range = { from: from ?? end - DEFAULT_RANGE_MS, to: end };
  assertOrder(range.from, range.to);
  return range;
}

function assertOrder(from: number | undefined, to: number | undefined): void {
  if (from !== undefined && to !== undefined && from >= to) {
    throw new AdminError(400, "from must be earlier than to.", { field: "from" });
  }
}

function tooLong(what: string): AdminError {
  return new AdminError(400, `The range ${what}: ask for less at once, or for days.`, { field: "from" });
}

function wantsCsv(format: "json" | "csv" | undefined, accept: string | undefined): boolean {
  if (format !== undefined) return format === "csv";
  return accept?.split(",")[0]?.trim().toLowerCase().startsWith("text/csv") ?? false;
}
