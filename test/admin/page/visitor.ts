/**
 * Somebody who looks at the page in a real browser. What the page must never do is noted: errors in the console, requests
 * to another origin (which fail: the page works without the internet), native dialogs.
 */
import assert from "node:assert/strict";
import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { newVisitor } from "../../servers/chromium.ts";
import { ADMIN_TOKEN } from "./admin-port.ts";

export type ViewName = "Overview" | "Calls" | "Keys" | "Teams" | "Audit";

export interface Visitor {
  readonly page: Page;
  readonly context: BrowserContext;
  signIn(token?: string): Promise<void>;
  /** Resolves once the view shows what the API says. */
  show(view: ViewName): Promise<void>;
  loaded(): Promise<void>;
  /** Rows of the table of this caption, each as the texts of its cells. */
  rows(caption: string): Promise<string[][]>;
  assertNothingWrong(): void;
}

export async function visit(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Visitor> {
  const context = await newVisitor(browser, options);
  const wrong: string[] = [];
  context.on("request", (request) => {
    if (!request.url().startsWith(`${url}/`)) wrong.push(`a request to ${request.url()}`);
  });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() !== "info" && message.type() !== "log") wrong.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`an error: ${error.message}`));
  page.on("dialog", (dialog) => {
    wrong.push(`a dialog: ${dialog.message()}`);
    return dialog.dismiss();
  });
  await page.goto(url);

  async function loaded(): Promise<void> {
    await page.waitForSelector("main#view:not([aria-busy])");
  }

  return {
    page,
    context,
    loaded,
    async signIn(token = ADMIN_TOKEN) {
      await page.getByLabel("Admin token").fill(token);
      await page.getByRole("button", { name: "Sign in" }).click();
      if (token === ADMIN_TOKEN) await loaded();
    },
    async show(view) {
      await page.getByRole("navigation").getByRole("link", { name: view }).click();
      await page.waitForSelector(`nav a[aria-current=page]:has-text("${view}")`);
      await loaded();
    },
    async rows(caption) {
      const rows = await page
        .locator("table", { has: page.locator("caption", { hasText: caption }) })
        .locator("tbody tr")
        .all();
      return Promise.all(rows.map((row) => row.locator("th, td").allInnerTexts()));
    },
    assertNothingWrong() {
      assert.deepEqual(wrong, []);
    },
  };
}
