import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { GAUGES, type GaugeName } from "../../src/telemetry/metrics.ts";
import { observedCall, scrape, testMetrics, unpricedClosing } from "./observed-calls.ts";

const text = readFileSync(new URL("../../src/telemetry/grafana-dashboard.json", import.meta.url), "utf8");
const dashboard = JSON.parse(text);
const panels: readonly Panel[] = dashboard.panels;
const queries = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

/** Of PromQL, as far as the dashboard uses it, and what Prometheus adds to a scrape. */
const PROMQL = "sum min count by rate increase histogram_quantile topk label_values".split(" ");
const SCRAPED = ["job", "instance"];

describe("the Grafana dashboard", () => {
  it("asks for metrics and labels that there are, and for nothing else", async () => {
    const known = await everything();
    assert.ok(queries.length > 20);
    for (const { title, expr } of queries) {
      const unknown = names(expr).filter(
        (name) => !known.has(name) && !PROMQL.includes(name) && !SCRAPED.includes(name),
      );
      assert.deepEqual(unknown, [], `${title}: ${expr}`);
    }
  });

  it("shows labels that its queries keep", () => {
    for (const { title, targets = [] } of panels) {
      for (const { expr, legendFormat } of targets) {
        const kept = /\bby \(([^)]*)\)/.exec(expr)?.[1]?.split(", ") ?? SCRAPED;
        const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map((match) => match[1] ?? "");
        assert.deepEqual(
          shown.filter((label) => !kept.includes(label)),
          [],
          title,
        );
      }
    }
  });

  it("offers choices of metrics and labels that there are", async () => {
    const known = await everything();
    const variables: readonly { name: string; definition?: string }[] = dashboard.templating.list;
    assert.deepEqual(
      variables.map(({ name }) => name),
      ["datasource", "job", "model"],
    );
    for (const { name, definition = "" } of variables) {
      const unknown = names(definition).filter((word) => !known.has(word) && ![...PROMQL, ...SCRAPED].includes(word));
      assert.deepEqual(unknown, [], name);
    }
  });

  it("has every metric of the gateway's own in some panel", async () => {
    const { types } = await fullScrape();
    const own = [...types.keys()].filter((name) => /^(gen_ai|bedrock_gateway)_/.test(name));
    const asked = queries.map(({ expr }) => expr).join(" ");
    assert.deepEqual(
      own.filter((name) => !asked.includes(name)),
      [],
    );
  });

  it("names no data source, so that it can be imported anywhere", () => {
    const sources = text.split('"datasource":').slice(1);
    const variable = '{"type":"prometheus","uid":"$' + '{datasource}"}';
    for (const source of sources) assert.ok(source.replace(/\s+/g, "").startsWith(variable), source.slice(0, 100));
    const charts = panels.filter(({ type }) => type !== "row");
    assert.ok(sources.length >= charts.length + queries.length);
  });

  it("is a grid without overlaps, with a number and a description for every panel", () => {
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    const taken = new Set<string>();
    for (const { title, type, description, gridPos } of panels) {
      if (type !== "row") assert.ok(description, title);
      assert.ok(gridPos.x + gridPos.w <= 24, title);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          assert.ok(!taken.has(`${x} ${y}`), title);
          taken.add(`${x} ${y}`);
        }
      }
    }
  });
});

/** A scrape in which everything has happened once. */
async function fullScrape() {
  const { metrics, end } = testMetrics({ keyLabels: true });
  end();
  end({}, { status: "error", errorCode: "rate_limit_exceeded", estimated: true });
  metrics.call(observedCall()).ended(unpricedClosing());
  metrics.refused("invalid_api_key", "openai-chat");
  metrics.recovering("model_not_ready", true);
  for (const name of Object.keys(GAUGES)) if (isGauge(name)) metrics.gauge(name, () => 1);
  return scrape(metrics);
}

function isGauge(name: string): name is GaugeName {
  return Object.hasOwn(GAUGES, name);
}

async function everything(): Promise<ReadonlySet<string>> {
  const { samples } = await fullScrape();
  return new Set(samples.flatMap(({ name, labels }) => [name, ...Object.keys(labels)]));
}

/** The words of a query that are no strings, no variables of Grafana's and no numbers. */
function names(expr: string): string[] {
  const bare = expr.replace(/"[^"]*"|\$\w+/g, " ");
  return [...bare.matchAll(/[a-zA-Z_]\w*/g)].map(([name]) => name);
}
