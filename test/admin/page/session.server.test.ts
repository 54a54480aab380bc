import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Browser } from "playwright-core";
import { chromiumMissing, startChromium } from "../../servers/chromium.ts";
import { type AdminPort, startAdminPort } from "./admin-port.ts";
import { type Visitor, visit } from "./visitor.ts";

const REFRESH_MS = 31_000;

describe("signing in, and what the page does while it is open", { skip: chromiumMissing() ?? false }, () => {
  let browser: Browser;
  before(async () => {
    browser = await startChromium();
  });
  after(() => browser.close());

  interface Scene {
    readonly port: AdminPort;
    readonly visitor: Visitor;
  }

  /** The page's clock moves only when it is told to. */
  async function arrive(t: { after(work: () => Promise<void>): void }, { clock = false } = {}): Promise<Scene> {
    const port = await startAdminPort();
    const visitor = await visit(browser, port.url);
    t.after(async () => {
      await visitor.context.close();
      await port.close();
    });
    if (clock) {
      await visitor.page.clock.install();
      await visitor.page.reload();
    }
    return { port, visitor };
  }

  async function call(port: AdminPort, keyId: string, id: string): Promise<void> {
    const startedAt = Date.now() - 1000;
    const model = "amazon.nova-pro-v1:0";
    await port.store.calls.open({
      id,
      keyId,
      team: null,
      instance: "i",
      dialect: "openai-chat",
      modelRequested: model,
      modelInvoked: model,
      region: "us-east-1",
      stream: false,
      startedAt,
      inputEstimate: 1,
      reserved: 0n,
      budgets: [],
    });
    const usage = { inputTokens: 10, outputTokens: 5, cacheReadTokens: 0, cacheWriteTokens: 0 };
    await port.store.calls.close(id, {
      status: "ok",
      httpStatus: 200,
      usage,
      estimated: false,
      cost: 10n ** 12n,
      finishedAt: startedAt + 500,
    });
  }

  it("asks for the token, and says when it is wrong", async (t) => {
    const { visitor } = await arrive(t);
    const { page, signIn } = visitor;
    visitor.assertNothingWrong();
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").getByText("Type the admin token.").waitFor();
    await signIn("not the token of this gateway");
    await page.getByRole("alert").getByText("The admin token is wrong.").waitFor();
    await signIn();
    await page.getByRole("heading", { name: "Usage" }).waitFor();
    assert.equal(
      await page.evaluate(`JSON.stringify({ ...localStorage, ...sessionStorage })`),
      '{"gateway-signed-in":"yes"}',
    );
  });

  it("stays signed in when it is loaded again, until somebody signs out", async (t) => {
    const { visitor } = await arrive(t);
    const { page, signIn, loaded } = visitor;
    await signIn();
    await page.reload();
    await loaded();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Admin token").waitFor();
    assert.deepEqual(await visitor.context.cookies(), []);
    await page.reload();
    await page.getByLabel("Admin token").waitFor();
    visitor.assertNothingWrong();
  });

  it("asks for the token again when the session has ended, closes what was open, and shows nothing more", async (t) => {
    const { visitor, port } = await arrive(t, { clock: true });
    const { page, signIn, show, context } = visitor;
    await port.keys.create({ name: "the-name-of-a-key" });
    await signIn();
    await show("Keys");
    await page.getByRole("button", { name: "New key" }).click();
    await context.clearCookies();
    await page.clock.runFor(REFRESH_MS);
    await page.getByText("Your session has ended: sign in again.").waitFor();
    assert.equal(await page.getByRole("dialog").count(), 0);
    assert.ok(!(await page.content()).includes("the-name-of-a-key"));
    await signIn();
    await page.getByText("the-name-of-a-key").waitFor();
  });

  it("says what to do where there is nothing yet", async (t) => {
    const { visitor } = await arrive(t);
    const { page, signIn, show } = visitor;
    await signIn();
    assert.deepEqual(await page.locator(".tile-value").allInnerTexts(), ["$0.00", "0", "0", "0 %", "–"]);
    await page.getByText("No calls in this range. A call that a key makes shows up here").waitFor();
    await page.getByText("No budgets yet. Give a key or a team one").waitFor();
    for (const [view, text] of [
      ["Calls", "No calls in this range. Send one with a key"],
      ["Keys", "No keys yet. Make one"],
      ["Teams", "No teams yet. A team exists once a key names it"],
      ["Audit", "Nothing was changed yet."],
    ] as const) {
      await show(view);
      await page.getByText(text).waitFor();
    }
    visitor.assertNothingWrong();
  });

  it("refreshes every 30 seconds, and leaves what is the same as it is", async (t) => {
    const { visitor, port } = await arrive(t, { clock: true });
    const { page, signIn, show, loaded } = visitor;
    const { key } = await port.keys.create({ name: "a-key" });
    await call(port, key.id, "first");
    await signIn();
    await show("Calls");
    await page.evaluate(`document.querySelector("tbody tr").mark = "the same element"`);
    await call(port, key.id, "second");
    await page.clock.runFor(REFRESH_MS);
    await page.locator("tbody tr").nth(1).waitFor();
    await loaded();
    assert.deepEqual(await page.evaluate(`[...document.querySelectorAll("tbody tr")].map((row) => row.mark ?? null)`), [
      null,
      "the same element",
    ]);

    await show("Keys");
    await page.getByRole("button", { name: "Rotate a-key" }).focus();
    await port.keys.update(key.id, { rpm: 7 });
    await page.clock.runFor(REFRESH_MS);
    await page.getByText("7 requests/min").waitFor();
    assert.equal(await page.evaluate("document.activeElement.ariaLabel"), "Rotate a-key");
    visitor.assertNothingWrong();
  });

  it("does not ask for anything while nobody sees it", async (t) => {
    const { visitor } = await arrive(t, { clock: true });
    const { page, signIn } = visitor;
    await signIn();
    let asked = 0;
    page.on("request", () => {
      asked += 1;
    });
    await page.evaluate(
      `Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true }) && undefined`,
    );
    await page.clock.runFor(4 * REFRESH_MS);
    assert.equal(asked, 0);
    await page.evaluate(`delete document.visibilityState; document.dispatchEvent(new Event("visibilitychange"))`);
    await visitor.loaded();
    assert.ok(asked > 0);
  });

  it("says that the gateway is away, keeps what it showed, and goes on when it is back", async (t) => {
    const { visitor, port } = await arrive(t, { clock: true });
    const { page, signIn, loaded } = visitor;
    const { key } = await port.keys.create({ name: "a" });
    await call(port, key.id, "only");
    await signIn();
    await port.stop();
    await page.clock.runFor(REFRESH_MS);
    const alert = page.getByRole("alert").filter({ hasText: "The gateway can't be reached." });
    await alert.waitFor();
    assert.match(await alert.innerText(), /What you see is from \d\d:\d\d:\d\d UTC\./);
    assert.equal(await page.locator(".tile-value").first().innerText(), "$1.00");
    await port.listen();
    await page.getByRole("button", { name: "Try again" }).click();
    await alert.waitFor({ state: "hidden" });
    await loaded();
  });

  it("repeats what the API says is wrong", async (t) => {
    const { visitor } = await arrive(t);
    const { page, signIn, context } = visitor;
    await context.route("**/api/budgets", (route) =>
      route.fulfill({
        status: 503,
        json: { error: { message: "The database can't be reached; the gateway's log says why." } },
      }),
    );
    await signIn();
    await page.getByRole("alert").getByText("The database can't be reached; the gateway's log says why.").waitFor();
    await context.unroute("**/api/budgets");
    await context.route("**/api/budgets", (route) => route.fulfill({ json: [{ kind: "key" }] }));
    await page.getByRole("button", { name: "Try again" }).click();
    await page
      .getByRole("alert")
      .getByText("The gateway's answer can't be read: answer[0].id is not a text.")
      .waitFor();
  });

  it("waits for no view that somebody has left, and shows no answer that came too late", async (t) => {
    const { visitor, port } = await arrive(t);
    const { page, signIn, show, loaded, context } = visitor;
    const { key } = await port.keys.create({ name: "a" });
    await call(port, key.id, "only");
    await signIn();
    const late = Promise.withResolvers<void>();
    await context.route("**/api/calls?**", async (route) => {
      await late.promise;
      await route.continue();
    });
    await page.getByRole("link", { name: "Calls" }).click();
    await show("Keys");
    assert.equal((await visitor.rows("Keys")).length, 1);

    await show("Overview");
    const slow = Promise.withResolvers<void>();
    let held = 0;
    await context.route("**/api/usage?**", async (route) => {
      held += 1;
      if (held > 1) return route.continue();
      await slow.promise;
      return route.fulfill({ json: [] });
    });
    await page.getByLabel("Range", { exact: true }).selectOption("7d");
    await page.getByLabel("Range", { exact: true }).selectOption("24h");
    await loaded();
    slow.resolve();
    late.resolve();
    await page.waitForLoadState("networkidle");
    assert.equal(await page.locator(".tile-value").first().innerText(), "$1.00");
    assert.equal(held, 2);
  });

  it("keeps a new secret in sight when the session ends", async (t) => {
    const { visitor } = await arrive(t, { clock: true });
    const { page, signIn, show, context } = visitor;
    await signIn();
    await show("Keys");
    await page.getByRole("button", { name: "New key" }).click();
    await page.getByRole("dialog").getByLabel("Name").fill("a");
    await page.keyboard.press("Enter");
    const secret = await page.getByLabel("Secret key").inputValue();
    await visitor.loaded();
    await context.clearCookies();
    await page.clock.runFor(REFRESH_MS);
    await page.getByText("Your session has ended: sign in again.").waitFor();
    assert.equal(await page.getByLabel("Secret key").inputValue(), secret);
  });

  it("works from the keyboard: views, range, dialogs, and back to where the focus was", async (t) => {
    const { visitor } = await arrive(t);
    const { page, signIn, loaded } = visitor;
    await signIn();
    await page.evaluate("document.activeElement.blur()");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate("document.activeElement.textContent"), "Skip to the content");
    for (const expected of ["Overview", "Calls", "Keys"]) {
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate("document.activeElement.textContent"), expected);
    }
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Keys" }).waitFor();
    await loaded();
    await page.getByRole("button", { name: "New key" }).focus();
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate("document.activeElement.name"), "name");
    await page.keyboard.press("Escape");
    assert.equal(await page.evaluate("document.activeElement.textContent"), "New key");
    visitor.assertNothingWrong();
  });
});
