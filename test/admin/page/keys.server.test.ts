import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Browser } from "playwright-core";
import { sha256Hex } from "../../../src/access/keys.ts";
import { chromiumMissing, startChromium } from "../../servers/chromium.ts";
import { type AdminPort, startAdminPort } from "./admin-port.ts";
import { type Visitor, visit } from "./visitor.ts";

const USD = 10n ** 12n;

describe("keys and teams on the page", { skip: chromiumMissing() ?? false }, () => {
  let browser: Browser;
  before(async () => {
    browser = await startChromium();
  });
  after(() => browser.close());

  async function enter(t: { after(work: () => Promise<void>): void }): Promise<{ port: AdminPort; visitor: Visitor }> {
    const port = await startAdminPort();
    const visitor = await visit(browser, port.url);
    t.after(async () => {
      await visitor.context.close();
      await port.close();
    });
    await visitor.signIn();
    return { port, visitor };
  }

  it("makes a key with its limits, and shows its secret once", async (t) => {
    const { port, visitor } = await enter(t);
    const { page, show, rows } = visitor;
    await show("Keys");
    await page.getByText("No keys yet. Make one with “New key”").waitFor();
    await page.getByRole("button", { name: "New key" }).click();
    const form = page.getByRole("dialog");
    await form.getByLabel("Name").fill("review-bot");
    await form.getByLabel("Team").fill("platform");
    await form.getByLabel("Tags").fill("ci, ci,  nightly ");
    await form.getByLabel("Requests per minute").fill("60");
    await form.getByLabel("Budget in USD", { exact: true }).fill("12.5");
    await form.getByLabel("Last day").fill("2099-12-31");
    await form.getByRole("button", { name: "Make the key" }).click();

    const secret = await page.getByLabel("Secret key").inputValue();
    assert.match(secret, /^sk-[\w-]{43}$/);
    const found = await port.store.keys.findBySecret(sha256Hex(secret));
    const { name, team, tags, rpm, budget, budgetPeriod, expiresAt } =
      found?.key ?? assert.fail("the secret is no key's");
    assert.deepEqual(
      { name, team, tags, rpm, budget, budgetPeriod },
      {
        name: "review-bot",
        team: "platform",
        tags: ["ci", "nightly"],
        rpm: 60,
        budget: (25n * USD) / 2n,
        budgetPeriod: "month",
      },
    );
    assert.equal(new Date(Number(expiresAt) - 1).toISOString().slice(0, 10), "2099-12-31");

    await page.keyboard.press("Escape");
    assert.equal(await page.getByLabel("Secret key").inputValue(), secret, "Escape must not lose the secret");
    await page.getByRole("button", { name: "I have stored it" }).click();
    await page.getByText("Made the key review-bot.").waitFor();
    await page.getByLabel("Secret key").waitFor({ state: "detached" });
    assert.ok(!(await page.content()).includes(secret));
    const [row = []] = await rows("Keys");
    assert.match(
      row.join("|"),
      /^review-bot\nsk-.{5,}…, ci, nightly\|platform\|active\|60 requests\/min\|\$12\.50 a month\|all\|never\nlast day 31 Dec 2099\|/,
    );
    visitor.assertNothingWrong();
  });

  it("copies the secret", async (t) => {
    const { visitor } = await enter(t);
    const { page, show, context } = visitor;
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await show("Keys");
    await page.getByRole("button", { name: "New key" }).click();
    await page.getByRole("dialog").getByLabel("Name").fill("a");
    await page.keyboard.press("Enter");
    const secret = await page.getByLabel("Secret key").inputValue();
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByText("Copied.").waitFor();
    assert.equal(await page.evaluate("navigator.clipboard.readText()"), secret);
  });

  it("says beside the field what is wrong, and what the gateway does not take", async (t) => {
    const { visitor } = await enter(t);
    const { page, show } = visitor;
    await show("Keys");
    await page.getByRole("button", { name: "New key" }).click();
    const form = page.getByRole("dialog");
    const submit = form.getByRole("button", { name: "Make the key" });
    await submit.click();
    const name = form.getByLabel("Name");
    assert.equal(await name.getAttribute("aria-invalid"), "true");
    assert.ok(await form.getByText("This is needed.").isVisible());
    assert.equal(await page.evaluate("document.activeElement.name"), "name");
    await name.fill("bot");
    await form.getByLabel("Requests per minute").fill("many");
    await form.getByLabel("Budget in USD", { exact: true }).fill("1,5");
    await submit.click();
    assert.ok(await form.getByText("Give a whole number, or leave it empty.").isVisible());
    assert.ok(await form.getByText("Give an amount such as 50 or 12.50").isVisible());
    assert.equal(await name.getAttribute("aria-invalid"), null);
    await form.getByLabel("Requests per minute").fill("");
    await form.getByLabel("Budget in USD", { exact: true }).fill("10");
    await form.getByLabel("Soft budget in USD").fill("20");
    await submit.click();
    const refused = form.locator(".field", { has: page.getByLabel("Soft budget in USD") }).getByRole("alert");
    await refused.filter({ hasText: /./ }).waitFor();
    await form.getByRole("button", { name: "Cancel" }).click();
    assert.equal(await page.getByRole("dialog").count(), 0);
    assert.deepEqual(await visitor.rows("Keys"), []);
  });

  it("changes what was changed and nothing else, and takes a limit away", async (t) => {
    const { port, visitor } = await enter(t);
    const { page, show, rows } = visitor;
    const expiresAt = Date.parse("2099-05-06T07:08:09.010Z");
    const { key } = await port.keys.create({
      name: "alice",
      rpm: 10,
      budget: 5n * USD,
      expiresAt,
      models: ["anthropic.*"],
    });
    await show("Keys");
    await page.getByRole("button", { name: "Edit alice" }).click();
    const form = page.getByRole("dialog");
    assert.equal(await form.getByLabel("Budget in USD", { exact: true }).inputValue(), "5");
    await form.getByLabel("Budget in USD", { exact: true }).fill("7.25");
    await form.getByLabel("Requests per minute").fill("");
    await form.getByLabel("Budgets are").selectOption("day");
    await form.getByRole("button", { name: "Save" }).click();
    await page.getByText("Changed the key alice.").waitFor();
    const { createdAt, ...now } = (await port.store.keys.get(key.id)) ?? assert.fail("no key");
    assert.equal(createdAt, key.createdAt);
    assert.deepEqual(now, {
      ...now,
      rpm: null,
      budget: (29n * USD) / 4n,
      budgetPeriod: "day",
      expiresAt,
      models: ["anthropic.*"],
    });
    await visitor.loaded();
    assert.match((await rows("Keys"))[0]?.[4] ?? "", /^\$7\.25 a day$/);
    await show("Audit");
    const [entry] = await rows("Changes of keys and teams");
    assert.deepEqual(entry?.slice(1, 4), ["admin", "changed the key", "alice"]);
    assert.deepEqual(entry?.[4]?.split("\n").toSorted(), [
      "budget $5 → $7.25",
      "budget period month → day",
      "requests per minute 10 → none",
    ]);
    visitor.assertNothingWrong();
  });

  it("blocks a key and lets it work again, rotates it with a grace, and revokes it after asking", async (t) => {
    const { port, visitor } = await enter(t);
    const { page, show, rows } = visitor;
    const { key, secret } = await port.keys.create({ name: "bob" });
    const now = async () => (await port.store.keys.get(key.id)) ?? assert.fail("no key");
    await show("Keys");

    await page.getByRole("button", { name: "Block bob", exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Block", exact: true }).click();
    await page.getByRole("button", { name: "Unblock bob" }).waitFor();
    assert.notEqual((await now()).blockedAt, null);
    assert.equal((await rows("Keys"))[0]?.[2], "blocked");
    await page.getByRole("button", { name: "Unblock bob" }).click();
    await page.getByRole("button", { name: "Block bob", exact: true }).waitFor();
    assert.equal((await now()).blockedAt, null);

    await page.getByRole("button", { name: "Rotate bob" }).click();
    await page.getByLabel("The old secret").selectOption("1h");
    await page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click();
    const fresh = await page.getByLabel("Secret key").inputValue();
    await page.getByRole("button", { name: "I have stored it" }).click();
    assert.equal((await port.store.keys.findBySecret(sha256Hex(fresh)))?.key.id, key.id);
    const old = (await port.store.keys.findBySecret(sha256Hex(secret))) ?? assert.fail("the old secret is gone");
    assert.ok(Math.abs(Number(old.replacedAt) - Date.now() - 3_600_000) < 60_000);

    await page.getByRole("button", { name: "Revoke bob" }).click();
    await page.getByRole("button", { name: "Cancel" }).click();
    assert.equal((await now()).revokedAt, null);
    await page.getByRole("button", { name: "Revoke bob" }).click();
    await page.getByRole("button", { name: "Revoke for good" }).click();
    await page.getByText("No key is like that.").waitFor();
    assert.notEqual((await now()).revokedAt, null);
    await page.getByLabel("Show revoked").check();
    assert.equal((await rows("Keys"))[0]?.[2], "revoked");
    assert.equal(await page.getByRole("button", { name: "Edit bob" }).count(), 0);
    visitor.assertNothingWrong();
  });

  it("finds keys by what is written about them", async (t) => {
    const { port, visitor } = await enter(t);
    await port.keys.createMany([
      { name: "one", owner: "carol@example.com" },
      { name: "two", tags: ["Nightly"] },
      { name: "three" },
    ]);
    await visitor.show("Keys");
    const search = visitor.page.getByLabel("Find a key");
    const found = async (text: string) => {
      await search.fill(text);
      return (await visitor.rows("Keys")).map(([name]) => name?.split("\n")[0]);
    };
    assert.deepEqual(await found("CAROL"), ["one"]);
    assert.deepEqual(await found("nightly"), ["two"]);
    assert.deepEqual(await found(""), ["one", "three", "two"]);
  });

  it("gives a team limits, changes them and takes them away", async (t) => {
    const { port, visitor } = await enter(t);
    const { page, show, rows } = visitor;
    await port.keys.create({ name: "a", team: "search & find/50%" });
    await show("Teams");
    assert.deepEqual((await rows("Teams"))[0]?.slice(0, 4), ["search & find/50%", "1", "unlimited", "none"]);
    await page.getByRole("button", { name: "Edit limits of search & find/50%" }).click();
    const form = page.getByRole("dialog");
    await form.getByLabel("Budget in USD", { exact: true }).fill("100");
    await form.getByLabel("Tokens per minute").fill("2000000");
    await form.getByRole("button", { name: "Save" }).click();
    await page.getByText("$100.00 a month").waitFor();
    const team = await port.store.teams.get("search & find/50%");
    assert.deepEqual([team?.budget, team?.tpm, team?.rpm], [100n * USD, 2_000_000, null]);

    await page.getByRole("button", { name: "Limits for a team" }).click();
    await form.getByLabel("Team").fill("research");
    await form.getByLabel("Requests at once").fill("4");
    await form.getByRole("button", { name: "Set the limits" }).click();
    await page.getByText("4 at once").waitFor();
    assert.equal((await port.store.teams.get("research"))?.parallel, 4);

    await page.getByRole("button", { name: "Remove limits of research" }).click();
    await form.getByRole("button", { name: "Remove the limits" }).click();
    await page.getByText("Removed the limits of research.").waitFor();
    assert.equal(await port.store.teams.get("research"), undefined);
    visitor.assertNothingWrong();
  });

  it("shows hostile names as the text that they are", async (t) => {
    const { port, visitor } = await enter(t);
    const { page, show, rows } = visitor;
    const names = [
      '<img src=x onerror="alert(1)">',
      "</script><script>alert(2)</script>",
      "{{alert(3)}} & 'quoted\"",
      "x".repeat(60),
    ];
    const made = await port.keys.createMany(
      names.map((name) => ({ name, team: name, owner: name, note: name, budget: USD })),
    );
    const at = Date.now() - 1000;
    for (const [index, { key }] of made.entries()) {
      const id = `call-${index}`;
      const model = `<b>model ${index}</b>`;
      await port.store.calls.open({
        id,
        keyId: key.id,
        team: key.team,
        instance: "i",
        dialect: "openai-chat",
        modelRequested: model,
        modelInvoked: model,
        region: "<i>",
        stream: false,
        startedAt: at,
        inputEstimate: 1,
        reserved: 0n,
        budgets: [],
      });
      const usage = { inputTokens: 1, outputTokens: 1, cacheReadTokens: 0, cacheWriteTokens: 0 };
      await port.store.calls.close(id, {
        status: "error",
        httpStatus: 500,
        errorCode: "<u>code</u>",
        usage,
        estimated: false,
        cost: 1n,
        finishedAt: at + 5,
      });
    }
    for (const view of ["Calls", "Keys", "Teams", "Audit", "Overview"] as const) {
      await show(view);
      const made = await page.evaluate(
        `document.querySelectorAll("main img, main script, main b, main i, main u").length`,
      );
      assert.equal(made, 0, view);
      assert.equal(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), true, view);
    }
    await page.getByRole("radio", { name: "Key" }).check();
    await page.waitForSelector(`caption:text-is("Usage by key")`, { state: "attached" });
    assert.deepEqual((await rows("Usage by key")).map(([name]) => name).toSorted(), names.toSorted());
    await show("Keys");
    await page.getByRole("button", { name: `Revoke ${names[0]}` }).click();
    assert.equal(await page.getByRole("dialog").getByRole("heading").innerText(), `Revoke ${names[0]}?`);
    visitor.assertNothingWrong();
  });
});
