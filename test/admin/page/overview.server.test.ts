import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import type { Browser, Page } from "playwright-core";
import * as v from "valibot";
import { count, magnitude, percent } from "../../../src/admin/page/browser/format.js";
import { parseUsd, showUsd } from "../../../src/admin/page/browser/money.js";
import { DARK, LIGHT } from "../../../src/admin/page/browser/palette.js";
import { isoDay, rangeOf } from "../../../src/admin/page/browser/range.js";
import { chromiumMissing, startChromium } from "../../servers/chromium.ts";
import { type AdminPort, startAdminPort } from "./admin-port.ts";
import { fillMonth } from "./month.ts";
import { type Visitor, visit } from "./visitor.ts";

const Usage = v.array(
  v.object({
    model: v.optional(v.string()),
    team: v.optional(v.nullable(v.string())),
    name: v.optional(v.nullable(v.string())),
    requests: v.number(),
    errors: v.number(),
    input_tokens: v.number(),
    output_tokens: v.number(),
    cache_read_tokens: v.number(),
    cache_write_tokens: v.number(),
    cost_usd: v.nullable(v.string()),
    unpriced_requests: v.number(),
    estimated_requests: v.number(),
  }),
);
const Budgets = v.array(
  v.object({ name: v.string(), spent_usd: v.string(), budget_usd: v.nullable(v.string()), reserved_usd: v.string() }),
);
const PHONE = { width: 360, height: 740 };

describe("the overview", { skip: chromiumMissing() ?? false }, () => {
  let browser: Browser;
  let port: AdminPort;
  let session: Awaited<ReturnType<Visitor["context"]["storageState"]>>;
  /** Shared by tests that only look; each chooses what it looks at. */
  let reader: Visitor;

  before(async () => {
    [browser, port] = await Promise.all([startChromium(), startAdminPort()]);
    await fillMonth(port, { calls: 500 });
    reader = await visit(browser, port.url);
    await reader.signIn();
    session = await reader.context.storageState();
  });
  after(async () => {
    await browser.close();
    await port.close();
  });

  async function enter(options: Parameters<typeof visit>[2] = {}): Promise<Visitor> {
    const visitor = await visit(browser, port.url, { storageState: session, ...options });
    await visitor.loaded();
    return visitor;
  }

  async function look(by: "Model" | "Team" | "Key" = "Model"): Promise<Visitor> {
    const { page, loaded } = reader;
    await page.getByRole("radio", { name: by }).check();
    await page.waitForSelector(`caption:text-is("Usage by ${by.toLowerCase()}")`, { state: "attached" });
    await loaded();
    return reader;
  }

  async function usage(by: string, days: "30d" | "24h" = "30d") {
    const { from, to } = rangeOf({ preset: days }, Date.now());
    const query = new URLSearchParams({ by, from: new Date(from).toISOString(), to: new Date(to).toISOString() });
    return v.parse(Usage, await port.get(`/usage?${query}`));
  }

  function spent(rows: readonly { readonly cost_usd: string | null }[]): bigint {
    return rows.reduce((sum, row) => sum + parseUsd(row.cost_usd ?? "0"), 0n);
  }

  it("tells what the API tells: spend, requests, tokens, errors", async () => {
    const { page, assertNothingWrong } = await look();
    const rows = await usage("model");
    const sum = (pick: (row: (typeof rows)[number]) => number) => rows.reduce((all, row) => all + pick(row), 0);
    const tokens = sum((row) => row.input_tokens + row.cache_read_tokens + row.cache_write_tokens + row.output_tokens);
    const prompt = tokens - sum((row) => row.output_tokens);
    assert.equal(
      await tile(page, "Spend"),
      `${showUsd(spent(rows))}\nwithout ${sum((row) => row.unpriced_requests)} unpriced calls`,
    );
    assert.equal(
      await tile(page, "Requests"),
      `${count(sum((row) => row.requests))}\n${sum((row) => row.estimated_requests)} with estimated usage`,
    );
    const cached = percent(sum((row) => row.cache_read_tokens) / prompt);
    assert.equal(
      await tile(page, "Tokens"),
      `${magnitude(tokens)}\n${magnitude(sum((row) => row.output_tokens))} out, ${cached} of input cached`,
    );
    const errors = sum((row) => row.errors);
    assert.ok(
      (await tile(page, "Errors")).startsWith(`${percent(errors / sum((row) => row.requests))}\n${errors} errors`),
    );
    assert.match(await tile(page, "Time to first token"), /^\d.* s\nslowest: anthropic\.claude-opus/);
    assertNothingWrong();
  });

  for (const [by, name] of [
    ["Model", "model"],
    ["Team", "team"],
    ["Key", "name"],
  ] as const) {
    it(`tells the usage of each ${by.toLowerCase()}, the dearest first, with its share`, async () => {
      const { rows, assertNothingWrong } = await look(by);
      const told = await usage(by.toLowerCase());
      const whole = spent(told);
      const expected = told
        .toSorted((a, b) => Number(parseUsd(b.cost_usd ?? "0") - parseUsd(a.cost_usd ?? "0")))
        .slice(0, 10)
        .map((row) => [
          row[name] ?? "no team",
          row.cost_usd === null ? "unpriced" : showUsd(parseUsd(row.cost_usd)),
          count(row.requests),
        ]);
      const shown = await rows(`Usage by ${by.toLowerCase()}`);
      assert.deepEqual(
        shown.map(([entity, cost, , requests]) => [entity, cost?.split("\n")[0], requests]),
        expected,
      );
      const share =
        Number(
          (parseUsd(told.find((row) => (row[name] ?? "no team") === shown[0]?.[0])?.cost_usd ?? "0") * 10_000n) / whole,
        ) / 10_000;
      assert.equal(shown[0]?.[2]?.trim(), percent(share));
      assertNothingWrong();
    });
  }

  it("draws bars in the colours of the entities, and other numbers when asked", async () => {
    const { page, assertNothingWrong, context } = await enter();
    await settled(page);
    for (const color of LIGHT.slice(0, 4)) assert.ok((await pixels(page, color)) > 20, `no ${color}`);
    assert.equal(await pixels(page, DARK[0] ?? ""), 0);
    const total = showUsd(spent(await usage("model")));
    const label = await page.locator("canvas").getAttribute("aria-label");
    assert.ok(label?.startsWith(`Spend by day over 30 days, ${total} in all: anthropic.claude-`), label ?? "no label");
    const before = await picture(page);
    await page.getByLabel("What the chart shows").selectOption("errors");
    await settled(page);
    assert.notEqual(await picture(page), before);
    assert.match((await page.locator("canvas").getAttribute("aria-label")) ?? "", /^Errors by day/);
    assertNothingWrong();
    await context.close();
  });

  it("keeps an entity's colour when another range changes the order", async () => {
    const { page, loaded, context } = await enter();
    const colors = async () =>
      new Map(
        await page.evaluate<[string, string][]>(
          `[...document.querySelectorAll(".named")].map((one) => [one.textContent, one.querySelector(".swatch").dataset.slot])`,
        ),
      );
    const month = await colors();
    await page.getByLabel("Range", { exact: true }).selectOption("24h");
    await loaded();
    const day = await colors();
    assert.ok(day.size > 1);
    for (const [name, slot] of day) assert.equal(month.get(name), slot, name);
    await context.close();
  });

  it("tells another range's numbers, and keeps the range in the address", async () => {
    const { page, loaded, context } = await enter();
    await page.getByLabel("Range", { exact: true }).selectOption("24h");
    await loaded();
    const requests = (await usage("model", "24h")).reduce((sum, row) => sum + row.requests, 0);
    assert.match(await tile(page, "Requests"), new RegExp(`^${count(requests)}\n`));
    assert.match(page.url(), /#overview\?range=24h$/);
    await page.reload();
    await loaded();
    assert.equal(await page.getByLabel("Range", { exact: true }).inputValue(), "24h");
    const today = isoDay(Date.now());
    await page.getByLabel("Range", { exact: true }).selectOption("custom");
    await page.getByLabel("First day").fill(today);
    await page.getByLabel("Last day").fill(today);
    await loaded();
    assert.match((await page.locator("canvas").getAttribute("aria-label")) ?? "", /by hour over 24 hours/);
    await context.close();
  });

  it("tells how full budgets are, what is in flight and what is refused, in words", async () => {
    const { page } = await look();
    const budgets = v.parse(Budgets, await port.get("/budgets"));
    const items = await page.locator(".budget").allInnerTexts();
    assert.equal(items.length, Math.min(6, budgets.length));
    for (const { name, spent_usd, budget_usd } of budgets.filter((budget) => budget.budget_usd !== null)) {
      const item = items.find((text) => text.startsWith(`${name}\n`)) ?? assert.fail(name);
      assert.ok(item.includes(`${showUsd(parseUsd(spent_usd))} of ${showUsd(parseUsd(budget_usd ?? ""))}`), item);
    }
    const [first = ""] = items;
    assert.match(first, /^research\n[\s\S]*calls are refused/);
    assert.match(
      items.find((text) => text.startsWith("support")) ?? "",
      /above the soft limit[\s\S]*\+ \$0\.20 in flight/,
    );
    const support = page.locator(".budget", { hasText: "support" });
    const width = async (part: string) => (await support.locator(part).boundingBox())?.width ?? 0;
    assert.ok((await width(".meter-held")) > (await width(".meter-spent")), "what is in flight has no length");
    assert.ok((await width(".meter-spent")) > (await width(".meter")) / 2);
  });

  it("says what has no price, and never shows it as nothing", async () => {
    const { page, rows } = await look();
    const row =
      (await rows("Usage by model")).find(([name]) => name?.startsWith("example.preview")) ?? assert.fail("no row");
    assert.deepEqual(row.slice(1, 3), ["unpriced", "–"]);
    assert.ok(await page.getByText("Calls to models without a price are not in these sums").isVisible());
  });

  it("sorts a table by its headings, from the keyboard too", async () => {
    const { page, rows, context } = await enter();
    const table = page.locator("table", { has: page.locator("caption", { hasText: "Usage by model" }) });
    const heading = table.getByRole("columnheader", { name: "Requests" });
    await heading.getByRole("button").focus();
    await page.keyboard.press("Enter");
    assert.equal(await heading.getAttribute("aria-sort"), "descending");
    const requests = (await rows("Usage by model")).map((row) => Number(row[3]?.replaceAll(",", "")));
    assert.deepEqual(
      requests,
      requests.toSorted((a, b) => b - a),
    );
    await page.keyboard.press("Enter");
    assert.equal(await heading.getAttribute("aria-sort"), "ascending");
    await context.close();
  });

  it("shows all keys as one where they are too many to tell apart over time", async () => {
    const { page, loaded, context } = await enter();
    await context.route("**/api/usage/series?by=key&**", (route) =>
      route.fulfill({
        status: 400,
        json: { error: { message: "The range has more than 10000 points.", field: "from" } },
      }),
    );
    await page.getByRole("radio", { name: "Key" }).check();
    await loaded();
    assert.equal(await page.locator(".legend li").innerText(), `all keys\n${showUsd(spent(await usage("key")))}`);
    assert.equal(await page.getByRole("alert").count(), 0);
    await context.close();
  });

  it("gives the rows as a file", async () => {
    const { page, loaded, context } = await enter();
    await page.getByRole("radio", { name: "Team" }).check();
    await loaded();
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByText("Download CSV").click()]);
    const file = await readFile(await download.path(), "utf8");
    assert.match(file, /^team,requests,/);
    assert.equal(file.trim().split("\n").length, 1 + (await usage("team")).length);
    await context.close();
  });

  it("is dark where the system is", async () => {
    const { page, context } = await enter({ colorScheme: "dark" });
    await settled(page);
    assert.ok((await pixels(page, DARK[0] ?? "")) > 20);
    assert.equal(await page.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(17, 19, 23)");
    await page.emulateMedia({ colorScheme: "light" });
    await settled(page);
    assert.ok((await pixels(page, LIGHT[0] ?? "")) > 20);
    await context.close();
  });

  it("fits a phone: no view scrolls sideways, tables do so by themselves", async () => {
    const { page, show, assertNothingWrong, context } = await enter({ viewport: PHONE, colorScheme: "dark" });
    for (const view of ["Overview", "Calls", "Keys", "Teams", "Audit"] as const) {
      await show(view);
      const width = await page.evaluate("document.documentElement.scrollWidth");
      assert.equal(width, PHONE.width, view);
    }
    assertNothingWrong();
    await context.close();
  });

  it("names every control and every table for those who don't see it", async () => {
    const { page, show, context } = await enter();
    for (const view of ["Overview", "Calls", "Keys", "Teams", "Audit"] as const) {
      await show(view);
      const nameless = await page.evaluate(`[...document.querySelectorAll("button, select, input, canvas, .scroller")]
        .filter((one) => !one.hidden && !(one.getAttribute("aria-label") || one.labels?.length || one.textContent.trim()))
        .map((one) => one.outerHTML)`);
      assert.deepEqual(nameless, [], view);
      const tables = await page.evaluate(`[...document.querySelectorAll("table")]
        .filter((one) => !one.caption?.textContent || one.querySelectorAll("thead th:not([scope=col]), tbody tr > :first-child:not(th[scope=row])").length > 0).length`);
      assert.equal(tables, 0, view);
    }
    await context.close();
  });

  it("lists the newest calls with how they ended, and only those that are asked for", async () => {
    const { page, rows, show, loaded, context } = await enter();
    await show("Calls");
    const all = await rows("Recent calls");
    assert.equal(all.length, 50);
    assert.deepEqual(
      all.slice(0, 4).map(([, status]) => status),
      Array(4).fill("in flight"),
    );
    await page.getByRole("button", { name: "Show all" }).click();
    const texts = (await rows("Recent calls")).map((row) => row.join(" "));
    assert.ok(texts.some((text) => /200 ok.*\d ms/s.test(text)) && texts.some((text) => text.includes("unpriced")));
    await page.getByLabel("Which calls").selectOption("interrupted");
    await loaded();
    for (const [, status] of await rows("Recent calls"))
      assert.match(status ?? "", /^200 interrupted\nestimated usage$/);
    await context.close();
  });
});

async function tile(page: Page, title: string): Promise<string> {
  const texts = await page
    .locator(".tile", { has: page.locator("dt", { hasText: title }) })
    .locator("dd")
    .allInnerTexts();
  return texts.join("\n");
}

/** Once the chart has stopped moving. */
async function settled(page: Page): Promise<void> {
  for (let before = ""; ; ) {
    const now = await picture(page);
    if (now === before) return;
    before = now;
    await page.waitForTimeout(150);
  }
}

function picture(page: Page): Promise<string> {
  return page.evaluate<string>(`document.querySelector("canvas").toDataURL()`);
}

/** How many of the chart's pixels have the colour. */
function pixels(page: Page, color: string): Promise<number> {
  const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
  return page.evaluate<number>(`(() => {
    const chart = document.querySelector("canvas");
    const copy = new OffscreenCanvas(chart.width, chart.height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(chart, 0, 0);
    const { data } = copy.getImageData(0, 0, chart.width, chart.height);
    let found = 0;
    for (let i = 0; i < data.length; i += 4) if (data[i] === ${red} && data[i + 1] === ${green} && data[i + 2] === ${blue}) found += 1;
    return found;
  })()`);
}
